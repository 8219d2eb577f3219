/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine's process asks of an agent that answers, says nonsense,
 * says nothing, or too much; and whether this computer slept.
 */
#include "vmm/guest/guest_agent.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/frame.h"
#include "fake/test.h"
#include "vmm/guest/facts.h"
#include "vmm/vsock_unix.h"

#define HELLO "OK 5\nlodge-agent 1\n"

static struct loop *the_loop;
static struct guest_agent *agent;
static int guest; /* the guest's end of the last connection */
static unsigned int calls, answers;

/* In the place of the socket device's. */
int vsock_unix_call(struct vsock_unix *host, uint32_t port)
{
	int pair[2];

	assert_int_equal(port, AGENT_PORT);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	if (guest >= 0)
		close(guest);
	guest = pair[1];
	calls++;
	return pair[0];
}

static void answered(void *ctx)
{
	answers++;
	loop_stop(the_loop);
}

static int open_all(void **state)
{
	guest = -1;
	calls = answers = 0;
	assert_int_equal(loop_create(&the_loop), 0);
	assert_int_equal(guest_agent_open(&agent, the_loop,
					  (struct vsock_unix *)&guest), 0);
	guest_agent_on_answer(agent, answered, NULL);
	return 0;
}

static int close_all(void **state)
{
	guest_agent_close(agent);
	loop_destroy(the_loop);
	if (guest >= 0)
		close(guest);
	return 0;
}

static void say(const void *bytes, size_t size)
{
	assert_int_equal(send(guest, bytes, size, MSG_NOSIGNAL), size);
}

static void say_frame(uint8_t type, const void *data, uint32_t size)
{
	assert_int_equal(frame_send(guest, type, data, size), 0);
}

static void say_fact(const char *text)
{
	say_frame(AGENT_FACT, text, (uint32_t)strlen(text));
}

static void expect_answer(void)
{
	unsigned int before = answers;

	assert_int_equal(loop_run(the_loop), 0);
	assert_int_equal(answers, before + 1);
}

static json_t *known(void)
{
	json_t *all = guest_agent_json(agent);

	assert_non_null(all);
	return all;
}

static void facts_come(void **state)
{
	char bytes[64];
	json_t *all;

	assert_true(guest_agent_ask(agent));
	say(HELLO, strlen(HELLO));
	say_fact("name=box");
	say_fact("memory=1048576");
	say_fact("address=eth0 10.0.2.15/24");
	say_fact("nonsense=1");
	say_fact("no value");
	say_fact("system=a\033[2Jb");
	say_frame(AGENT_DONE, "\0\0\0", 4);
	expect_answer();
	all = known();
	assert_string_equal(json_string_value(json_object_get(all, "name")),
			    "box");
	assert_int_equal(json_integer_value(json_object_get(all, "memory")),
			 1 << 20);
	assert_string_equal(json_string_value(json_object_get(all, "system")),
			    "a?[2Jb");
	assert_int_equal(json_array_size(json_object_get(all, "address")), 1);
	assert_null(json_object_get(all, "nonsense"));
	assert_non_null(json_object_get(all, "age"));
	json_decref(all);
	/* The request went behind the greeting. */
	assert_int_equal(recv(guest, bytes, sizeof(bytes), 0), 14 + 4);
	assert_memory_equal(bytes, "lodge-agent 1\n\23\0\0\0", 18);
}

/* Whatever it is, whoever waits is answered, and nothing is believed. */
static void nonsense(void **state)
{
	static const char *const words[] = {
		"no\n", "OK 5\nlodge-agent 2\n", "\n\n", "OK 5\n\n",
		"OK 5\nlodge-agent 1\n\xff\xff\xff\xff",
		"0123456789012345678901234567890123456789",
		"OK 5\n0123456789012345678901234567890123456789",
		/* A frame that does not end: the moment does. */
		"OK 5\nlodge-agent 1\n\110\1\1\1\1\1\1\1\1",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		json_t *all;

		assert_true(guest_agent_ask(agent));
		say(words[i], strlen(words[i]));
		expect_answer();
		all = known();
		assert_true(json_is_null(all));
		json_decref(all);
	}
}

static void too_many_facts(void **state)
{
	static const char fact[] = "address=eth0 10.0.2.15/24";
	static struct frame_out out;
	json_t *all;

	assert_true(guest_agent_ask(agent));
	say(HELLO, strlen(HELLO));
	for (int i = 0; i < 500; i++)
		assert_true(frame_put(&out, AGENT_FACT, fact,
				      sizeof(fact) - 1));
	assert_int_equal(frame_flush(&out, guest), 0);
	say_frame(AGENT_DONE, "\0\0\0", 4);
	expect_answer();
	all = known();
	assert_in_range(json_array_size(json_object_get(all, "address")), 1,
			100);
	json_decref(all);
}

/* The moment passes; those who ask then need not wait. */
static void silence(void **state)
{
	assert_true(guest_agent_ask(agent));
	expect_answer();
	assert_false(guest_agent_ask(agent));
	assert_int_equal(calls, 1);
}

static void the_time_is_set(void **state)
{
	char bytes[64];
	struct timespec now;
	ssize_t size = 0;

	guest_agent_set_time(agent);
	say(HELLO, strlen(HELLO));
	/* Facts beside it, so that there is something to wait for. */
	while (size < 14 + 12) {
		int first = guest;

		guest = -1;
		assert_true(guest_agent_ask(agent));
		close(guest);
		guest = first;
		expect_answer();
		size = recv(guest, bytes, sizeof(bytes),
			    MSG_PEEK | MSG_DONTWAIT);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	assert_memory_equal(bytes + 14, "\25\10\0\0", 4);
	assert_in_range(frame_get64((uint8_t *)bytes + 18) / 1000000000u,
			(uint64_t)now.tv_sec - 3600, (uint64_t)now.tv_sec + 1);
}

static void slept(void **state)
{
	const struct guest_agent_clocks before = { 5000, 4000 };
	struct guest_agent_clocks now = { 5000 + 7000000000, 4000 +
					  7000000000 };

	assert_false(guest_agent_slept(&before, &now));
	now.boot += 1000000000;
	assert_true(guest_agent_slept(&before, &now));
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *address;
	} cases[] = {
		{ "eth0 10.0.2.15/24", "10.0.2.15" },
		{ "eth0 fd00::1/64", "fd00::1" },
		{ "eth0 fe80::1/64", NULL },
		{ "eth0 10.0.2.15", "10.0.2.15" },
		{ "eth0", NULL },
		{ "eth0 ", NULL },
		{ "", NULL },
		{ "eth0 10.0.2.15?/24", NULL },
		{ "eth0 0123456789012345678901234567890123456789012345678",
		  NULL },
	};
	char address[FACTS_ADDRESS];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool good = facts_address(cases[i].text, address);

		assert_int_equal(good, cases[i].address != NULL);
		if (good)
			assert_string_equal(address, cases[i].address);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(facts_come, open_all,
						close_all),
		cmocka_unit_test_setup_teardown(nonsense, open_all, close_all),
		cmocka_unit_test_setup_teardown(too_many_facts, open_all,
						close_all),
		cmocka_unit_test_setup_teardown(silence, open_all, close_all),
		cmocka_unit_test_setup_teardown(the_time_is_set, open_all,
						close_all),
		cmocka_unit_test(slept),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
