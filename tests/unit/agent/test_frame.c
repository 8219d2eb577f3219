/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the agent's protocol: in parts, at their limits, and wrong ones.
 */
#include "agent/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake/test.h"

static struct frame_in in;
static struct frame_out out;
static int ends[2];

static int open_pair(void **state)
{
	in.start = in.used = out.start = out.used = 0;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static int close_pair(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void send_bytes(const void *bytes, size_t size)
{
	assert_int_equal(write(ends[1], bytes, size), size);
}

static void byte_by_byte(void **state)
{
	static const uint8_t bytes[] = { 65, 3, 0, 0, 'a', 'b', 'c', 2, 0, 0,
					 0 };
	struct frame frame;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		send_bytes(&bytes[i], 1);
		assert_int_equal(frame_fill(&in, ends[0]), 1);
		assert_int_equal(frame_next(&in, &frame), i == 6 || i == 10);
		if (i == 6) {
			assert_int_equal(frame.type, 65);
			assert_int_equal(frame.size, 3);
			assert_memory_equal(frame.data, "abc", 3);
		}
	}
	assert_int_equal(frame.type, 2);
	assert_int_equal(frame.size, 0);
}

static void too_large(void **state)
{
	uint8_t head[4];
	struct frame frame;

	frame_put32(head, (AGENT_FRAME_MAX + 1) << 8 | AGENT_OUTPUT);
	send_bytes(head, sizeof(head));
	assert_int_equal(frame_wait(&in, ends[0], &frame), -EPROTO);
	assert_false(frame_put(&out, 1, head, AGENT_FRAME_MAX + 1));
}

/* A frame that ends where the buffer does, again and again. */
static void largest(void **state)
{
	uint8_t *data = malloc(AGENT_FRAME_MAX);
	struct frame frame;
	unsigned int sent = 0, taken = 0;

	assert_non_null(data);
	while (taken < 40) {
		memset(data, (int)sent, AGENT_FRAME_MAX);
		if (sent < 40 &&
		    frame_put(&out, AGENT_OUTPUT, data,
			      AGENT_FRAME_MAX - sent % 3))
			sent++;
		assert_int_equal(frame_flush(&out, ends[1]), 0);
		if (!frame_next(&in, &frame)) {
			assert_true(frame_fill(&in, ends[0]) > 0);
			continue;
		}
		assert_int_equal(frame.size, AGENT_FRAME_MAX - taken % 3);
		assert_int_equal(frame.data[0], taken);
		assert_int_equal(frame.data[frame.size - 1], taken);
		taken++;
	}
	free(data);
}

static void ends_in_a_frame(void **state)
{
	struct frame frame;

	send_bytes("A\10\0\0ab", 6);
	shutdown(ends[1], SHUT_WR);
	assert_int_equal(frame_wait(&in, ends[0], &frame), 0);
}

static void greeting(void **state)
{
	struct frame frame;

	send_bytes("hello\nA\0\0\0", 10);
	assert_int_equal(frame_expect(&in, ends[0], "hello\n", 6), 0);
	assert_int_equal(frame_wait(&in, ends[0], &frame), 1);
	assert_int_equal(frame.type, 'A');
	send_bytes("hullo\n", 6);
	assert_int_equal(frame_expect(&in, ends[0], "hello\n", 6), -EPROTO);
	in.start = in.used;
	send_bytes("hel", 3);
	shutdown(ends[1], SHUT_WR);
	assert_int_equal(frame_expect(&in, ends[0], "hello\n", 6),
			 -ECONNRESET);
}

static void numbers(void **state)
{
	uint8_t bytes[8];

	frame_put64(bytes, 0x1122334455667788);
	assert_int_equal(bytes[0], 0x88);
	assert_int_equal(frame_get16(bytes), 0x7788);
	assert_int_equal(frame_get32(bytes), 0x55667788);
	assert_true(frame_get64(bytes) == 0x1122334455667788);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(byte_by_byte, open_pair,
						close_pair),
		cmocka_unit_test_setup_teardown(too_large, open_pair,
						close_pair),
		cmocka_unit_test_setup_teardown(largest, open_pair,
						close_pair),
		cmocka_unit_test_setup_teardown(ends_in_a_frame, open_pair,
						close_pair),
		cmocka_unit_test_setup_teardown(greeting, open_pair,
						close_pair),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
