/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of connections: when a stack may forget one, and when not.
 */
#include "net/closing.h"

#include <stdlib.h>
#include <string.h>

#include "fake/test.h"

static uint8_t frame[80];
static struct closings closings;

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static struct tcp_segment make(bool v6, bool guest, uint8_t port,
			       unsigned int flags, uint32_t sequence,
			       uint32_t ack)
{
	const uint32_t tcp = v6 ? 54 : 34, ip = v6 ? 22 : 26, n = v6 ? 16 : 4;
	struct tcp_segment segment;

	memset(frame, 0, sizeof(frame));
	memcpy(frame + 12, v6 ? "\x86\xdd" : "\x08\0", 2);
	frame[14] = v6 ? 0x60 : 0x45;
	frame[v6 ? 20 : 23] = 6;
	frame[v6 ? 19 : 17] = v6 ? 20 : 40;
	frame[ip + (guest ? 0 : n)] = 10; /* the guest's address */
	frame[ip + (guest ? n : 0)] = 20;
	frame[tcp + (guest ? 1 : 3)] = port;
	frame[tcp + (guest ? 3 : 1)] = 80;
	put32(frame + tcp + 4, sequence);
	put32(frame + tcp + 8, ack);
	frame[tcp + 12] = 0x50;
	frame[tcp + 13] = (uint8_t)flags;
	assert_true(tcp_parse(&segment, frame, tcp + 20));
	return segment;
}

static void stack(bool v6, uint8_t port, unsigned int flags,
		  uint32_t sequence, uint32_t ack)
{
	const struct tcp_segment s = make(v6, false, port, flags, sequence,
					  ack);

	closing_note_stack(&closings, &s);
}

static void guest(bool v6, uint8_t port, unsigned int flags,
		  uint32_t sequence, uint32_t ack)
{
	const struct tcp_segment s = make(v6, true, port, flags, sequence, ack);

	closing_note_guest(&closings, &s);
}

static bool none_due(void)
{
	struct tcp_plain reset;

	return !closing_next(&closings, &reset);
}

/* The host ends it first, then the guest. */
static void forgets(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct tcp_plain reset;
		struct tcp_segment s;

		stack(v6, 7, TCP_FIN | TCP_ACK, 100, 500);
		guest(v6, 7, TCP_ACK, 500, 101);
		guest(v6, 7, TCP_FIN | TCP_ACK, 500, 101);
		assert_true(none_due());
		stack(v6, 7, TCP_ACK, 101, 501);
		assert_true(closing_next(&closings, &reset));
		assert_true(tcp_parse(&s, reset.frame, reset.size));
		assert_int_equal(s.flags, TCP_RST | TCP_ACK);
		assert_int_equal(s.sequence, 501);
		assert_int_equal(s.ack, 101);
		stack(v6, 7, TCP_ACK, 101, 501);
		assert_true(none_due());
	}
}

/* The stack's end is sent again before the guest hears of it. */
static void twice(void **state)
{
	struct tcp_plain reset;

	stack(false, 8, TCP_FIN | TCP_ACK, 100, 500);
	stack(false, 8, TCP_FIN | TCP_ACK, 100, 500);
	guest(false, 8, TCP_FIN | TCP_ACK, 500, 101);
	stack(false, 8, TCP_FIN | TCP_ACK, 100, 501);
	assert_true(none_due());
	stack(false, 8, TCP_ACK, 101, 501);
	assert_true(closing_next(&closings, &reset));
}

static void forgets_not(void **state)
{
	/* The guest ends it first: the stack waits for nothing. */
	guest(false, 1, TCP_FIN | TCP_ACK, 500, 100);
	stack(false, 1, TCP_ACK, 100, 501);
	stack(false, 1, TCP_FIN | TCP_ACK, 100, 501);
	guest(false, 1, TCP_ACK, 501, 101);
	assert_true(none_due());
	/* Both at the same time: the stack's is not acknowledged. */
	stack(false, 2, TCP_FIN | TCP_ACK, 100, 500);
	guest(false, 2, TCP_FIN | TCP_ACK, 500, 100);
	stack(false, 2, TCP_ACK, 101, 501);
	assert_true(none_due());
	/* The guest still sends. */
	stack(false, 3, TCP_FIN | TCP_ACK, 100, 500);
	guest(false, 3, TCP_ACK, 500, 101);
	stack(false, 3, TCP_ACK, 101, 500);
	assert_true(none_due());
	/* Another connection of the same ports; a reset. */
	stack(false, 4, TCP_FIN | TCP_ACK, 100, 500);
	guest(false, 4, TCP_SYN, 900, 0);
	guest(false, 4, TCP_FIN | TCP_ACK, 500, 101);
	stack(false, 4, TCP_ACK, 101, 501);
	assert_true(none_due());
	stack(false, 5, TCP_FIN | TCP_ACK, 100, 500);
	guest(false, 5, TCP_FIN | TCP_ACK, 500, 101);
	stack(false, 5, TCP_RST | TCP_ACK, 101, 501);
	stack(false, 5, TCP_ACK, 101, 501);
	assert_true(none_due());
	/* Not the family that the ports were noted of. */
	stack(false, 6, TCP_FIN | TCP_ACK, 100, 500);
	guest(true, 6, TCP_FIN | TCP_ACK, 500, 101);
	stack(true, 6, TCP_ACK, 101, 501);
	assert_true(none_due());
}

/* More at the same time than are kept: they wait, none is mistaken. */
static void many(void **state)
{
	unsigned int due = 0;
	struct tcp_plain reset;

	for (unsigned int i = 0; i < 200; i++)
		stack(false, (uint8_t)i, TCP_FIN | TCP_ACK, i, 500);
	for (unsigned int i = 0; i < 200; i++) {
		guest(false, (uint8_t)i, TCP_FIN | TCP_ACK, 500, i + 1);
		stack(false, (uint8_t)i, TCP_ACK, i + 1, 501);
	}
	while (closing_next(&closings, &reset))
		due++;
	assert_int_equal(due, CLOSING_DUE);
}

/* Whatever a guest sends, of any length, is looked at within its bounds. */
static void hostile(void **state)
{
	uint32_t random = 1;

	for (unsigned int i = 0; i < 200000; i++) {
		uint32_t size = i % 90;
		uint8_t *data = malloc(size ? size : 1);
		struct tcp_segment s;

		make(i & 1, i & 2, (uint8_t)(i >> 4), i >> 3, i, i + 1);
		for (unsigned int k = 0; k < 3 && i & 4; k++) {
			random = random * 1664525 + 1013904223;
			frame[(random >> 8) % 60] = (uint8_t)(random >> 24);
		}
		memcpy(data, frame, size < sizeof(frame) ? size
							 : sizeof(frame));
		if (tcp_parse(&s, data, size)) {
			assert_true(s.at + 20 + s.size <= size);
			closing_note_stack(&closings, &s);
			closing_note_guest(&closings, &s);
		}
		free(data);
	}
	assert_in_range(closings.due_count, 0, CLOSING_DUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgets),
		cmocka_unit_test(twice),
		cmocka_unit_test(forgets_not),
		cmocka_unit_test(many),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
