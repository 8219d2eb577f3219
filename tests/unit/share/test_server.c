/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of a folder: what it agrees on, numbers that mean nothing, nodes
 * whose descriptors are closed meanwhile, and bounds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define FEW	32  /* descriptors */
#define MANY	500 /* files */
#define DEEP	60  /* folders, in each other */

static struct client client;

static int setup(void **state)
{
	client_open(&client, false, 512);
	return 0;
}

static int setup_few(void **state)
{
	client_open(&client, false, FEW);
	return 0;
}

static int teardown(void **state)
{
	client_close(&client);
	return 0;
}

/* --- the protocol ---------------------------------------------------------------- */

static int init(uint32_t major, uint32_t minor, uint32_t flags,
		struct fuse_init_out *out)
{
	const struct fuse_init_in in = { .major = major,
					 .minor = minor,
					 .flags = flags };
	struct answer answer;
	int rc = client_ask(&client, FUSE_INIT, 0, &in, 16, NULL, 0, &answer);

	memset(out, 0, sizeof(*out));
	if (!rc)
		memcpy(out, answer.bytes, sizeof(*out));
	return rc;
}

static void agreement(void **state)
{
	struct fuse_init_out out;

	assert_int_equal(init(7, 30, ~0u, &out), -EPROTO);
	assert_int_equal(init(6, 99, ~0u, &out), -EPROTO);
	assert_int_equal(init(7, 36, ~0u, &out), 0);
	assert_int_equal(out.major, 7);
	assert_int_equal(out.minor, 36);
	assert_true(out.flags & FUSE_ATOMIC_O_TRUNC);
	/* What it does not keep, it does not promise. */
	assert_false(out.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
				  FUSE_WRITEBACK_CACHE | FUSE_POSIX_ACL |
				  FUSE_NO_OPEN_SUPPORT));
	assert_int_equal(init(7, 31, 0, &out), 0);
	assert_int_equal(out.flags, 0);
	/* A newer one asks again, with our version. */
	assert_int_equal(init(8, 0, ~0u, &out), 0);
	assert_int_equal(out.major, 7);
}

static void nonsense(void **state)
{
	_Alignas(8) uint8_t zeros[512] = { 0 }, reply[64];
	struct fuse_in_header *head = (void *)zeros;
	struct answer answer;

	/* Operations that there are not, or that are too short. */
	for (uint32_t opcode = 0; opcode < 5000; opcode += 1 + opcode / 64) {
		if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
		    opcode == FUSE_INTERRUPT)
			continue; /* without an answer */
		assert_true(client_ask(&client, opcode, 12345, NULL, 0, NULL,
				       0, &answer) < 0 ||
			    opcode == FUSE_DESTROY);
	}
	/* No room for an answer: there is none, and no harm. */
	for (uint32_t opcode = 0; opcode < 64; opcode++) {
		head->opcode = opcode;
		head->nodeid = CLIENT_ROOT;
		for (uint32_t room = 0; room < sizeof(struct fuse_out_header);
		     room += 5)
			assert_int_equal(server_answer(&client.server, zeros,
						       sizeof(zeros), reply,
						       room), 0);
		assert_true(server_answer(&client.server, zeros, sizeof(zeros),
					  reply, sizeof(reply)) <=
			    sizeof(reply));
	}
}

