/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, packet by packet: ends of connections.
 */
#include "vsock_rig.h"

static void guest_closes(void **state)
{
	struct vsock_stream *s = connected();

	s->room = 4;
	say_data("rest of it", 10);
	say_shutdown(VSOCK_NO_MORE);
	expect_nothing(); /* the host has not read all */
	assert_true(s->open);
	fake_stream_make_room(s, 100);
	poke();
	assert_memory_equal(taken, "rest of it", 10);
	expect(VSOCK_RST);
	assert_false(s->open);
	/* The address is free again. */
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
}

/* By halves, and bits that are clear take nothing back. */
static void guest_closes_by_halves(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	say_shutdown(VSOCK_NO_SEND);
	assert_true(s->ended_send);
	assert_false(s->ended_receive);
	fake_stream_put(s, "still", 5, false);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	say_shutdown(0);
	expect_nothing();
	say_shutdown(VSOCK_NO_RECEIVE);
	assert_true(s->ended_receive);
	expect(VSOCK_RST);
	assert_false(s->open);
}

static void data_after_the_end(void **state)
{
	connected();
	say_shutdown(VSOCK_NO_SEND);
	say_data("x", 1);
	expect(VSOCK_RST);
	assert_int_equal(streams.closed, 1);
}

/* It says RST in the midst: what was promised to the host still comes. */
static void guest_resets(void **state)
{
	struct vsock_stream *s = connected();

	s->room = 4;
	say_data("rest of it", 10);
	say_shutdown(VSOCK_NO_MORE);
	say(VSOCK_RST);
	assert_true(s->open);
	/* Its address has nothing to do with that any more. */
	streams.listens = 0;
	say(VSOCK_REQUEST);
	expect(VSOCK_RST);
	fake_stream_make_room(s, 100);
	poke();
	assert_memory_equal(taken, "rest of it", 10);
	assert_false(s->open);
	expect_nothing();
	/* Without an end in order it is over at once. */
	streams.listens = PORT;
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	s->room = 0;
	say_data("lost", 4);
	say(VSOCK_RST);
	assert_false(s->open);
	expect_nothing();
}

static void host_closes_by_halves(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	fake_stream_put(s, "bye", 3, true);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_SEND);
	say_data("go on", 5);
	assert_int_equal(s->took, 5);
	fake_stream_hang_up(s);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_MORE);
	assert_false(s->open);
	say(VSOCK_RST);
	expect_nothing();
}

/* All that it sent comes first, however slowly the guest reads. */
static void host_closes(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	say_credit(0, 10);
	fake_stream_put(s, bytes, 20, false);
	fake_stream_hang_up(s);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.len, 10);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_CREDIT_REQUEST);
	say_credit(10, 10);
	assert_true(next(&header));
	assert_int_equal(header.len, 10);
	assert_memory_equal(data, bytes + 10, 10);
	say_credit(20, 10);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_MORE);
	assert_int_equal(streams.closed, 1);
	/* The guest may have sent something before it knew. */
	say_data("late", 4);
	expect_nothing();
	/* Both at once. */
	say_shutdown(VSOCK_NO_MORE);
	expect(VSOCK_RST);
	expect_nothing();
}

/* No answer to SHUTDOWN: RST after a while. */
static void guest_does_not_answer(void **state)
{
	struct vsock_stream *s = connected();

	clock_start(&rig.rig.vm.clock);
	fake_stream_hang_up(s);
	poke();
	expect(VSOCK_SHUTDOWN);
	fake_time_advance(VSOCK_PATIENCE - 1);
	clock_run(&rig.rig.vm.clock);
	fake_work_run();
	expect_nothing();
	fake_time_advance(2);
	clock_run(&rig.rig.vm.clock);
	fake_work_run();
	expect(VSOCK_RST);
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
}

static void host_breaks(void **state)
{
	struct vsock_stream *s = connected();

	s->broken = true;
	say_data("x", 1);
	expect(VSOCK_SHUTDOWN);
	assert_false(s->open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(guest_closes),
		TEST(guest_closes_by_halves),
		TEST(data_after_the_end),
		TEST(guest_resets),
		TEST(host_closes_by_halves),
		TEST(host_closes),
		TEST(guest_does_not_answer),
		TEST(host_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
