/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums and segments in software. The expected sums were computed by other
 * means (a few lines of Python after RFC 1071, RFC 768 and RFC 9293).
 */
#include "net/offload.h"

#include <string.h>

#include "fake/test.h"

#define PAYLOAD 3000u
#define ALL	NIC_FRAME_MAX

static uint8_t frame[ALL], flat[ALL], room[OFFLOAD_HEADER_MAX + NIC_FRAME_MAX];
static struct span span;

static const uint8_t tcp_head[20] = {
	0x9c, 0x40, 0, 80, 0xff, 0xff, 0xfc, 0, 1, 2, 3, 4, 0x50, 0x99,
	0x72, 0x10,
};

static const uint8_t ip4_head[20] = {
	0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0,
	10, 0, 2, 15, 192, 0, 2, 1,
};

static const uint8_t ip6_head[40] = {
	0x60, 0, 0, 0, 0, 0, 6, 64,
	0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15,
	0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
};

/* Ethernet, a VLAN tag if wanted, `ip`, TCP and the payload. */
static struct nic_frame make(bool tag, const uint8_t *ip, uint32_t ip_size,
			     uint32_t payload)
{
	uint32_t at = 12;

	memset(frame, 0x22, 12);
	if (tag) {
		memcpy(frame + at, "\x81\0\0\5", 4);
		at += 4;
	}
	memcpy(frame + at, ip_size == 20 ? "\x08\0" : "\x86\xdd", 2);
	memcpy(frame + at + 2, ip, ip_size);
	at += 2 + ip_size;
	memcpy(frame + at, tcp_head, 20);
	for (uint32_t i = 0; i < payload; i++)
		frame[at + 20 + i] = (uint8_t)(i * 7 + i / 256);
	span = (struct span){ frame, at + 20 + payload };
	return (struct nic_frame){
		.span = &span,
		.spans = 1,
		.size = at + 20 + payload,
		.sum = NIC_SUM_OPEN,
		.cut = ip_size == 20 ? NIC_CUT_TCP4 : NIC_CUT_TCP6,
		.sum_start = (uint16_t)at,
		.sum_offset = 16,
		.header = (uint16_t)(at + 20),
		.segment = ip_size == 20 ? 1460 : 1440,
	};
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void expect_segment(struct offload_cutter *c, uint32_t from,
			   uint32_t size, uint8_t flags, uint16_t sum)
{
	const struct nic_frame *f = c->frame;
	const uint8_t *tcp = c->segment + f->sum_start;
	uint32_t sequence = 0xfffffc00u + from;

	assert_int_equal(c->size, f->header + size);
	assert_memory_equal(c->segment, frame, 12);
	assert_memory_equal(c->segment + f->header, frame + f->header + from,
			    size);
	assert_int_equal((uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6),
			 sequence);
	assert_int_equal(tcp[13], flags);
	assert_int_equal(get16(tcp + 16), sum);
}

static void cuts_tcp4_with(bool tag)
{
	static const uint16_t ids[] = { 0xffff, 0, 1 };
	static const uint16_t ip_sums[] = { 0x670c, 0x670c, 0x6c6f };
	static const uint16_t sums[] = { 0x183f, 0xe2da, 0x930f };
	static const uint8_t flags[] = { 0x90, 0x10, 0x19 };
	const struct nic_frame f = make(tag, ip4_head, 20, PAYLOAD);
	const unsigned int ip = tag ? 18 : 14;
	struct offload_cutter c;

	assert_true(offload_begin(&c, &f, room));
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t size = i < 2 ? 1460 : 80;

		assert_true(offload_next(&c));
		expect_segment(&c, 1460 * i, size, flags[i], sums[i]);
		assert_int_equal(get16(c.segment + ip + 2), 40 + size);
		assert_int_equal(get16(c.segment + ip + 4), ids[i]);
		assert_int_equal(get16(c.segment + ip + 10), ip_sums[i]);
	}
	assert_false(offload_next(&c));
}

static void cuts_tcp4(void **state)
{
	cuts_tcp4_with(false);
	cuts_tcp4_with(true);
}

