/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory from Linux: plain blocks from the C library; guest RAM and generated
 * code as memory files (memfd_create(2)), which are zeroed, take pages when
 * first touched, and can be mapped again or passed on by descriptor.
 *
 * RAM stands at a multiple of 2 MiB between unmapped guards of 2 MiB, so that
 * an access that escapes its checks strikes nothing of ours.
 */
#include "vm/host.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD	   ((size_t)2 << 20)
#define ALLOC_LINE 64

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

/*
 * calloc() knows which memory is zero already; a large block is not touched
 * before its user does. What it returned stands before the aligned block.
 */
void *host_alloc(size_t size)
{
	size_t extra = ALLOC_LINE + sizeof(void *);
	char *block;
	void **p;

	if (size > SIZE_MAX - extra)
		return NULL;
	block = calloc(1, size + extra);
	if (!block)
		return NULL;
	p = (void **)(((uintptr_t)block + extra) &
		      ~(uintptr_t)(ALLOC_LINE - 1));
	p[-1] = block;
	return p;
}

void host_free(void *p)
{
	if (p)
		free(((void **)p)[-1]);
}

/* A zeroed memory file of `size` bytes, or a negative errno. */
static int memory_file(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	int err;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Address space for `size` bytes between two guards; NULL when none. */
static uint8_t *reserve(size_t size)
{
	size_t total = size + 3 * GUARD;
	uint8_t *map, *base, *end;

	if (total < size)
		return NULL;
	map = mmap(NULL, total, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	base = (uint8_t *)(((uintptr_t)map + 2 * GUARD - 1) & ~(GUARD - 1));
	end = base + size + GUARD;
	if (base - GUARD > map)
		munmap(map, (size_t)(base - GUARD - map));
	if (map + total > end)
		munmap(end, (size_t)(map + total - end));
	return base;
}

int host_ram_create(struct host_ram *ram, uint64_t size)
{
	uint8_t *base;
	int fd, err;

	if (!size || size % 4096 || size > SIZE_MAX / 2)
		return -EINVAL;
	fd = memory_file("guest-ram", size);
	if (fd < 0)
		return fd;
	base = reserve(size);
	if (!base) {
		err = -ENOMEM;
		goto close_file;
	}
	if (mmap(base, size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		err = -errno;
		goto unreserve;
	}
	madvise(base, size, MADV_DONTDUMP); /* guests' secrets, and size */
	*ram = (struct host_ram){ .base = base, .size = size, .fd = fd };
	return 0;

unreserve:
	munmap(base - GUARD, size + 2 * GUARD);
close_file:
	close(fd);
	return err;
}

void host_ram_destroy(struct host_ram *ram)
{
	if (!ram->base)
		return;
	munmap(ram->base - GUARD, ram->size + 2 * GUARD);
	close(ram->fd);
	*ram = (struct host_ram){ .fd = -1 };
}

uint64_t host_ram_touched(const struct host_ram *ram)
{
	struct stat st;

	if (!ram->base || fstat(ram->fd, &st))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

uint64_t host_ram_touched_most(const struct host_ram *ram)
{
	uint64_t most = atomic_load(&ram->touched_most);
	uint64_t now = host_ram_touched(ram);

	return now > most ? now : most;
}

/* What there is no room for widens the last one. */
void host_ram_overlaid(struct host_ram *ram, uint64_t offset, uint64_t size)
{
	const unsigned int max = sizeof(ram->overlay) / sizeof(ram->overlay[0]);
	uint64_t end = offset + size;
	unsigned int i = 0;

	while (i < ram->overlays && i < max - 1 &&
	       (offset > ram->overlay[i].end || end < ram->overlay[i].from))
		i++;
	if (i == ram->overlays) {
		ram->overlay[ram->overlays++].from = offset;
		ram->overlay[i].end = end;
	}
	if (offset < ram->overlay[i].from)
		ram->overlay[i].from = offset;
	if (end > ram->overlay[i].end)
		ram->overlay[i].end = end;
}

/* The RAM itself again where something may have been mapped over it. */
static int uncover(struct host_ram *ram, unsigned int overlay, uint64_t from,
		   uint64_t end)
{
	if (from < ram->overlay[overlay].from)
		from = ram->overlay[overlay].from;
	if (end > ram->overlay[overlay].end)
		end = ram->overlay[overlay].end;
	if (from >= end)
		return 0;
	if (mmap(ram->base + from, end - from, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, ram->fd,
		 (off_t)from) == MAP_FAILED)
		return -errno;
	madvise(ram->base + from, end - from, MADV_DONTDUMP);
	return 0;
}

int host_ram_discard(struct host_ram *ram, uint64_t offset, uint64_t size)
{
	int err = 0;

	if (offset % 4096 || size % 4096 || offset >= ram->size ||
	    size > ram->size - offset)
		return -EINVAL;
	atomic_store(&ram->touched_most, host_ram_touched_most(ram));
	if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)offset, (off_t)size))
		return -errno;
	for (unsigned int i = 0; i < ram->overlays && !err; i++)
		err = uncover(ram, i, offset, offset + size);
	return err;
}

/*
 * Shared anonymous memory rather than a memory file: perf(1) looks its map of
 * generated code up only where a mapping has no file of its own. mremap(2) of
 * no bytes maps the same memory once more.
 */
int host_code_create(struct host_code *code, size_t size)
{
	void *write, *exec;
	int err;

	size = (size + 4095) & ~(size_t)4095;
	if (!size)
		return -EINVAL;
	exec = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (exec == MAP_FAILED)
		return -errno;
	write = mremap(exec, 0, size, MREMAP_MAYMOVE);
	if (write == MAP_FAILED) {
		err = -errno;
		munmap(exec, size);
		return err;
	}
	if (mprotect(exec, size, PROT_READ | PROT_EXEC)) {
		err = -errno;
		munmap(exec, size);
		munmap(write, size);
		return err;
	}
	*code = (struct host_code){ .write = write,
				    .exec = exec,
				    .size = size };
	return 0;
}

void host_code_destroy(struct host_code *code)
{
	if (!code->write)
		return;
	munmap(code->write, code->size);
	munmap((void *)code->exec, code->size);
	*code = (struct host_code){ 0 };
}

bool host_code_base(void *base)
{
	return syscall(SYS_arch_prctl, ARCH_SET_GS, base) == 0;
}
