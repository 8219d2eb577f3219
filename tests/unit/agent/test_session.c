/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the agent's protocol, as a process of this host: what a
 * command is given, what becomes of its words, and how it ends.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/guest.h"
#include "fake/test.h"

static struct frame_in in;
static struct frame frame;
static char output[1 << 16], errors[1 << 16];
static int fd;
static pid_t agent;

static int begin(void **state)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	in.start = in.used = 0;
	agent = fork();
	if (!agent) {
		close(ends[0]);
		signal(SIGPIPE, SIG_IGN);
		session_serve(ends[1]);
		_exit(0);
	}
	close(ends[1]);
	fd = ends[0];
	return agent < 0 ? -1 : 0;
}

/* The agent's process ends with its connection. */
static int finish(void **state)
{
	int status;

	close(fd);
	return waitpid(agent, &status, 0) == agent && WIFEXITED(status) ? 0 :
									 -1;
}

static void put(uint8_t type, const char *text)
{
	assert_int_equal(frame_send(fd, type, text, (uint32_t)strlen(text)),
			 0);
}

static void hello(void)
{
	assert_int_equal(send(fd, AGENT_GREETING, strlen(AGENT_GREETING), 0),
			 strlen(AGENT_GREETING));
	assert_int_equal(frame_expect(&in, fd, AGENT_GREETING,
				      strlen(AGENT_GREETING)), 0);
}

/* As whoever runs this: others only root may become. */
static void run_shell(const char *script)
{
	char uid[20];

	hello();
	snprintf(uid, sizeof(uid), "%u", geteuid());
	put(AGENT_USER, uid);
	put(AGENT_WORD, "/bin/sh");
	put(AGENT_WORD, "-c");
	put(AGENT_WORD, script);
}

static void append(char *to, const struct frame *from)
{
	size_t used = strlen(to);

	assert_true(used + from->size < sizeof(output));
	memcpy(to + used, from->data, from->size);
	to[used + from->size] = '\0';
}

/* Until the command's end, whose frame is in `frame`. */
static void hear_out(void)
{
	output[0] = errors[0] = '\0';
	do {
		assert_int_equal(frame_wait(&in, fd, &frame), 1);
		if (frame.type == AGENT_OUTPUT)
			append(output, &frame);
		else if (frame.type == AGENT_ERRORS)
			append(errors, &frame);
	} while (frame.type != AGENT_EXITED && frame.type != AGENT_KILLED &&
		 frame.type != AGENT_FAILED);
}

static void statuses(void **state)
{
	run_shell("echo out; echo err >&2; exit 7");
	put(AGENT_EXEC, "");
	put(AGENT_INPUT, "");
	hear_out();
	assert_int_equal(frame.type, AGENT_EXITED);
	assert_int_equal(frame.data[0], 7);
	assert_string_equal(output, "out\n");
	assert_string_equal(errors, "err\n");
}

static void surroundings(void **state)
{
	run_shell("echo $A,$B,$PWD");
	put(AGENT_VARIABLE, "A=1");
	put(AGENT_VARIABLE, "B=2");
	put(AGENT_VARIABLE, "A=3");
	put(AGENT_FOLDER, "/usr");
	put(AGENT_EXEC, "");
	hear_out();
	assert_string_equal(output, "3,2,/usr\n");
}

static void input_comes_through(void **state)
{
	run_shell("cat; echo end");
	put(AGENT_EXEC, "");
	put(AGENT_INPUT, "some ");
	put(AGENT_INPUT, "words\n");
	put(AGENT_INPUT, "");
	hear_out();
	assert_string_equal(output, "some words\nend\n");
}

/* Signals do not wait behind input that nobody reads. */
static void signals_pass_input(void **state)
{
	static char much[AGENT_WINDOW / 2];
	uint8_t number = SIGTERM;

	run_shell("echo ready; exec sleep 1000");
	put(AGENT_EXEC, "");
	memset(much, 'x', sizeof(much));
	for (int i = 0; i < 2; i++)
		assert_int_equal(frame_send(fd, AGENT_INPUT, much,
					    sizeof(much)), 0);
	do
		assert_int_equal(frame_wait(&in, fd, &frame), 1);
	while (frame.type != AGENT_OUTPUT);
	assert_int_equal(frame_send(fd, AGENT_SIGNAL, &number, 1), 0);
	hear_out();
	assert_int_equal(frame.type, AGENT_KILLED);
	assert_int_equal(frame.data[0], SIGTERM);
}

static void terminal(void **state)
{
	static const uint8_t size[] = { 33, 0, 99, 0 };

	run_shell("tty -s && stty size; read x; echo \"got $x\"");
	assert_int_equal(frame_send(fd, AGENT_TERMINAL, size, 4), 0);
	put(AGENT_EXEC, "");
	put(AGENT_INPUT, "hey\n");
	hear_out();
	assert_int_equal(frame.type, AGENT_EXITED);
	assert_non_null(strstr(output, "33 99\r\n"));
	assert_non_null(strstr(output, "got hey\r\n"));
}

/* What a command leaves behind does not hold its caller. */
static void left_behind(void **state)
{
	run_shell("sleep 1000 & echo $!");
	put(AGENT_EXEC, "");
	hear_out();
	assert_int_equal(frame.type, AGENT_EXITED);
	assert_int_equal(kill((pid_t)atoi(output), SIGKILL), 0);
}

static void not_found(void **state)
{
	hello();
	put(AGENT_WORD, "/no/such/program");
	put(AGENT_EXEC, "");
	hear_out();
	assert_int_equal(frame.type, AGENT_FAILED);
	if (!geteuid())
		assert_int_equal(frame_get32(frame.data), ENOENT);
}

static void no_such_user(void **state)
{
	hello();
	put(AGENT_USER, "no-such-user");
	put(AGENT_WORD, "true");
	put(AGENT_EXEC, "");
	hear_out();
	assert_int_equal(frame.type, AGENT_FAILED);
}

static void unknown_request(void **state)
{
	hello();
	put(200, "");
	hear_out();
	assert_int_equal(frame.type, AGENT_FAILED);
	assert_int_equal(frame_get32(frame.data), 0);
}

static void too_many_words(void **state)
{
	static char word[AGENT_FRAME_MAX];
	int rc = 0;

	hello();
	memset(word, 'w', sizeof(word));
	for (int i = 0; i < 9 && !rc; i++)
		rc = frame_send(fd, AGENT_WORD, word, sizeof(word));
	hear_out();
	assert_int_equal(frame.type, AGENT_FAILED);
	assert_int_equal(frame_get32(frame.data), E2BIG);
}

/* The command ends when the host is gone: its pipe's other end is ours. */
static void host_is_gone(void **state)
{
	char byte;
	int hold[2];

	assert_int_equal(pipe(hold), 0);
	close(fd);
	waitpid(agent, NULL, 0);
	assert_int_equal(begin(state), 0); /* its children have `hold` */
	close(hold[1]);
	run_shell("trap '' HUP; echo on; sleep 1000");
	put(AGENT_EXEC, "");
	do
		assert_int_equal(frame_wait(&in, fd, &frame), 1);
	while (frame.type != AGENT_OUTPUT);
	shutdown(fd, SHUT_RDWR);
	assert_int_equal(read(hold[0], &byte, 1), 0);
	close(hold[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(statuses), TEST(surroundings), TEST(input_comes_through),
		TEST(signals_pass_input), TEST(terminal), TEST(left_behind),
		TEST(not_found), TEST(no_such_user), TEST(unknown_request),
		TEST(too_many_words), TEST(host_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
