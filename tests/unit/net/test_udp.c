/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams in frames: which ones may pass without a stack, and frames that are
 * made for a guest.
 */
#include "net/udp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "net/sum.h"

#define DATA 33u
#define IP   14
#define UDP  34
#define UDP6 54

static const uint8_t mac[2][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
static uint8_t frame[UDP_HEADS6 + DATA + 10];

static struct udp_datagram make(bool v6)
{
	struct udp_datagram d = {
		.from_port = htons(4000),
		.to_port = htons(5000),
		.v6 = v6,
		.ttl = 17,
		.tos = v6 ? 0 : 4,
		.size = DATA,
	};

	inet_pton(AF_INET6, v6 ? "fd00::15" : "::ffff:10.0.2.15", &d.from);
	inet_pton(AF_INET6, v6 ? "fd00::2" : "::ffff:10.0.2.2", &d.to);
	memset(frame, 0, sizeof(frame));
	for (unsigned int i = 0; i < DATA; i++)
		frame[udp_heads(v6) + i] = (uint8_t)(i * 37 + 5);
	udp_build(frame, &d, mac[0], mac[1], 0x1234);
	return d;
}

/* After a change of the header its sum is right again. */
static void seal(void)
{
	memset(frame + IP + 10, 0, 2);
	sum_store(frame + IP + 10, sum_more(0, frame + IP, 20));
}

/* And UDP's, over IPv6. */
static void seal6(void)
{
	uint8_t pseudo[4] = { 0, 17, 0, 8 + DATA };
	uint64_t sum = sum_more(sum_more(0, frame + IP + 8, 32), pseudo, 4);

	memset(frame + UDP6 + 6, 0, 2);
	sum_store(frame + UDP6 + 6,
		  sum_more(sum, frame + UDP6, 8 + DATA));
}

static bool passes(size_t size)
{
	struct udp_datagram d;

	return udp_parse(&d, frame, size);
}

static void is_as_made(const struct udp_datagram *made)
{
	struct udp_datagram d;

	assert_memory_equal(frame, mac, 12);
	assert_true(udp_parse(&d, frame, udp_heads(made->v6) + DATA));
	assert_memory_equal(&d.from, &made->from, 16);
	assert_memory_equal(&d.to, &made->to, 16);
	assert_int_equal(d.from_port, made->from_port);
	assert_int_equal(d.to_port, made->to_port);
	assert_int_equal(d.v6, made->v6);
	assert_int_equal(d.ttl, 17);
	assert_int_equal(d.tos, made->tos);
	assert_int_equal(d.size, DATA);
	/* A frame may be longer than what it carries. */
	assert_true(passes(sizeof(frame)));
}

static void both_ways(void **state)
{
	struct udp_datagram made = make(false);

	/* Summed up by hand (RFC 1071). */
	assert_int_equal(frame[IP + 10] << 8 | frame[IP + 11], 0x7f68);
	assert_int_equal(frame[UDP + 6] << 8 | frame[UDP + 7], 0x180c);
	is_as_made(&made);
	made = make(true);
	assert_int_equal(frame[UDP6 + 6] << 8 | frame[UDP6 + 7], 0x3604);
	is_as_made(&made);
}

static void sums(void **state)
{
	make(false);
	frame[UDP_HEADS4] ^= 1;
	assert_false(passes(sizeof(frame)));
	memset(frame + UDP + 6, 0, 2);
	assert_true(passes(sizeof(frame)));
	frame[IP + 10] ^= 1;
	assert_false(passes(sizeof(frame)));
	make(true);
	frame[UDP_HEADS6] ^= 1;
	assert_false(passes(sizeof(frame)));
	frame[UDP_HEADS6] ^= 1;
	assert_true(passes(sizeof(frame)));
	/* Over IPv6 there has to be one. */
	memset(frame + UDP6 + 6, 0, 2);
	assert_false(passes(sizeof(frame)));
}

/* Each is a stack's to look at. */
static void odd(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t value;
	} change[] = {
		{ 12, 0x86 },	    /* of another protocol */
		{ IP, 0x46 },	    /* options */
		{ IP, 0x55 },
		{ IP + 3, 28 },	    /* too short for the data */
		{ IP + 3, 200 },    /* longer than the frame */
		{ IP + 6, 0x20 },   /* more fragments */
		{ IP + 7, 1 },	    /* a later one */
		{ IP + 8, 1 },	    /* its time is over */
		{ IP + 8, 0 },
		{ IP + 9, 6 },
		{ UDP + 5, 8 },	    /* without data */
		{ UDP + 5, 8 + DATA - 1 },
		{ UDP + 5, 8 + DATA + 1 },
	};

	for (unsigned int i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		make(false);
		memset(frame + UDP + 6, 0, 2);
		frame[change[i].at] = change[i].value;
		seal();
		assert_false(passes(sizeof(frame)));
	}
	make(false);
	frame[IP + 6] = 0x40; /* not to be fragmented */
	seal();
	assert_true(passes(sizeof(frame)));
}

static void odd6(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t value;
	} change[] = {
		{ 13, 0x00 },	    /* of another protocol */
		{ IP, 0x40 },
		{ IP + 4, 1 },	    /* longer than the frame */
		{ IP + 5, 8 },	    /* without data */
		{ IP + 5, 8 + DATA - 1 },
		{ IP + 5, 8 + DATA + 1 },
		{ IP + 6, 44 },	    /* a fragment */
		{ IP + 6, 6 },
		{ IP + 7, 1 },	    /* its time is over */
		{ IP + 7, 0 },
		{ UDP6 + 5, 8 },
		{ UDP6 + 5, 8 + DATA - 1 },
	};

	for (unsigned int i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		make(true);
		frame[change[i].at] = change[i].value;
		seal6();
		assert_false(passes(sizeof(frame)));
	}
	make(true);
	frame[IP] = 0x6f; /* a traffic class and a label are nobody's */
	frame[IP + 3] = 9;
	assert_true(passes(sizeof(frame)));
	/* Addresses of IPv4. */
	for (unsigned int at = IP + 8; at < IP + 40; at += 16) {
		make(true);
		memset(frame + at, 0, 12);
		memset(frame + at + 10, 0xff, 2);
		seal6();
		assert_false(passes(sizeof(frame)));
	}
}

static void short_ones(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const size_t whole = udp_heads(v6) + DATA;

		make(v6);
		for (size_t size = 0; size < whole; size++) {
			uint8_t *copy = malloc(size ? size : 1);
			struct udp_datagram d;

			memcpy(copy, frame, size);
			assert_false(udp_parse(&d, copy, size));
			assert_int_equal(udp_is_any(copy, size),
					 size >= (v6 ? UDP6 : UDP));
			free(copy);
		}
		assert_true(passes(whole));
	}
}

/* A sum that comes to 0 would say that there is none. */
static void no_zero(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct udp_datagram d = make(v6);
		uint8_t *data = frame + udp_heads(v6), *at = data - 2;

		memset(data, 0, DATA);
		udp_build(frame, &d, mac[0], mac[1], 0);
		/* Data that adds what is missing. */
		memcpy(data, at, 2);
		udp_build(frame, &d, mac[0], mac[1], 0);
		assert_int_equal(at[0] << 8 | at[1], 0xffff);
		assert_true(passes(sizeof(frame)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(sums),
		cmocka_unit_test(odd),
		cmocka_unit_test(odd6),
		cmocka_unit_test(short_ones),
		cmocka_unit_test(no_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