static void numbers(void **state)
{
	uint64_t file, folder, handle, listing, other;
	struct fuse_attr attr;
	char byte;

	client_put(&client, "file", "x");
	assert_int_equal(mkdirat(client.fd, "d", 0755), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "file", &file), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "d", &folder), 0);
	assert_int_equal(client_open_node(&client, file, false, O_RDONLY,
					  &handle), 0);
	assert_int_equal(client_open_node(&client, folder, true, O_RDONLY,
					  &listing), 0);
	for (uint64_t bit = 1; bit; bit <<= 1) {
		assert_int_equal(client_read(&client, handle ^ bit, &byte, 1),
				 -EBADF);
		if ((file ^ bit) != folder && (file ^ bit) != CLIENT_ROOT)
			assert_int_equal(client_getattr(&client, file ^ bit,
							&attr), -ESTALE);
	}
	/* A folder's is no file's, nor the other way round. */
	assert_int_equal(client_read(&client, listing, &byte, 1), -EBADF);
	client_release(&client, handle, false);
	assert_int_equal(client_read(&client, handle, &byte, 1), -EBADF);
	client_release(&client, handle, false);
	/* Forgotten more often than it was told of. */
	client_forget(&client, file, UINT64_MAX);
	assert_int_equal(client_getattr(&client, file, &attr), -ESTALE);
	client_forget(&client, file, 1);
	client_forget(&client, CLIENT_ROOT, UINT64_MAX);
	assert_int_equal(client_getattr(&client, CLIENT_ROOT, &attr), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "file", &other),
			 0);
	assert_true(other != file);
}

/* --- nodes ----------------------------------------------------------------------- */

static void same_file(void **state)
{
	uint64_t one, two;

	client_put(&client, "a", "x");
	assert_int_equal(linkat(client.fd, "a", client.fd, "b", 0), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &one), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "b", &two), 0);
	assert_true(one == two);
	client_forget(&client, one, 1);
	assert_int_equal(client_getattr(&client, one, &(struct fuse_attr){ 0 }),
			 0);
	/* Its parent is known for as long as it is. */
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "none", &two),
			 -ENOENT);
}

/* Far more files than descriptors: all of them can be used in turn. */
static void few_descriptors(void **state)
{
	unsigned int before = client_descriptors();
	static uint64_t node[MANY];
	struct fuse_attr attr;
	char name[16];

	for (int i = 0; i < MANY; i++) {
		sprintf(name, "f%d", i);
		client_put(&client, name, "x");
		assert_int_equal(client_lookup(&client, CLIENT_ROOT, name,
					       &node[i]), 0);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < MANY; i++) {
			assert_int_equal(client_getattr(&client, node[i],
							&attr), 0);
			assert_true(client_descriptors() <= before + FEW);
		}
	for (int i = 0; i < MANY; i++)
		client_forget(&client, node[i], 1);
	assert_int_equal(client_descriptors(), before);
	assert_int_equal(client.server.nodes.count, 1);
}

static void deep(void **state)
{
	uint64_t node[DEEP], at = CLIENT_ROOT;
	char path[2 * DEEP + 8] = "";
	struct fuse_attr attr;

	for (int i = 0; i < DEEP; i++) {
		strcat(path, i ? "/d" : "d");
		assert_int_equal(mkdirat(client.fd, path, 0755), 0);
		assert_int_equal(client_lookup(&client, at, "d", &node[i]), 0);
		at = node[i];
	}
	/* The middle has no descriptor by now, the end never had one. */
	assert_int_equal(client_getattr(&client, node[DEEP / 2], &attr), 0);
	assert_int_equal(client_getattr(&client, node[DEEP - 1], &attr), 0);
	for (int i = 0; i < DEEP; i++)
		client_forget(&client, node[i], 1);
	assert_int_equal(client.server.nodes.count, 1);
}

/* Makes the server close what it can. */
static void press(void)
{
	struct fuse_attr attr;
	uint64_t node[FEW];
	char name[16];

	for (int i = 0; i < FEW; i++) {
		sprintf(name, "p%d", i);
		client_put(&client, name, "x");
		assert_int_equal(client_lookup(&client, CLIENT_ROOT, name,
					       &node[i]), 0);
		assert_int_equal(client_getattr(&client, node[i], &attr), 0);
	}
	for (int i = 0; i < FEW; i++)
		client_forget(&client, node[i], 1);
}

/* What the host moved or replaced is stale, and found again by its name. */
static void moved_by_host(void **state)
{
	struct fuse_attr attr;
	uint64_t node, other;

	client_put(&client, "a", "first");
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &node), 0);
	assert_int_equal(renameat(client.fd, "a", client.fd, "b"), 0);
	press();
	assert_int_equal(client_getattr(&client, node, &attr), -ESTALE);
	client_put(&client, "a", "another");
	assert_int_equal(client_getattr(&client, node, &attr), -ESTALE);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &other), 0);
	assert_true(other != node);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "b", &other), 0);
	assert_true(other == node);
	assert_int_equal(client_getattr(&client, node, &attr), 0);
	assert_int_equal(attr.size, 5);
}

