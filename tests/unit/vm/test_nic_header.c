/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header before frames: there and back, and what does not go
 * together.
 */
#include "vm/nic_header.h"

#include <string.h>

#include "fake/test.h"

#define SIZE 4054u

static uint8_t data[SIZE];
static struct span span = { data, SIZE };

static struct nic_frame bare(uint32_t size)
{
	span.size = size;
	return (struct nic_frame){ .span = &span, .spans = 1, .size = size };
}

/* A TCP header of 32 bytes behind 34 of Ethernet and IPv4. */
static struct nic_frame open_tcp(void)
{
	struct nic_frame frame = bare(SIZE);

	memset(data, 0, sizeof(data));
	data[34 + 12] = 0x80;
	frame.sum = NIC_SUM_OPEN;
	frame.sum_start = 34;
	frame.sum_offset = 16;
	return frame;
}

static struct nic_frame cut_tcp(enum nic_cut cut)
{
	struct nic_frame frame = open_tcp();

	frame.cut = cut;
	frame.ecn = cut == NIC_CUT_TCP6;
	frame.header = 66;
	frame.segment = 1448;
	return frame;
}

static void check_same(const struct nic_frame *frame)
{
	struct nic_header header = nic_header_of(frame);
	struct nic_frame back = bare(frame->size);

	assert_true(nic_header_parse(&header, &back));
	assert_int_equal(back.sum, frame->sum);
	assert_int_equal(back.cut, frame->cut);
	assert_int_equal(back.ecn, frame->ecn);
	assert_int_equal(back.sum_start, frame->sum_start);
	assert_int_equal(back.sum_offset, frame->sum_offset);
	assert_int_equal(back.header, frame->header);
	assert_int_equal(back.segment, frame->segment);
}

static void test_there_and_back(void **state)
{
	struct nic_frame frame = bare(60);

	check_same(&frame);
	frame.sum = NIC_SUM_GOOD;
	check_same(&frame);
	frame = open_tcp();
	check_same(&frame);
	frame = cut_tcp(NIC_CUT_TCP4);
	check_same(&frame);
	frame = cut_tcp(NIC_CUT_TCP6);
	check_same(&frame);
}

/* The sender's own idea of the header's length does not count. */
static void test_length(void **state)
{
	struct nic_frame frame = cut_tcp(NIC_CUT_TCP4), back = bare(SIZE);
	struct nic_header header = nic_header_of(&frame);

	header.hdr_len = 1000;
	assert_true(nic_header_parse(&header, &back));
	assert_int_equal(back.header, 66);
	/* Nothing behind it: there is nothing to cut. */
	back = bare(66);
	assert_true(nic_header_parse(&header, &back));
	assert_int_equal(back.cut, NIC_WHOLE);
	back = bare(65);
	assert_false(nic_header_parse(&header, &back));
}

static void check_refused(const struct nic_header *header)
{
	struct nic_frame back = bare(SIZE);

	assert_false(nic_header_parse(header, &back));
}

static void test_refused(void **state)
{
	struct nic_frame frame = cut_tcp(NIC_CUT_TCP4);
	const struct nic_header good = nic_header_of(&frame);
	struct nic_header h = good;

	h.sum_start = SIZE - 17;
	check_refused(&h);
	h = good;
	h.gso_size = 0;
	check_refused(&h);
	h = good;
	h.flags = 0;
	check_refused(&h);
	h = good;
	h.sum_offset = 6;
	check_refused(&h);
	h = good;
	h.gso_type = 3 /* of UDP */;
	check_refused(&h);
	data[34 + 12] = 0x40; /* 16 bytes of TCP */
	check_refused(&good);
}

/* By the first bytes, however many more there are. */
static void test_protocol(void **state)
{
	uint8_t frame[NIC_HEAD + 4] = { 0 };

	frame[12] = 0x08;
	frame[23] = 6;
	frame[20] = 17;
	assert_int_equal(nic_frame_protocol(frame, NIC_HEAD), 6);
	assert_int_equal(nic_frame_protocol(frame, NIC_HEAD - 1), 0);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	assert_int_equal(nic_frame_protocol(frame, 1500), 17);
	/* Address resolution, with anything in those places. */
	frame[12] = 0x08;
	frame[13] = 0x06;
	assert_int_equal(nic_frame_protocol(frame, NIC_HEAD), 0);
	/* Behind a tag. */
	frame[12] = 0x81;
	frame[13] = 0;
	frame[16] = 0x08;
	frame[27] = 1;
	assert_int_equal(nic_frame_protocol(frame, NIC_HEAD), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
