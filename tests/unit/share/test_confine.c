/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest at the server of a folder: names, numbers and kinds of files
 * that lead out of it, or that mean nothing; folders that are swapped for links
 * while it looks.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"

#define SWAPS 3000 /* looks at what is being swapped */

static struct client client;
static bool may_mount;

static int setup(void **state)
{
	client_open(&client, false, 256);
	return 0;
}

static int setup_readonly(void **state)
{
	client_open(&client, true, 256);
	return 0;
}

/* In a namespace of its own, which the folder is opened in. */
static int setup_mounts(void **state)
{
	may_mount = !unshare(CLONE_NEWNS) &&
		    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return setup(state);
}

static int teardown(void **state)
{
	client_close(&client);
	return 0;
}

/* Each operation with a name refuses those that are none of an entry. */
static void names(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", "/", "a/b", "../secret", "/etc/passwd", "a/",
	};
	static const struct {
		uint32_t opcode, size;
	} named[] = {
		{ FUSE_LOOKUP, 0 }, { FUSE_UNLINK, 0 },	{ FUSE_RMDIR, 0 },
		{ FUSE_MKDIR, 8 },  { FUSE_MKNOD, 16 }, { FUSE_LINK, 8 },
		{ FUSE_CREATE, 16 },
	};
	const uint8_t zeros[16] = { 0 };
	char names[300], two[300];
	struct answer answer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t size = (uint32_t)strlen(bad[i]) + 1;

		for (size_t k = 0; k < sizeof(named) / sizeof(named[0]); k++)
			assert_int_equal(
				client_ask(&client, named[k].opcode,
					   CLIENT_ROOT, zeros, named[k].size,
					   bad[i], size, &answer), -EINVAL);
		/* Either name of a new one, and the link's own. */
		memcpy(two, "x", 2);
		memcpy(two + 2, bad[i], size);
		assert_int_equal(client_ask(&client, FUSE_RENAME, CLIENT_ROOT,
					    zeros, 8, two, size + 2, &answer),
				 -EINVAL);
		memcpy(two, bad[i], size);
		memcpy(two + size, "x", 2);
		assert_int_equal(client_ask(&client, FUSE_RENAME, CLIENT_ROOT,
					    zeros, 8, two, size + 2, &answer),
				 -EINVAL);
		assert_int_equal(client_ask(&client, FUSE_SYMLINK, CLIENT_ROOT,
					    NULL, 0, two, size + 2, &answer),
				 -EINVAL);
	}
	/* One that has no end, one that is too long. */
	memset(names, 'n', sizeof(names));
	assert_int_equal(client_ask(&client, FUSE_LOOKUP, CLIENT_ROOT, NULL, 0,
				    names, 10, &answer), -EINVAL);
	names[256] = '\0';
	assert_int_equal(client_name(&client, FUSE_LOOKUP, CLIENT_ROOT, names,
				     &answer), -ENAMETOOLONG);
}

/* A link is itself, wherever it leads. */
static void links(void **state)
{
	uint64_t file, folder, node, handle;
	struct answer answer;

	assert_int_equal(symlinkat("../secret", client.fd, "file"), 0);
	assert_int_equal(symlinkat("..", client.fd, "up"), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "file", &file), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "up", &folder), 0);
	assert_int_equal(client_open_node(&client, file, false, O_RDONLY,
					  &handle), -EACCES);
	assert_int_equal(client_open_node(&client, file, false,
					  O_WRONLY | O_TRUNC, &handle),
			 -EACCES);
	assert_int_equal(client_open_node(&client, folder, true, O_RDONLY,
					  &handle), -ENOTDIR);
	assert_int_equal(client_lookup(&client, folder, "secret", &node),
			 -ENOTDIR);
	assert_int_equal(client_ask(&client, FUSE_READLINK, file, NULL, 0,
				    NULL, 0, &answer), 0);
	assert_int_equal(answer.size, 9);
	assert_memory_equal(answer.bytes, "../secret", 9);
}

