/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of files: what is sent arrives as it was, and what a hostile sender
 * says comes to lie in the destination, or nowhere.
 */
#include "agent/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake/test.h"

static char base[] = "/tmp/lodge-tree-XXXXXX";
static struct tree_taker taker;

static void sh(const char *script)
{
	char text[1000];

	snprintf(text, sizeof(text), "cd %s && { %s; }", base, script);
	assert_int_equal(system(text), 0);
}

static int begin(void **state)
{
	strcpy(base, "/tmp/lodge-tree-XXXXXX");
	memset(&taker, 0, sizeof(taker));
	taker.modes = 0777;
	if (!mkdtemp(base))
		return -1;
	sh("mkdir to out; echo secret >out/file; ln -s ../out to/planted");
	return 0;
}

static int finish(void **state)
{
	tree_close(&taker);
	sh("test \"$(ls out)\" = file && test \"$(cat out/file)\" = secret");
	sh("cd / && chmod -R u+rwx \"$OLDPWD\" && rm -rf \"$OLDPWD\"");
	return 0;
}

static const char *path(const char *name)
{
	static char text[200];

	snprintf(text, sizeof(text), "%s/%s", base, name);
	return text;
}

/* --- what a sender says -------------------------------------------------------- */

static int say_size(uint8_t type, const char *name, size_t size)
{
	static uint8_t data[TREE_ENTRY + 1000];
	const struct tree_entry entry = { .mode = 06755, .seconds = 1000 };
	const struct frame frame = { type, (uint32_t)(TREE_ENTRY + size),
				     data };

	tree_put_entry(data, &entry);
	memcpy(data + TREE_ENTRY, name, size);
	return tree_take(&taker, &frame);
}

static int say(uint8_t type, const char *name)
{
	return say_size(type, name, strlen(name));
}

static int say_plain(uint8_t type, const char *text)
{
	const struct frame frame = { type, (uint32_t)strlen(text),
				     (const uint8_t *)text };

	return tree_take(&taker, &frame);
}

static void open_in_folder(void)
{
	assert_int_equal(tree_open(&taker, path("to"), "top"), 0);
	assert_int_equal(say(AGENT_TREE_FOLDER, "anything"), 0);
}

static void arrives(void **state)
{
	assert_int_equal(tree_open(&taker, path("to"), "top"), 0);
	assert_int_equal(say(AGENT_TREE_FOLDER, "../../else"), 0);
	assert_int_equal(say(AGENT_TREE_FILE, "file"), 0);
	assert_int_equal(say_plain(AGENT_TREE_DATA, "some "), 0);
	assert_int_equal(say_plain(AGENT_TREE_DATA, "words"), 0);
	assert_int_equal(say_size(AGENT_TREE_LINK, "link\0file", 9), 0);
	assert_int_equal(say(AGENT_TREE_FOLDER, "empty"), 0);
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), 0);
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), 0);
	assert_int_equal(say_plain(AGENT_TREE_END, ""), 0);
	assert_true(taker.ended);
	sh("test \"$(cat to/top/link)\" = 'some words'");
	sh("test \"$(stat -c '%a %Y' to/top/file)\" = '755 1000'");
	sh("test \"$(stat -c '%a %Y' to/top)\" = '755 1000'");
	sh("test \"$(stat -c '%Y' to/top/link)\" = 1000");
}

static void names_that_lead_elsewhere(void **state)
{
	static const struct {
		const char *name;
		size_t size;
	} names[] = {
		{ "", 0 },	  { ".", 1 },	  { "..", 2 },
		{ "/", 1 },	  { "a/b", 3 },	  { "../out", 6 },
		{ "/etc/x", 6 },  { "a/", 2 },	  { "../../out/file", 14 },
	};
	static const uint8_t types[] = { AGENT_TREE_FOLDER, AGENT_TREE_FILE,
					 AGENT_TREE_LINK };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t j = 0; j < sizeof(types); j++) {
			memset(&taker, 0, sizeof(taker));
			taker.modes = 0777;
			open_in_folder();
			assert_int_equal(say_size(types[j], names[i].name,
						  names[i].size), EPROTO);
			tree_close(&taker);
		}
}

static void long_names(void **state)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	open_in_folder();
	assert_int_equal(say_size(AGENT_TREE_FILE, name, 255), 0);
	assert_int_equal(say_size(AGENT_TREE_FILE, name, 256), EPROTO);
}

/* A link, and then something to be written through it. */
static void through_a_link(void **state)
{
	open_in_folder();
	assert_int_equal(say_size(AGENT_TREE_LINK, "x\0../../out", 11), 0);
	assert_int_not_equal(say(AGENT_TREE_FOLDER, "x"), 0);
	tree_close(&taker);
	memset(&taker, 0, sizeof(taker));
	taker.modes = 0777;
	open_in_folder();
	assert_int_equal(say_size(AGENT_TREE_LINK, "y\0../../out/file", 16),
			 0);
	assert_int_equal(say(AGENT_TREE_FILE, "y"), 0);
	assert_int_equal(say_plain(AGENT_TREE_DATA, "theirs"), 0);
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), 0);
	assert_int_equal(say_plain(AGENT_TREE_END, ""), 0);
	sh("test ! -L to/top/y && test \"$(cat to/top/y)\" = theirs");
}

