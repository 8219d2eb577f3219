/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a benchmark guest; see disk.h. Accesses bypass the guest's page
 * cache (O_DIRECT). One at a time they are plain system calls; several at a
 * time go through Linux's native asynchronous I/O, without a library.
 */
#define _GNU_SOURCE
#include "disk.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "module.h"

#define DEPTH 32
#define SMALL 4096u
#define LARGE (1u << 20)

enum kind { VIRTIO, AHCI, NVME, KINDS };

/* Tests' names begin so; where the disk of a guest is. */
static const struct {
	const char *name, *path;
} disks[KINDS] = {
	[VIRTIO] = { "virtio_", "/dev/vda" },
	[AHCI] = { "ahci_", "/dev/sda" },
	[NVME] = { "nvme_", "/dev/nvme0n1" },
};

static int fds[KINDS] = { -1, -1, -1 };
static uint64_t sizes[KINDS];
static char *memory; /* page-aligned, DEPTH * SMALL or LARGE bytes */

static _Noreturn void fail(const char *what)
{
	printf("bench: %s failed\n", what);
	abort();
}

/* --- setting up --------------------------------------------------------------- */

static int open_disk(enum kind kind)
{
	if (fds[kind] >= 0)
		return 1;
	fds[kind] = open(disks[kind].path, O_RDWR | O_DIRECT | O_CLOEXEC);
	return fds[kind] >= 0 && !ioctl(fds[kind], BLKGETSIZE64, &sizes[kind]);
}

static enum kind kind_of(const char *test)
{
	unsigned int kind = 0;

	while (kind < KINDS &&
	       strncmp(test, disks[kind].name, strlen(disks[kind].name)))
		kind++;
	return kind;
}

/* Drivers look for their disks while we wait; 3 s at most. */
static void wait_for_disk(enum kind kind)
{
	const struct timespec moment = { .tv_nsec = 10000000 };

	for (unsigned int i = 0; i < 300 && !open_disk(kind); i++)
		nanosleep(&moment, NULL);
}

int disk_there(const char *test)
{
	static int ready;
	enum kind kind = kind_of(test);

	/* A program that is no guest's has none of the host's disks. */
	if (kind == KINDS || getpid() != 1)
		return 0;
	if (!ready)
		memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			      0);
	if (!ready)
		module_load_all();
	ready = 1;
	wait_for_disk(kind);
	return fds[kind] >= 0;
}

/* --- accesses ------------------------------------------------------------------ */

static uint64_t somewhere(enum kind kind)
{
	static uint64_t state = 1;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % (sizes[kind] / SMALL) * SMALL;
}

static void one(enum kind kind, uint64_t n)
{
	while (n--)
		if (pread(fds[kind], memory, SMALL,
			  (off_t)somewhere(kind)) != SMALL)
			fail("a read");
}

static void fill(struct iocb *io, enum kind kind, unsigned int slot)
{
	*io = (struct iocb){
		.aio_data = slot,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fds[kind],
		.aio_buf = (uint64_t)(uintptr_t)(memory + slot * SMALL),
		.aio_nbytes = SMALL,
		.aio_offset = (int64_t)somewhere(kind),
	};
}

/* Keeps DEPTH accesses under way until `n` are done. */
static void many(enum kind kind, uint64_t n)
{
	static aio_context_t context;
	struct iocb io[DEPTH], *list[DEPTH];
	struct io_event event[DEPTH];
	uint64_t started = 0, done = 0;
	unsigned int count = 0;

	if (!context && syscall(SYS_io_setup, DEPTH, &context))
		fail("io_setup");
	for (; count < DEPTH && started < n; count++, started++) {
		fill(&io[count], kind, count);
		list[count] = &io[count];
	}
	while (done < n) {
		long got;

		if (count && syscall(SYS_io_submit, context, (long)count,
				     list) != (long)count)
			fail("io_submit");
		got = syscall(SYS_io_getevents, context, 1l, (long)DEPTH,
			      event, NULL);
		if (got < 1)
			fail("io_getevents");
		count = 0;
		for (long i = 0; i < got; i++, done++) {
			unsigned int slot = (unsigned int)event[i].data;

			if (event[i].res != SMALL)
				fail("a read");
			if (started == n)
				continue;
			fill(&io[slot], kind, slot);
			list[count++] = &io[slot];
			started++;
		}
	}
}

static void sequential(enum kind kind, uint64_t n, int write)
{
	static uint64_t at[KINDS];

	while (n--) {
		ssize_t size;

		if (at[kind] + LARGE > sizes[kind])
			at[kind] = 0;
		size = write ? pwrite(fds[kind], memory, LARGE,
				      (off_t)at[kind])
			     : pread(fds[kind], memory, LARGE,
				     (off_t)at[kind]);
		if (size != LARGE)
			fail(write ? "a write" : "a read");
		at[kind] += LARGE;
	}
}

/* --- the tests ------------------------------------------------------------------ */

#define TEST(name_, access_, ...)                  \
	void disk_##name_##_##access_(uint64_t n)         \
	{                                                 \
		__VA_ARGS__;                              \
	}

#define TESTS(name_, kind_)                               \
	TEST(name_, 4k_1, one(kind_, n))        \
	TEST(name_, 4k_32, many(kind_, n))      \
	TEST(name_, read, sequential(kind_, n, 0)) \
	TEST(name_, write, sequential(kind_, n, 1))

TESTS(virtio, VIRTIO)
TESTS(ahci, AHCI)
TESTS(nvme, NVME)