/* Through a link, nothing is made, cut, marked or given away. */
static void changes_by_links(void **state)
{
	struct fuse_setattr_in set = { .valid = FATTR_SIZE };
	struct {
		struct fuse_create_in in;
		char name[8];
	} create = { .in.flags = O_WRONLY | O_TRUNC, .in.mode = 0644,
		     .name = "file" };
	struct stat before, after;
	struct answer answer;
	char secret[80];
	uint64_t file;

	snprintf(secret, sizeof(secret), "%s/secret", client.base);
	assert_int_equal(stat(secret, &before), 0);
	assert_int_equal(symlinkat("../secret", client.fd, "file"), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "file", &file), 0);
	assert_int_not_equal(client_ask(&client, FUSE_SETATTR, file, &set,
					sizeof(set), NULL, 0, &answer), 0);
	set.valid = FATTR_MODE;
	set.mode = 0777;
	client_ask(&client, FUSE_SETATTR, file, &set, sizeof(set), NULL, 0,
		   &answer);
	set.valid = FATTR_MTIME | FATTR_UID;
	set.mtime = 1;
	set.uid = 12345;
	client_ask(&client, FUSE_SETATTR, file, &set, sizeof(set), NULL, 0,
		   &answer);
	assert_int_equal(client_ask(&client, FUSE_CREATE, CLIENT_ROOT,
				    &create, sizeof(create), NULL, 0,
				    &answer), -EACCES);
	assert_int_equal(stat(secret, &after), 0);
	assert_int_equal(after.st_size, 6);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_true(after.st_mtime == before.st_mtime);
}

/* Neither opened nor made: they would be the host's; and nobody waits. */
static void odd_files(void **state)
{
	struct {
		struct fuse_mknod_in in;
		char name[4];
	} make = { .name = "dev" };
	uint64_t node, handle;
	struct answer answer;

	assert_int_equal(mkfifoat(client.fd, "pipe", 0666), 0);
	assert_int_equal(mknodat(client.fd, "sock", S_IFSOCK | 0666, 0), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "pipe", &node), 0);
	assert_int_equal(client_open_node(&client, node, false, O_RDONLY,
					  &handle), -EACCES);
	assert_int_equal(client_open_node(&client, node, false, O_WRONLY,
					  &handle), -EACCES);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "sock", &node), 0);
	assert_int_equal(client_open_node(&client, node, false, O_RDWR,
					  &handle), -EACCES);
	make.in.mode = S_IFCHR | 0666;
	make.in.rdev = 0x103;
	assert_int_equal(client_ask(&client, FUSE_MKNOD, CLIENT_ROOT, &make,
				    sizeof(make), NULL, 0, &answer), -EPERM);
	make.in.mode = S_IFBLK | 0666;
	assert_int_equal(client_ask(&client, FUSE_MKNOD, CLIENT_ROOT, &make,
				    sizeof(make), NULL, 0, &answer), -EPERM);
	if (mknodat(client.fd, "null", S_IFCHR | 0666, makedev(1, 3)))
		return; /* only root has them */
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "null", &node), 0);
	assert_int_equal(client_open_node(&client, node, false, O_RDWR,
					  &handle), -EACCES);
}

static void modes(void **state)
{
	struct {
		struct fuse_create_in in;
		char name[4];
	} create = { .in.flags = O_WRONLY, .in.mode = 06755, .name = "f" };
	struct fuse_setattr_in set = { .valid = FATTR_MODE, .mode = 06755 };
	struct answer answer;
	struct stat status;
	uint64_t node;

	assert_int_equal(client_ask(&client, FUSE_CREATE, CLIENT_ROOT, &create,
				    sizeof(create), NULL, 0, &answer), 0);
	assert_int_equal(fstatat(client.fd, "f", &status, 0), 0);
	assert_int_equal(status.st_mode & 07000, 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "f", &node), 0);
	assert_int_equal(client_ask(&client, FUSE_SETATTR, node, &set,
				    sizeof(set), NULL, 0, &answer), 0);
	assert_int_equal(fstatat(client.fd, "f", &status, 0), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
}

/* A mount in the folder is not part of it. */
static void mounts(void **state)
{
	char path[100];
	uint64_t node;

	snprintf(path, sizeof(path), "%s/mnt", client.folder);
	assert_int_equal(mkdir(path, 0755), 0);
	if (!may_mount || mount("none", path, "tmpfs", 0, NULL))
		return; /* only root can */
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "mnt", &node),
			 -EXDEV);
	assert_int_equal(umount(path), 0);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "mnt", &node), 0);
}