static void cuts_tcp6(void **state)
{
	static const uint16_t sums[] = { 0x2ac8, 0x6265, 0xeb7a };
	static const uint8_t flags[] = { 0x10, 0x10, 0x18 };
	struct nic_frame f = make(false, ip6_head, 40, PAYLOAD);
	struct offload_cutter c;

	frame[f.sum_start + 13] = 0x18;
	assert_true(offload_begin(&c, &f, room));
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t size = i < 2 ? 1440 : 120;

		assert_true(offload_next(&c));
		expect_segment(&c, 1440 * i, size, flags[i], sums[i]);
		assert_int_equal(get16(c.segment + 14 + 4), 20 + size);
	}
	assert_false(offload_next(&c));
}

/* A piece as long as the segment, and no more. */
static void exact_pieces(void **state)
{
	const struct nic_frame f = make(false, ip4_head, 20, 2 * 1460);
	struct offload_cutter c;
	unsigned int count = 0;

	assert_true(offload_begin(&c, &f, room));
	while (offload_next(&c))
		count++;
	assert_int_equal(count, 2);
	assert_int_equal(c.size, 54 + 1460);
}

static void no_tcp(void **state)
{
	struct nic_frame f = make(false, ip4_head, 20, PAYLOAD);
	struct offload_cutter c;

	frame[13] = 6; /* ARP */
	assert_false(offload_begin(&c, &f, room));
	frame[13] = 0;
	frame[14] = 0x44; /* a header of 16 bytes */
	assert_false(offload_begin(&c, &f, room));
	frame[14] = 0x4f; /* one that reaches into TCP's */
	assert_false(offload_begin(&c, &f, room));
	frame[14] = 0x45;
	f.cut = NIC_CUT_TCP6;
	assert_false(offload_begin(&c, &f, room));
	f.cut = NIC_CUT_TCP4;
	f.header = OFFLOAD_HEADER_MAX + 1;
	assert_false(offload_begin(&c, &f, room));
	f = make(false, ip4_head, 20, PAYLOAD);
	f.sum_start = 20;
	assert_false(offload_begin(&c, &f, room));
}

/* The same bytes as cut frames have, when nothing has to be cut. */
static void large_packet(void **state)
{
	struct nic_frame f = make(false, ip4_head, 20, 1460);
	struct offload_cutter c;

	assert_true(offload_begin(&c, &f, room));
	assert_true(offload_next(&c));
	offload_copy(&f, flat);
	assert_int_equal(get16(flat + 16), 1500);
	assert_memory_equal(flat, c.segment, f.size);
	f = make(false, ip6_head, 40, 60000);
	offload_copy(&f, flat);
	assert_int_equal(get16(flat + 18), 60020);
}

/* UDP: the pseudo header's sum is there, the rest is to be added. */
static void open_udp(void **state)
{
	uint8_t udp[8] = { 0x13, 0x88, 0, 53, 0, 37 };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = 34 + 37,
		.sum = NIC_SUM_OPEN, .sum_start = 34, .sum_offset = 6,
	};
	uint32_t pseudo = 0x0a00 + 0x020f + 0x0a00 + 0x0203 + 17 + 37;

	memset(frame, 0, 34);
	for (unsigned int i = 0; i < 29; i++)
		frame[42 + i] = (uint8_t)(i * 7);
	udp[6] = (uint8_t)(pseudo >> 8);
	udp[7] = (uint8_t)pseudo;
	memcpy(frame + 34, udp, 8);
	span = (struct span){ frame, f.size };
	offload_copy(&f, flat);
	assert_int_equal(get16(flat + 40), 0x1074);
	/* A sum of 0 is written as 0xffff. */
	memset(frame, 0, f.size);
	memset(frame + 34, 0xff, 2);
	offload_copy(&f, flat);
	assert_int_equal(get16(flat + 40), 0xffff);
	/* Not in TCP. */
	f.sum_offset = 16;
	offload_copy(&f, flat);
	assert_int_equal(get16(flat + 50), 0);
}