/* A new file with the number of an old one is another one. */
static void number_used_again(void **state)
{
	struct stat old, new;
	uint64_t node, other;
	struct fuse_attr attr;
	struct statx born;

	client_put(&client, "a", "first");
	assert_int_equal(fstatat(client.fd, "a", &old, 0), 0);
	assert_int_equal(statx(client.fd, "a", 0, STATX_BTIME, &born), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &node), 0);
	for (int i = 0; i < 100; i++) {
		unlinkat(client.fd, "a", 0);
		client_put(&client, "a", "second one");
		assert_int_equal(fstatat(client.fd, "a", &new, 0), 0);
		if (new.st_ino == old.st_ino)
			break;
	}
	if (new.st_ino != old.st_ino || !(born.stx_mask & STATX_BTIME))
		return; /* not on this file system */
	assert_int_equal(client_getattr(&client, node, &attr), -ESTALE);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &other), 0);
	assert_true(other != node);
}

static int remove_name(const char *name, bool folder)
{
	struct answer answer;

	return client_name(&client, folder ? FUSE_RMDIR : FUSE_UNLINK,
			   CLIENT_ROOT, name, &answer);
}

/* What the guest removes, and what it replaces, is there until forgotten. */
static void removed_by_guest(void **state)
{
	struct {
		struct fuse_rename_in in;
		char names[4];
	} rename = { .in.newdir = CLIENT_ROOT, .names = "b\0c" };
	uint64_t one, two, three, folder;
	struct fuse_attr attr;
	struct answer answer;

	client_put(&client, "a", "1");
	client_put(&client, "b", "22");
	client_put(&client, "c", "333");
	assert_int_equal(mkdirat(client.fd, "d", 0755), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &one), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "b", &two), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "c", &three), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "d", &folder), 0);
	assert_int_equal(remove_name("a", false), 0);
	assert_int_equal(remove_name("d", true), 0);
	assert_int_equal(remove_name("d", true), -ENOENT);
	assert_int_equal(client_ask(&client, FUSE_RENAME, CLIENT_ROOT, &rename,
				    sizeof(rename), NULL, 0, &answer), 0);
	press();
	assert_int_equal(client_getattr(&client, one, &attr), 0);
	assert_int_equal(attr.size, 1);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_getattr(&client, two, &attr), 0);
	assert_int_equal(attr.size, 2);
	assert_int_equal(client_getattr(&client, three, &attr), 0);
	assert_int_equal(attr.size, 3);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_getattr(&client, folder, &attr), 0);
}

/* Of such there are as many as descriptors; then nothing is removed. */
static void removed_too_many(void **state)
{
	uint64_t node[2 * FEW];
	unsigned int removed = 0;
	struct fuse_attr attr;
	char name[16];

	for (int i = 0; i < 2 * FEW; i++) {
		sprintf(name, "f%d", i);
		client_put(&client, name, "x");
		assert_int_equal(client_lookup(&client, CLIENT_ROOT, name,
					       &node[i]), 0);
	}
	for (int i = 0; i < 2 * FEW; i++) {
		int rc;

		sprintf(name, "f%d", i);
		rc = remove_name(name, false);
		assert_true(!rc || rc == -ENFILE);
		removed += !rc;
	}
	assert_in_range(removed, FEW / 2 - 1, FEW);
	for (int i = 0; i < 2 * FEW; i++)
		client_forget(&client, node[i], 1);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, name, node), 0);
	assert_int_equal(client_getattr(&client, node[0], &attr), 0);
	assert_int_equal(remove_name(name, false), 0);
}