static void readonly(void **state)
{
	static const struct {
		uint32_t opcode, size;
		const char *names;
		uint32_t names_size;
	} writes[] = {
		{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), NULL, 0 },
		{ FUSE_SYMLINK, 0, "a\0b", 4 },
		{ FUSE_MKNOD, sizeof(struct fuse_mknod_in), "a", 2 },
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), "a", 2 },
		{ FUSE_UNLINK, 0, "file", 5 },
		{ FUSE_RMDIR, 0, "a", 2 },
		{ FUSE_RENAME, sizeof(struct fuse_rename_in), "file\0b", 7 },
		{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), "file\0b", 7 },
		{ FUSE_LINK, sizeof(struct fuse_link_in), "b", 2 },
		{ FUSE_CREATE, sizeof(struct fuse_create_in), "b", 2 },
		{ FUSE_WRITE, sizeof(struct fuse_write_in), NULL, 0 },
		{ FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), NULL, 0 },
		{ FUSE_COPY_FILE_RANGE,
		  sizeof(struct fuse_copy_file_range_in), NULL, 0 },
		{ FUSE_SETXATTR, 8, "user.a\0b", 9 },
		{ FUSE_REMOVEXATTR, 0, "user.a", 7 },
	};
	const uint8_t zeros[256] = { 0 };
	uint64_t node, handle;
	struct answer answer;

	client_put(&client, "file", "content");
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		assert_int_equal(client_ask(&client, writes[i].opcode,
					    CLIENT_ROOT, zeros, writes[i].size,
					    writes[i].names,
					    writes[i].names_size, &answer),
				 -EROFS);
	assert_int_equal(client_lookup(&client, CLIENT_ROOT, "file", &node), 0);
	assert_int_equal(client_open_node(&client, node, false, O_RDWR,
					  &handle), -EROFS);
	assert_int_equal(client_open_node(&client, node, false,
					  O_RDONLY | O_TRUNC, &handle), -EROFS);
	assert_int_equal(client_open_node(&client, node, false, O_RDONLY,
					  &handle), 0);
}

/* --- races --------------------------------------------------------------------- */

static _Atomic bool racing;

/* The host swaps the folder "d" for a link that leads out, again and again. */
static void *swap(void *ctx)
{
	while (racing) {
		renameat2(client.fd, "d", client.fd, "link", RENAME_EXCHANGE);
		sched_yield();
	}
	return NULL;
}

/* A guest swaps them too, by requests of its own. */
static void *swap_by_requests(void *ctx)
{
	struct {
		struct fuse_rename2_in in;
		char names[7];
	} request = {
		.in = { .newdir = CLIENT_ROOT, .flags = RENAME_EXCHANGE },
		.names = "d\0link",
	};
	struct answer answer;

	while (racing) {
		client_ask(&client, FUSE_RENAME2, CLIENT_ROOT, &request,
			   sizeof(request), NULL, 0, &answer);
		sched_yield();
	}
	return NULL;
}

/* Whatever "d" is by now, what is found below it is the folder's own. */
static unsigned int look(void)
{
	uint64_t folder, file, handle;
	char bytes[16] = "";
	int rc = client_lookup(&client, CLIENT_ROOT, "d", &folder);

	if (rc)
		return 0;
	rc = client_lookup(&client, folder, "secret", &file);
	if (rc) {
		client_forget(&client, folder, 1);
		return 0;
	}
	rc = client_open_node(&client, file, false, O_RDWR, &handle);
	if (!rc) {
		assert_true(client_read(&client, handle, bytes, 16) >= 0);
		assert_string_equal(bytes, "own");
		client_release(&client, handle, false);
	}
	client_forget(&client, file, 1);
	client_forget(&client, folder, 1);
	return !rc;
}

static void race(void **state)
{
	pthread_t thread[2];
	unsigned int found = 0;

	assert_int_equal(mkdirat(client.fd, "d", 0755), 0);
	client_put(&client, "d/secret", "own");
	assert_int_equal(symlinkat("..", client.fd, "link"), 0);
	racing = true;
	assert_int_equal(pthread_create(&thread[0], NULL, swap, NULL), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, swap_by_requests,
					NULL), 0);
	for (int i = 0; i < SWAPS; i++)
		found += look();
	racing = false;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	/* It is there now and then, so this looked at something. */
	for (int i = 0; i < 2 && !found; i++) {
		renameat2(client.fd, "d", client.fd, "link", RENAME_EXCHANGE);
		found += look();
	}
	assert_true(found);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(links),
		TEST(changes_by_links),
		TEST(odd_files),
		TEST(modes),
		cmocka_unit_test_setup_teardown(readonly, setup_readonly,
						teardown),
		TEST(race),
		cmocka_unit_test_setup_teardown(mounts, setup_mounts, teardown),
	};

	umask(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
