/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows that a stack has closed: which are known, and what asks for them.
 */
#include "net/window.h"

#include <string.h>

#include "fake/test.h"
#include "net/offload.h"

static uint8_t frame[200], copy[200];
static struct windows windows;

/* A segment of the stack's, its checksums right. */
static void make(bool v6, uint16_t port, uint16_t window, unsigned int flags)
{
	const uint32_t tcp = v6 ? 54 : 34, size = tcp + 30;
	struct span span = { copy, size };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = size,
		.sum = NIC_SUM_OPEN, .sum_start = (uint16_t)tcp,
		.sum_offset = 16, .segment = 1,
		.cut = v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4,
		.header = (uint16_t)(tcp + 20),
	};

	for (uint32_t i = 0; i < size; i++)
		copy[i] = (uint8_t)(i * 7 + 1);
	memcpy(copy + 12, v6 ? "\x86\xdd" : "\x08\0", 2);
	copy[14] = v6 ? 0x60 : 0x45;
	memset(copy + 20, 0, 2);
	copy[v6 ? 20 : 23] = 6;
	memcpy(copy + tcp, &port, 2);
	memcpy(copy + tcp + 4, "\1\2\3\4\0\0\0\0", 8);
	copy[tcp + 12] = 5 << 4;
	copy[tcp + 13] = (uint8_t)flags;
	copy[tcp + 14] = (uint8_t)(window >> 8);
	copy[tcp + 15] = (uint8_t)window;
	offload_copy(&f, frame);
}

static bool note(bool v6, uint16_t port, uint16_t window, unsigned int flags)
{
	struct tcp_segment segment;

	make(v6, port, window, flags);
	if (!tcp_parse(&segment, frame, v6 ? 84 : 64))
		return false;
	window_note(&windows, &segment);
	return true;
}

static uint64_t value(const uint8_t *at, unsigned int size)
{
	uint64_t n = 0;

	while (size--)
		n = n << 8 | *at++;
	return n;
}

/* Turned round, of 20 bytes, and right by its own checksums. */
static void check_probe(bool v6)
{
	const struct tcp_plain *probe = &windows.closed[0];
	const uint32_t tcp = v6 ? 54 : 34, ip = v6 ? 22 : 26, n = v6 ? 16 : 4;
	struct span span = { (void *)probe->frame, probe->size };
	const struct nic_frame f = {
		.span = &span, .spans = 1, .size = probe->size,
		.sum = NIC_SUM_OPEN, .sum_start = (uint16_t)tcp,
		.sum_offset = 16, .segment = 1,
		.cut = v6 ? NIC_CUT_TCP6 : NIC_CUT_TCP4,
		.header = (uint16_t)(tcp + 20),
	};

	assert_int_equal(probe->size, tcp + 20);
	assert_memory_equal(probe->frame, frame + 6, 6);
	assert_memory_equal(probe->frame + 6, frame, 6);
	assert_memory_equal(probe->frame + ip, frame + ip + n, n);
	assert_memory_equal(probe->frame + ip + n, frame + ip, n);
	assert_memory_equal(probe->frame + tcp, frame + tcp + 2, 2);
	assert_memory_equal(probe->frame + tcp + 2, frame + tcp, 2);
	assert_int_equal(value(probe->frame + tcp + 4, 4), 0xffffffff);
	assert_int_equal(value(probe->frame + tcp + 8, 4), 0x01010304);
	assert_int_equal(value(probe->frame + tcp + 12, 4), 0x50100000);
	offload_copy(&f, copy);
	assert_memory_equal(copy, probe->frame, probe->size);
}

static void closes_and_opens(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		windows.count = 0;
		assert_true(note(v6, 1, 32768, TCP_ACK));
		assert_int_equal(windows.count, 0);
		assert_true(note(v6, 1, 32767, TCP_ACK));
		assert_true(note(v6, 1, 0, TCP_ACK));
		assert_int_equal(windows.count, 1);
		check_probe(v6);
		assert_true(note(v6, 1, 65535, TCP_ACK));
		assert_int_equal(windows.count, 0);
	}
}

/* Connections by their ports and families; the end of one. */
static void many(void **state)
{
	windows.count = 0;
	for (uint16_t i = 0; i < WINDOWS_MAX + 9; i++)
		assert_true(note(i & 1, i, 0, TCP_ACK));
	assert_int_equal(windows.count, WINDOWS_MAX);
	assert_true(note(false, 3, 65535, TCP_ACK));
	assert_int_equal(windows.count, WINDOWS_MAX);
	assert_true(note(true, 3, 0, TCP_ACK | TCP_RST));
	assert_int_equal(windows.count, WINDOWS_MAX - 1);
	assert_true(note(true, 3, 0, TCP_ACK | TCP_RST));
	assert_true(note(false, 2, 0, TCP_SYN | TCP_ACK));
	assert_int_equal(windows.count, WINDOWS_MAX - 2);
}

/* Whatever is no whole segment. */
static void others(void **state)
{
	struct tcp_segment segment;

	make(false, 1, 0, TCP_ACK);
	assert_true(tcp_parse(&segment, frame, 64));
	assert_int_equal(segment.size, 10);
	for (size_t size = 0; size < 64; size++)
		assert_false(tcp_parse(&segment, frame, size));
	frame[21] = 1; /* a fragment */
	assert_false(tcp_parse(&segment, frame, 64));
	make(false, 1, 0, TCP_ACK);
	frame[23] = 17;
	assert_false(tcp_parse(&segment, frame, 64));
	make(false, 1, 0, TCP_ACK);
	frame[46] = 0xf0; /* a header of 60 bytes */
	assert_false(tcp_parse(&segment, frame, 64));
	make(true, 1, 0, TCP_ACK);
	for (size_t size = 0; size < 84; size++)
		assert_false(tcp_parse(&segment, frame, size));
	frame[20] = 44;
	assert_false(tcp_parse(&segment, frame, 84));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closes_and_opens),
		cmocka_unit_test(many),
		cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
