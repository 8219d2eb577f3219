/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a guest asks of the server of a folder: requests of all kinds
 * with the numbers, names and sizes that the input says, many of them those
 * that the server gave before. Beside the folder, and in the file that is
 * there, nothing may change; an answer never exceeds its room.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_device.h"
#include "share/server/server.h"

#define REQUESTS    64 /* of an input */
#define NUMBERS	    8
#define DESCRIPTORS 24
#define BODY_MAX    256u
#define ROOM_MAX    4096u
#define FILE_MAX    (1u << 20) /* bytes; more is refused by the limit */

static char base[] = "/tmp/lodge-fuzz-XXXXXX";
static char folder[sizeof(base) + 8];
static struct server server;
static int folder_fd;

/* Numbers that the server gave. */
static uint64_t node[NUMBERS], handle[NUMBERS];
static unsigned int nodes, handles;

static int remove_one(const char *path, const struct stat *status, int type,
		      struct FTW *at)
{
	if (type == FTW_DP || type == FTW_D)
		chmod(path, 0700);
	if (strcmp(path, folder))
		remove(path);
	return 0;
}

static void leave(void)
{
	server_fini(&server);
	nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	remove(folder);
	remove(base);
}

static void make_base(void)
{
	struct server_config config = { .descriptors = DESCRIPTORS };
	struct rlimit limit = { FILE_MAX, FILE_MAX };
	char secret[sizeof(base) + 8];
	int fd;

	umask(0);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (!mkdtemp(base))
		abort();
	snprintf(folder, sizeof(folder), "%s/folder", base);
	snprintf(secret, sizeof(secret), "%s/secret", base);
	fd = open(secret, O_WRONLY | O_CREAT, 0640);
	if (fd < 0 || write(fd, "secret", 6) != 6 || mkdir(folder, 0755))
		abort();
	close(fd);
	folder_fd = open(folder, O_PATH | O_DIRECTORY);
	config.folder = folder_fd;
	if (folder_fd < 0 || server_init(&server, &config))
		abort();
	atexit(leave);
}

/* Something to begin with: a file, a link that leads out, folders. */
static void fill(void)
{
	int fd = openat(folder_fd, "a", O_WRONLY | O_CREAT, 0644);

	if (fd < 0 || write(fd, "content", 7) != 7)
		abort();
	close(fd);
	if (symlinkat("../secret", folder_fd, "b") ||
	    symlinkat("..", folder_fd, "c") || mkdirat(folder_fd, "d", 0755) ||
	    mkdirat(folder_fd, "d/e", 0755) ||
	    mkfifoat(folder_fd, "p", 0644))
		abort();
}

static void check(void)
{
	char path[sizeof(base) + 8], bytes[8] = "";
	DIR *list = opendir(base);
	unsigned int count = 0;
	struct stat status;
	int fd;

	if (!list)
		abort();
	while (readdir(list))
		count++;
	closedir(list);
	snprintf(path, sizeof(path), "%s/secret", base);
	fd = open(path, O_RDONLY);
	if (count != 4 || fd < 0 || read(fd, bytes, 8) != 6 ||
	    memcmp(bytes, "secret", 6) || fstat(fd, &status) ||
	    (status.st_mode & 07777) != 0640 || status.st_nlink != 1)
		abort();
	close(fd);
}

static uint64_t number(struct words *words, const uint64_t *known,
		       unsigned int count)
{
	uint64_t n = next_word(words, 1);

	if (n == 0xff)
		return next_word(words, 8);
	return count ? known[n % count] : FUSE_ROOT_ID;
}

static uint32_t put_name(struct words *words, char *to)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "p", "f", "g", "secret", "user.x",
		"..", ".", "", "a/b", "../secret", "d/e",
	};
	const char *name = names[next_word(words, 1) % 16];

	strcpy(to, name);
	return (uint32_t)strlen(name) + 1;
}

/* Arguments: numbers that are small, known, or anything. */
static uint32_t put_body(struct words *words, uint8_t body[BODY_MAX],
			 uint32_t opcode)
{
	uint32_t size = (uint32_t)next_word(words, 1) % 96 & ~7u;
	unsigned int two = (unsigned int)next_word(words, 1);

	for (uint32_t at = 0; at < size; at += 8) {
		uint64_t value = next_word(words, 1);

		if (value & 0x80)
			value = value & 0x40 ? next_word(words, 8) :
					       value << 20;
		memcpy(body + at, &value, 8);
	}
	/* The handle comes first, in most that have one. */
	if (size >= 8 && handles && (two & 1))
		memcpy(body, &(uint64_t){ number(words, handle, handles) }, 8);
	if (size >= 8 && (two & 2))
		memcpy(body, &(uint64_t){ number(words, node, nodes) }, 8);
	size += put_name(words, (char *)body + size);
	size += put_name(words, (char *)body + size);
	return size - (two & 4 ? 1 : 0);
}

/* Keeps what a guest would. */
static void learn(uint32_t opcode, const uint8_t *out, uint32_t size)
{
	const struct fuse_out_header *head = (const void *)out;
	uint64_t value;

	if (head->error || size < sizeof(*head) + 8)
		return;
	memcpy(&value, out + sizeof(*head), 8);
	if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
		handle[handles++ % NUMBERS] = value;
	else if (size >= sizeof(*head) + sizeof(struct fuse_entry_out))
		node[nodes++ % NUMBERS] = value;
	nodes = nodes > NUMBERS ? NUMBERS : nodes;
	handles = handles > NUMBERS ? NUMBERS : handles;
}

static void request(struct words *words)
{
	_Alignas(8) uint8_t in[sizeof(struct fuse_in_header) + BODY_MAX];
	_Alignas(8) static uint8_t out[ROOM_MAX];
	struct fuse_in_header head = {
		.opcode = (uint32_t)next_word(words, 1) % 56,
		.unique = 1,
	};
	uint32_t room = ROOM_MAX, size, answered;

	/* What the whole file system is told goes beyond the folder. */
	if (head.opcode == FUSE_SYNCFS || head.opcode == FUSE_FSYNC)
		return;
	memset(in, 0, sizeof(in));
	head.nodeid = number(words, node, nodes);
	size = (uint32_t)sizeof(head) +
	       put_body(words, in + sizeof(head), head.opcode);
	memcpy(in, &head, sizeof(head));
	if (next_word(words, 1) > 0xf0)
		room = (uint32_t)next_word(words, 1);
	answered = server_answer(&server, in, size, out, room);
	if (answered > room)
		abort();
	if (answered)
		learn(head.opcode, out, answered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words words = { data, size };
	struct fuse_in_header end = { .opcode = FUSE_DESTROY };
	struct fuse_out_header out;

	if (strstr(base, "XXXXXX"))
		make_base();
	fill();
	nodes = handles = 0;
	for (int i = 0; i < REQUESTS && words.left; i++)
		request(&words);
	server_answer(&server, &end, sizeof(end), &out, sizeof(out));
	if (server.nodes.count != 1 || server.handles.count)
		abort();
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	check();
	return 0;
}
