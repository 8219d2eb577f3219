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

static const uint8_t mac[2][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
static uint8_t frame[UDP_HEADS + DATA + 10];

static struct udp_datagram make(void)
{
	struct udp_datagram d = {
		.from_port = htons(4000),
		.to_port = htons(5000),
		.ttl = 17,
		.tos = 4,
		.size = DATA,
	};

	inet_pton(AF_INET, "10.0.2.15", &d.from);
	inet_pton(AF_INET, "10.0.2.2", &d.to);
	memset(frame, 0, sizeof(frame));
	for (unsigned int i = 0; i < DATA; i++)
		frame[UDP_HEADS + i] = (uint8_t)(i * 37 + 5);
	udp_build(frame, &d, mac[0], mac[1], 0x1234);
	return d;
}

/* After a change of the header its sum is right again. */
static void seal(void)
{
	memset(frame + IP + 10, 0, 2);
	sum_store(frame + IP + 10, sum_more(0, frame + IP, 20));
}

static bool passes(size_t size)
{
	struct udp_datagram d;

	return udp_parse(&d, frame, size);
}

static void both_ways(void **state)
{
	const struct udp_datagram made = make();
	struct udp_datagram d;

	assert_memory_equal(frame, mac, 12);
	/* Summed up by hand (RFC 1071). */
	assert_int_equal(frame[IP + 10] << 8 | frame[IP + 11], 0x7f68);
	assert_int_equal(frame[UDP + 6] << 8 | frame[UDP + 7], 0x180c);
	assert_true(udp_parse(&d, frame, UDP_HEADS + DATA));
	assert_int_equal(d.from.s_addr, made.from.s_addr);
	assert_int_equal(d.to.s_addr, made.to.s_addr);
	assert_int_equal(d.from_port, made.from_port);
	assert_int_equal(d.to_port, made.to_port);
	assert_int_equal(d.ttl, 17);
	assert_int_equal(d.tos, 4);
	assert_int_equal(d.size, DATA);
	/* A frame may be longer than what it carries. */
	assert_true(passes(sizeof(frame)));
}

static void sums(void **state)
{
	make();
	frame[UDP_HEADS] ^= 1;
	assert_false(passes(sizeof(frame)));
	memset(frame + UDP + 6, 0, 2);
	assert_true(passes(sizeof(frame)));
	frame[IP + 10] ^= 1;
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
		make();
		memset(frame + UDP + 6, 0, 2);
		frame[change[i].at] = change[i].value;
		seal();
		assert_false(passes(sizeof(frame)));
	}
	make();
	frame[IP + 6] = 0x40; /* not to be fragmented */
	seal();
	assert_true(passes(sizeof(frame)));
	for (unsigned int size = 0; size < UDP_HEADS + DATA; size++) {
		uint8_t *copy = malloc(size ? size : 1);
		struct udp_datagram d;

		memcpy(copy, frame, size);
		assert_false(udp_parse(&d, copy, size));
		assert_int_equal(udp_is_any(copy, size), size >= 34);
		free(copy);
	}
}

/* A sum that comes to 0 would say that there is none. */
static void no_zero(void **state)
{
	struct udp_datagram d = make();
	uint16_t sum, zero = 0;

	memset(frame + UDP_HEADS, 0, DATA);
	udp_build(frame, &d, mac[0], mac[1], 0);
	memcpy(&sum, frame + UDP + 6, 2);
	/* Data that adds what is missing. */
	memcpy(frame + UDP_HEADS, &sum, 2);
	udp_build(frame, &d, mac[0], mac[1], 0);
	memcpy(&sum, frame + UDP + 6, 2);
	assert_int_not_equal(sum, zero);
	assert_int_equal(sum, 0xffff);
	assert_true(passes(sizeof(frame)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(sums),
		cmocka_unit_test(odd),
		cmocka_unit_test(no_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