/* A folder of ours that the host moved into one below it. */
static void moved_into_itself(void **state)
{
	uint64_t a, b, c, again;
	struct fuse_attr attr;

	assert_int_equal(mkdirat(client.fd, "a", 0755), 0);
	assert_int_equal(mkdirat(client.fd, "a/b", 0755), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &a), 0);
	assert_int_equal(client_lookup(&client, a, "b", &b), 0);
	assert_int_equal(client_getattr(&client, b, &attr), 0);
	assert_int_equal(renameat(client.fd, "a/b", client.fd, "b"), 0);
	assert_int_equal(renameat(client.fd, "a", client.fd, "b/a"), 0);
	/* By b's number, as if it were still in a. */
	assert_int_equal(client_lookup(&client, b, "a", &again), 0);
	assert_true(again == a);
	press();
	assert_int_equal(client_getattr(&client, a, &attr), -ESTALE);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "b", &c), 0);
	assert_true(c == b);
	assert_int_equal(client_lookup(&client, b, "a", &again), 0);
	assert_int_equal(client_getattr(&client, a, &attr), 0);
	client_forget(&client, a, 3);
	client_forget(&client, b, 2);
	assert_int_equal(client.server.nodes.count, 1);
}

/* --- files ----------------------------------------------------------------------- */

static void too_many_open(void **state)
{
	uint64_t node, handle[2 * FEW];
	int opened = 0, rc;

	client_put(&client, "a", "x");
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &node), 0);
	do
		rc = client_open_node(&client, node, false, O_RDONLY,
				      &handle[opened]);
	while (!rc && ++opened < 2 * FEW);
	assert_int_equal(rc, -ENFILE);
	assert_int_equal(opened, FEW / 2);
	client_release(&client, handle[0], false);
	assert_int_equal(client_open_node(&client, node, false, O_RDONLY,
					  &handle[0]), 0);
}

/* Only what is told in full is done: a write that lacks bytes is none. */
static void short_write(void **state)
{
	struct fuse_write_in in = { .size = 8 };
	struct answer answer;
	struct stat status;
	uint64_t node;

	client_put(&client, "a", "");
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &node), 0);
	assert_int_equal(client_open_node(&client, node, false, O_WRONLY,
					  &in.fh), 0);
	assert_int_equal(client_ask(&client, FUSE_WRITE, node, &in, sizeof(in),
				    "1234567", 7, &answer), -EINVAL);
	assert_int_equal(client_ask(&client, FUSE_WRITE, node, &in, sizeof(in),
				    "12345678", 8, &answer), 0);
	in.offset = UINT64_MAX;
	assert_int_equal(client_ask(&client, FUSE_WRITE, node, &in, sizeof(in),
				    "12345678", 8, &answer), -EINVAL);
	assert_int_equal(fstatat(client.fd, "a", &status, 0), 0);
	assert_int_equal(status.st_size, 8);
}

/* Content that may be stale is not kept, nor what was changed just now. */
static void kept_content(void **state)
{
	const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	const struct fuse_open_in in = { .flags = O_RDONLY };
	const struct fuse_open_out *out;
	struct answer answer;
	uint64_t node;

	client_put(&client, "a", "x");
	/* Its modification is said to be old; that it was said is new. */
	assert_int_equal(utimensat(client.fd, "a", old, 0), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "a", &node), 0);
	out = (const void *)answer.bytes;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_ask(&client, FUSE_OPEN, node, &in,
					    sizeof(in), NULL, 0, &answer), 0);
		assert_false(out->open_flags & FOPEN_KEEP_CACHE);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_FEW(name) \
	cmocka_unit_test_setup_teardown(name, setup_few, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(agreement),
		TEST(nonsense),
		TEST(numbers),
		TEST(same_file),
		TEST_FEW(few_descriptors),
		TEST_FEW(deep),
		TEST_FEW(moved_by_host),
		TEST_FEW(number_used_again),
		TEST_FEW(removed_by_guest),
		TEST_FEW(removed_too_many),
		TEST_FEW(moved_into_itself),
		TEST_FEW(too_many_open),
		TEST(short_write),
		TEST(kept_content),
	};

	umask(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