/* One that an earlier copy left, at the top. */
static void through_a_planted_link(void **state)
{
	assert_int_equal(tree_open(&taker, path("to"), "planted"), 0);
	assert_int_not_equal(say(AGENT_TREE_FOLDER, "planted"), 0);
	tree_close(&taker);
	memset(&taker, 0, sizeof(taker));
	taker.modes = 0777;
	sh("ln -sfn ../out/file to/planted");
	assert_int_equal(tree_open(&taker, path("to"), "planted"), 0);
	assert_int_equal(say(AGENT_TREE_FILE, "planted"), 0);
	assert_int_equal(say_plain(AGENT_TREE_DATA, "theirs"), 0);
	assert_int_equal(say_plain(AGENT_TREE_END, ""), 0);
	sh("test ! -L to/planted");
}

static void top_is_no_link(void **state)
{
	assert_int_equal(tree_open(&taker, path("to"), "top"), 0);
	assert_int_equal(say_size(AGENT_TREE_LINK, "top\0/etc", 8), EPROTO);
	sh("test ! -L to/top");
}

/* More than was asked for: a second thing, the folder above. */
static void beyond_the_top(void **state)
{
	open_in_folder();
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), 0);
	assert_int_equal(say(AGENT_TREE_FILE, "more"), EPROTO);
	tree_close(&taker);
	memset(&taker, 0, sizeof(taker));
	open_in_folder();
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), 0);
	assert_int_equal(say_plain(AGENT_TREE_UP, ""), EPROTO);
	sh("test \"$(ls to)\" = \"$(printf 'planted\\ntop')\"");
}

static void without_sense(void **state)
{
	static const uint8_t types[] = { AGENT_TREE_DATA, AGENT_TREE_END, 0,
					 AGENT_OUTPUT, 255 };

	for (size_t i = 0; i < sizeof(types); i++) {
		memset(&taker, 0, sizeof(taker));
		open_in_folder();
		assert_int_equal(say_plain(types[i], "x"), EPROTO);
		tree_close(&taker);
	}
	memset(&taker, 0, sizeof(taker));
	open_in_folder();
	assert_int_equal(say_plain(AGENT_TREE_FILE, "short"), EPROTO);
}

static void too_deep(void **state)
{
	unsigned int depth = 1;

	open_in_folder();
	while (!say(AGENT_TREE_FOLDER, "d"))
		depth++;
	assert_int_equal(depth, AGENT_DEPTH_MAX - 1);
}

static void where_to(void **state)
{
	assert_int_not_equal(tree_open(&taker, path("none/x"), "top"), 0);
	tree_close(&taker);
	assert_int_not_equal(tree_open(&taker, path("none/"), "top"), 0);
	tree_close(&taker);
	memset(&taker, 0, sizeof(taker));
	taker.modes = 0777;
	assert_int_equal(tree_open(&taker, path("to/new"), "top"), 0);
	assert_int_equal(say(AGENT_TREE_FILE, "top"), 0);
	assert_int_equal(say_plain(AGENT_TREE_END, ""), 0);
	sh("test -f to/new");
}

/* --- both ends ------------------------------------------------------------------ */

static void there_and_back(void **state)
{
	static struct frame_in in;
	struct frame frame;
	int ends[2], status;
	pid_t sender;

	sh("mkdir -p from/a/b && head -c 300000 /dev/urandom >from/a/big && "
	   "ln -s nowhere from/a/b/link && : >from/a/nothing && "
	   "chmod 400 from/a/nothing && mkfifo from/pipe && "
	   "touch -d @5000 from/a/big from/a/b");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	sender = fork();
	if (!sender) {
		struct tree_sender tree = { .fd = ends[1], .folders = true };

		_exit(tree_send(&tree, path("from")) || tree.skipped != 1);
	}
	close(ends[1]);
	assert_int_equal(tree_open(&taker, path("to"), "from"), 0);
	in.start = in.used = 0;
	while (!taker.ended) {
		assert_int_equal(frame_wait(&in, ends[0], &frame), 1);
		assert_int_equal(tree_take(&taker, &frame), 0);
	}
	assert_int_equal(taker.skipped, 1);
	assert_int_equal(waitpid(sender, &status, 0), sender);
	assert_int_equal(status, 0);
	close(ends[0]);
	sh("rm from/pipe; diff -r --no-dereference from to/from");
	sh("for x in . a a/b a/big a/nothing a/b/link; do "
	   "test \"$(stat -c '%A %Y' from/$x)\" = "
	   "\"$(stat -c '%A %Y' to/from/$x)\" || test $x = .; done");
}

static void not_sent(void **state)
{
	struct tree_sender tree = { .fd = -1 };

	assert_int_equal(tree_send(&tree, path("none")), ENOENT);
	assert_int_equal(tree_send(&tree, path("to")), EISDIR);
	assert_int_equal(tree_send(&tree, "/dev/null"), EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(arrives), TEST(names_that_lead_elsewhere),
		TEST(long_names), TEST(through_a_link),
		TEST(through_a_planted_link), TEST(top_is_no_link),
		TEST(beyond_the_top), TEST(without_sense), TEST(too_deep),
		TEST(where_to), TEST(there_and_back), TEST(not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
