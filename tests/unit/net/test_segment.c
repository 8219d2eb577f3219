/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large segments between a guest and its stack: what is changed in passing is
 * right by its checksums, and put together again it is what it was.
 */
#include "net/segment.h"

#include <string.h>

#include "fake/test.h"
#include "net/offload.h"

#define MTU 1500u

static uint8_t frame[NIC_FRAME_MAX], copy[NIC_FRAME_MAX], part[NIC_FRAME_MAX];

/* TCP with `size` bytes in all, its checksums right; where TCP begins. */
static uint32_t make(bool v6, uint32_t size, const void *options,
		     uint32_t option_size, uint8_t flags)
{
	uint32_t ip = v6 ? 40 : 20, tcp = 14 + ip;
	struct span span = { copy, size };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = size,
		.sum = NIC_SUM_OPEN, .sum_start = (uint16_t)tcp,
		.sum_offset = 16, .segment = 1,
		.cut = v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4,
	};

	for (uint32_t i = 0; i < size; i++)
		copy[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(copy + 12, v6 ? "\x86\xdd" : "\x08\0", 2);
	copy[14] = v6 ? 0x60 : 0x45;
	memset(copy + 20, 0, 2);
	copy[v6 ? 20 : 23] = 6;
	memcpy(copy + tcp + 20, options, option_size);
	copy[tcp + 12] = (uint8_t)((20 + option_size) / 4 << 4);
	copy[tcp + 13] = flags;
	f.header = (uint16_t)(tcp + 20 + option_size);
	offload_copy(&f, frame);
	return tcp;
}

static uint16_t mss_at(uint32_t at)
{
	return (uint16_t)(frame[at] << 8 | frame[at + 1]);
}

/* Whether the checksum is what it would be if made anew. */
static bool sum_holds(uint32_t tcp, uint32_t size, bool v6)
{
	uint16_t sum = mss_at(tcp + 16);
	struct span span = { frame, size };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = size,
		.sum = NIC_SUM_OPEN, .sum_start = (uint16_t)tcp,
		.sum_offset = 16, .cut = v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4,
	};

	offload_copy(&f, part);
	return sum == (part[tcp + 16] << 8 | part[tcp + 17]);
}

static void offers(void **state)
{
	uint32_t tcp = make(false, 60, "\2\4\x05\xb4\1\1", 4, 2);

	segment_offer(frame, 60, MTU);
	assert_int_equal(mss_at(tcp + 22), 22 * 1460);
	assert_true(sum_holds(tcp, 60, false));
	tcp = make(true, 90, "\1\1\2\4\x05\xa0\1\1", 8, 0x12);
	segment_offer(frame, 90, MTU);
	assert_int_equal(mss_at(tcp + 24), 22 * 1440);
	assert_true(sum_holds(tcp, 90, true));
}

/* Another MSS, no SYN, odd places, options that are none. */
static void offers_not(void **state)
{
	static const char *const options[] = {
		"\2\4\x05\xb3", "\1\2\4\x05\xb4\1\1\1", "\2\3\x05\xb4",
		"\0\2\4\x05\xb4\0\0\0", "\3\0\2\4\x05\xb4\0\0",
		"\3\xff\2\4\x05\xb4\0\0",
	};

	for (unsigned int i = 0; i < 6; i++) {
		make(false, 62, options[i], i == 0 || i == 2 ? 4 : 8, 2);
		memcpy(copy, frame, 62);
		segment_offer(frame, 62, MTU);
		assert_memory_equal(frame, copy, 62);
	}
	make(false, 62, "\2\4\x05\xb4", 4, 0x10);
	memcpy(copy, frame, 62);
	segment_offer(frame, 62, MTU);
	assert_memory_equal(frame, copy, 62);
	for (uint32_t size = 0; size < 62; size++) {
		make(false, 62, "\2\4\x05\xb4", 4, 2);
		segment_offer(frame, size, 9000);
	}
}

static void opens_with(bool v6, uint32_t options)
{
	uint32_t tcp = make(v6, 20000, "\1\1\1\1\1\1\1\1\1\1\1\1", options,
			    0x10);
	uint8_t head[SEGMENT_HEAD];
	struct nic_frame f;
	struct span span[2];

	assert_true(segment_open(frame, 20000, MTU, head, span, &f));
	assert_int_equal(f.cut, v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4);
	assert_int_equal(f.header, tcp + 20 + options);
	assert_int_equal(f.header - 14 + f.segment, MTU);
	offload_copy(&f, part);
	assert_memory_equal(part, frame, 20000);
	/* The sum that was left there is that of the pseudo header. */
	f.cut = NIC_WHOLE;
	offload_copy(&f, part);
	assert_memory_equal(part, frame, 20000);
	assert_false(segment_open(frame, 14 + MTU, MTU, head, span, &f));
}

static void opens(void **state)
{
	opens_with(false, 0);
	opens_with(false, 12);
	opens_with(true, 0);
	opens_with(true, 12);
}

static void fragments(void **state)
{
	uint32_t done = 0, size, all = 0, count = 0;

	make(false, 9042, "", 0, 0);
	frame[23] = 17;
	assert_true(segment_too_long(frame, 9042, MTU));
	assert_false(segment_too_long(frame, 14 + MTU, MTU));
	while ((size = segment_fragment(frame, 9042, MTU, &done, part))) {
		uint32_t at = (uint32_t)(part[20] << 8 | part[21]);

		assert_true(size <= 14 + MTU);
		assert_int_equal(part[16] << 8 | part[17], size - 14);
		assert_int_equal((at & 0x1fff) * 8, all);
		assert_int_equal(at >> 13, done < 9042 - 34);
		assert_memory_equal(part + 34, frame + 34 + all, size - 34);
		all += size - 34;
		count++;
	}
	assert_int_equal(all, 9042 - 34);
	assert_int_equal(count, 7);
	frame[12] = 0x86;
	assert_false(segment_too_long(frame, 9042, MTU));
}

/* Whatever a guest or stack says: nothing is overrun, all of it ends. */
static void hostile(void **state)
{
	uint32_t seed = 7;

	for (unsigned int n = 0; n < 20000; n++) {
		uint8_t head[SEGMENT_HEAD];
		struct nic_frame f;
		struct span span[2];
		uint32_t size, done = 0;

		for (unsigned int i = 12; i < 120; i++) {
			seed = seed * 1664525 + 1013904223;
			frame[i] = (uint8_t)(seed >> 24);
		}
		size = 14 + (seed >> 8) % 3000;
		memcpy(frame + 12, n & 1 ? "\x86\xdd" : "\x08\0", 2);
		frame[14] = n & 1 ? 0x60 : 0x40 | (frame[14] & 15);
		frame[n & 1 ? 20 : 23] = 6;
		segment_offer(frame, size, MTU);
		segment_open(frame, size, 100 + n % 900, head, span, &f);
		if (segment_too_long(frame, size, 100 + n % 900))
			while (segment_fragment(frame, size, 100 + n % 900,
						&done, part))
				assert_true(done <= size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers),     cmocka_unit_test(offers_not),
		cmocka_unit_test(opens),      cmocka_unit_test(fragments),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
