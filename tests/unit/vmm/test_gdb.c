/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the GDB protocol: framing, sums, escapes, numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/gdb/packet.h"

/* The last event that the bytes led to. */
static enum gdb_event feed(struct gdb_packet *packet, const char *bytes)
{
	enum gdb_event event = GDB_NOTHING;

	for (; *bytes; bytes++)
		event = gdb_packet_take(packet, (uint8_t)*bytes);
	return event;
}

static void packets_are_framed(void **state)
{
	static struct gdb_packet p;

	assert_int_equal(feed(&p, "+noise$g#67"), GDB_PACKET);
	assert_string_equal(p.data, "g");
	assert_int_equal(feed(&p, "$m12$p1#a1"), GDB_PACKET);
	assert_string_equal(p.data, "p1");
	assert_int_equal(feed(&p, "$#00"), GDB_PACKET);
	assert_string_equal(p.data, "");
	assert_int_equal(feed(&p, "\x03"), GDB_INTERRUPT);
	assert_int_equal(feed(&p, "-"), GDB_NAK);
}

static void sums_are_checked(void **state)
{
	static struct gdb_packet p;

	assert_int_equal(feed(&p, "$g#68"), GDB_BROKEN);
	assert_int_equal(feed(&p, "$g#6x"), GDB_BROKEN);
	assert_int_equal(feed(&p, "$g#67"), GDB_PACKET);
}

static void escapes_are_undone(void **state)
{
	static struct gdb_packet p;

	/* '}' and 0x03: '#' and an ordinary byte behind it */
	assert_int_equal(feed(&p, "$}\x03x#f8"), GDB_PACKET);
	assert_string_equal(p.data, "#x");
}

static void long_packets_are_refused(void **state)
{
	static struct gdb_packet p;

	gdb_packet_take(&p, '$');
	for (unsigned int i = 0; i < 3 * GDB_PACKET_MAX; i++)
		gdb_packet_take(&p, 'a');
	assert_int_equal(feed(&p, "#00"), GDB_BROKEN);
	assert_int_equal(p.size, GDB_PACKET_MAX);
	assert_int_equal(feed(&p, "$g#67"), GDB_PACKET);
}

static void answers_have_sums(void **state)
{
	static struct gdb_answer a;

	gdb_begin(&a);
	gdb_put(&a, "T05");
	gdb_put_format(&a, "thread:%x;", 26);
	gdb_put_hex(&a, "\x01\xff", 2);
	gdb_put_binary(&a, "a#", 2);
	gdb_end(&a);
	assert_memory_equal(a.data, "$T05thread:1a;01ffa}\x03#", 22);
	assert_int_equal(a.size, 24);
}

static void answers_have_an_end(void **state)
{
	static struct gdb_answer a;
	static const char zeroes[1000];

	gdb_begin(&a);
	for (unsigned int i = 0; i < 100; i++)
		gdb_put_hex(&a, zeroes, sizeof(zeroes));
	assert_true(a.full);
	gdb_end(&a);
	assert_true(a.size < sizeof(a.data));
	assert_int_equal(a.data[a.size - 3], '#');
}

static void numbers_are_hex(void **state)
{
	const char *text = "1fG";
	uint8_t bytes[2];
	uint64_t v;

	assert_true(gdb_number(&text, &v));
	assert_int_equal(v, 0x1f);
	assert_string_equal(text, "G");
	assert_false(gdb_number(&text, &v));
	text = "ffffffffffffffff";
	assert_true(gdb_number(&text, &v));
	assert_true(v == UINT64_MAX);
	text = "0ffffffffffffffff";
	assert_false(gdb_number(&text, &v));
	text = "12a";
	assert_false(gdb_bytes(&text, bytes, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_framed),
		cmocka_unit_test(sums_are_checked),
		cmocka_unit_test(escapes_are_undone),
		cmocka_unit_test(long_packets_are_refused),
		cmocka_unit_test(answers_have_sums),
		cmocka_unit_test(answers_have_an_end),
		cmocka_unit_test(numbers_are_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