/* For a receiver that needs no sum. */
static void near_by(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t value;
	} other[] = { { 12, 0x86 }, { 14, 0x46 }, { 23, 6 } };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = 34 + 37,
		.sum = NIC_SUM_OPEN, .sum_start = 34, .sum_offset = 6,
	};

	memset(frame, 0x5a, f.size);
	frame[12] = 0x08;
	frame[13] = 0;
	frame[14] = 0x45;
	frame[23] = 17;
	span = (struct span){ frame, f.size };
	offload_copy_near(&f, flat);
	assert_int_equal(get16(flat + 40), 0);
	assert_memory_equal(flat, frame, 40);
	assert_memory_equal(flat + 42, frame + 42, f.size - 42);
	/* One that is there stays. */
	f.sum = NIC_SUM_IN;
	offload_copy_near(&f, flat);
	assert_memory_equal(flat, frame, f.size);
	/* All else gets what it has to have. */
	f.sum = NIC_SUM_OPEN;
	for (unsigned int i = 0; i < 3; i++) {
		const uint8_t was = frame[other[i].at];

		frame[other[i].at] = other[i].value;
		offload_copy_near(&f, flat);
		offload_copy(&f, room);
		assert_memory_equal(flat, room, f.size);
		assert_int_not_equal(get16(flat + 40), 0);
		frame[other[i].at] = was;
	}
	f.sum_start = 20;
	offload_copy_near(&f, flat);
	offload_copy(&f, room);
	assert_memory_equal(flat, room, f.size);
}

/* In any number of pieces, and in place at the frame's very end. */
static void pieces(void **state)
{
	struct span many[40];
	struct nic_frame f = make(false, ip4_head, 20, PAYLOAD);
	unsigned int count = 0;

	offload_copy(&f, room);
	for (uint32_t at = 0; at < f.size; count++) {
		uint32_t size = 1 + count * 13;

		if (size > f.size - at)
			size = f.size - at;
		many[count] = (struct span){ frame + at, size };
		at += size;
	}
	f.span = many;
	f.spans = count;
	offload_copy(&f, flat);
	assert_memory_equal(flat, room, f.size);
	f.cut = NIC_WHOLE;
	f.sum_start = (uint16_t)(f.size - 2);
	f.sum_offset = 0;
	offload_copy(&f, flat);
	assert_memory_equal(flat, frame, f.size - 2);
}

/* Frames as guests may send them: whatever they hold, nothing is overrun. */
static void hostile(void **state)
{
	uint32_t seed = 1;

	for (unsigned int n = 0; n < 20000; n++) {
		struct nic_frame f;
		struct offload_cutter c;

		for (unsigned int i = 0; i < 120; i++) {
			seed = seed * 1664525 + 1013904223;
			frame[i] = (uint8_t)(seed >> 24);
		}
		if (n & 1)
			memcpy(frame + 12, n & 2 ? "\x08\0" : "\x86\xdd", 2);
		f = (struct nic_frame){
			.span = &span, .spans = 1,
			.size = 54 + (seed >> 8) % 2000,
			.sum = NIC_SUM_OPEN,
			.cut = n & 2 ? NIC_CUT_TCP4 : NIC_CUT_TCP6,
			.sum_start = (uint16_t)(seed >> 16) % 34,
			.sum_offset = 16,
			.segment = 1 + seed % 1500,
		};
		f.header = (uint16_t)(f.sum_start + 20);
		span = (struct span){ frame, f.size };
		offload_copy(&f, flat);
		if (!offload_begin(&c, &f, room))
			continue;
		while (offload_next(&c))
			assert_true(c.size <= f.size);
		assert_int_equal(c.done, f.size - f.header);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_tcp4),
		cmocka_unit_test(cuts_tcp6),
		cmocka_unit_test(exact_pieces),
		cmocka_unit_test(no_tcp),
		cmocka_unit_test(large_packet),
		cmocka_unit_test(open_udp),
		cmocka_unit_test(near_by),
		cmocka_unit_test(pieces),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
