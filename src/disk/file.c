/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and block devices as leaves; see file.h. Calls wait in the kernel.
 *
 * Past the page cache (cache=none) whole blocks go by O_DIRECT; what is not
 * aligned goes through the page cache all the same, by a second descriptor.
 * The kernel keeps both views the same as long as nobody writes a page by both
 * ways at once: who writes by the page cache has the pages alone (`pages`).
 */
#include "disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "disk/ahead.h"
#include "disk/behind.h"
#include "disk/driver.h"
#include "disk/lock.h"
#include "disk/renew.h"
#include "disk/ring.h"
#include "disk/stage.h"
#include "disk/transfer.h"
#include "vm/host.h"

#define PAGE 4096u

struct file {
	struct disk_node node;
	int fd;
	int direct;	/* past the page cache, or -1 */
	unsigned int align_at, align_memory; /* of `direct` */
	bool unsafe;	/* flushes are not heeded */
	struct disk_ranges pages; /* of writes when there is `direct` */
	pthread_mutex_t mutex;
	uint64_t data_from, data_end; /* the data that was found last */
	_Atomic bool asked; /* for a ring, which there may not be */
	struct disk_ring *ring;
	struct disk_stage stage; /* of large transfers past the page cache */
	struct disk_ahead ahead; /* of large reads past it */
	struct disk_behind behind; /* of large writes past it */
	bool alone;    /* nobody else writes it */
	bool device;   /* a block device, not a file */
	_Atomic bool nowait; /* RWF_NOWAIT works here */
	bool unnamed;  /* made, not yet kept: has no name */
	bool unwanted; /* made, not yet kept: has its name already */
};

static const struct disk_driver file_driver;

static struct file *file_of(struct disk_node *node)
{
	return (struct file *)node;
}

/* --- bytes ------------------------------------------------------------------ */

/* The file may have become longer, to `end`. */
static void note_end(struct disk_node *node, uint64_t end)
{
	uint64_t size = node->size;

	while (size < end &&
	       !atomic_compare_exchange_weak(&node->size, &size, end))
		;
}

/* Whether O_DIRECT takes it. */
static bool fits_direct(const struct file *file, uint64_t offset,
			uint64_t length, struct disk_vec vec)
{
	if (file->direct < 0 || (offset | length) % file->align_at ||
	    length > file->node.size || offset > file->node.size - length)
		return false;
	for (unsigned int i = 0; i < vec.spans && length; i++) {
		uintptr_t at = (uintptr_t)vec.span[i].data;
		size_t size = vec.span[i].size;

		if (vec.skip >= size) {
			vec.skip -= size;
			continue;
		}
		size -= vec.skip;
		if (size > length)
			size = length;
		if ((at + vec.skip) % file->align_memory ||
		    size % file->align_at)
			return false;
		vec.skip = 0;
		length -= size;
	}
	return true;
}

static int file_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct file *file = file_of(node);
	bool direct = fits_direct(file, offset, length, to);
	int error = disk_behind_settle(&file->behind, offset, length, false);

	return error ? error
		     : disk_transfer(direct ? file->direct : file->fd, offset,
				     length, to, false);
}

/*
 * Has the pages around a range alone, as zeros and the like need it too.
 * Otherwise than 0: it has not, since what was written there before failed.
 */
static int enter_pages(struct file *file, struct disk_range *range,
		       uint64_t offset, uint64_t length)
{
	uint64_t from = offset & ~(uint64_t)(PAGE - 1);
	uint64_t end = (offset + length + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	int error;

	if (file->direct < 0)
		return 0;
	error = disk_behind_settle(&file->behind, from, end - from, false);
	if (error)
		return error;
	disk_range_enter(&file->pages, range, from, end - from, true);
	disk_ahead_forget(&file->ahead, from, end - from);
	return 0;
}

static void leave_pages(struct file *file, struct disk_range *range)
{
	if (file->direct >= 0)
		disk_range_leave(&file->pages, range);
}

static int file_write(struct disk_node *node, uint64_t offset,
		      uint64_t length, struct disk_vec from)
{
	struct file *file = file_of(node);
	struct disk_range range;
	int error;

	if (fits_direct(file, offset, length, from)) {
		error = disk_behind_settle(&file->behind, offset, length,
					   false);
		if (error)
			return error;
		disk_range_enter(&file->pages, &range, offset, length, false);
		disk_ahead_forget(&file->ahead, offset, length);
		error = disk_transfer(file->direct, offset, length, from, true);
		disk_range_leave(&file->pages, &range);
		return error;
	}
	error = enter_pages(file, &range, offset, length);
	if (error)
		return error;
	error = disk_transfer(file->fd, offset, length, from, true);
	leave_pages(file, &range);
	if (!error)
		note_end(node, offset + length);
	return error;
}

/* Reads what is in the page cache; true: all of it was. */
static bool read_cached(struct file *file, const struct disk_io *io)
{
	struct iovec iov[DISK_SPANS_AT_ONCE];
	ssize_t n;
	int count;

	if (!atomic_load_explicit(&file->nowait, memory_order_relaxed))
		return false;
	count = disk_iov(iov, io->vec, io->length);
	n = preadv2(file->fd, iov, count, (off_t)io->offset, RWF_NOWAIT);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		atomic_store(&file->nowait, false);
	return n >= 0 && (uint64_t)n == io->length;
}

/* The ring, made when first asked for; NULL: there is none to be had. */
static struct disk_ring *ring_of(struct file *file)
{
	if (atomic_load_explicit(&file->asked, memory_order_acquire))
		return file->ring;
	pthread_mutex_lock(&file->mutex);
	if (!atomic_load(&file->asked))
		disk_ring_open(&file->ring,
			       file->direct >= 0 ? file->direct : file->fd,
			       file->fd);
	atomic_store(&file->asked, true);
	pthread_mutex_unlock(&file->mutex);
	return file->ring;
}

static void direct_done(struct disk_io *io)
{
	struct file *file = io->leaf;

	if (io->write)
		disk_range_leave(&file->pages, &io->range);
	disk_stage_leave(&file->stage, io);
	io->done = io->then;
	io->done(io);
}

/* Has a write go on behind its owner's back; false: it is not to. */
static bool write_behind(struct file *file, struct disk_io *io)
{
	struct disk_behind_slot *slot =
		file->alone ? disk_behind_take(&file->behind, io) : NULL;

	if (!slot)
		return false;
	disk_ahead_forget(&file->ahead, io->offset, io->length);
	disk_behind_begin(slot, io, file->ring);
	return true;
}

/*
 * Reads that the page cache does not hold, and all that goes past it. Writes
 * into the page cache are copies, which the kernel would give to threads of
 * its own: ours are as good.
 */
static bool submit_ring(struct file *file, struct disk_io *io)
{
	bool direct = file->direct >= 0;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < io->vec.spans; i++)
		sum += io->vec.span[i].size;
	if (io->vec.skip || sum != io->length || io->length > INT32_MAX ||
	    io->vec.spans > DISK_SPANS_AT_ONCE || (io->write && !direct) ||
	    (direct && !fits_direct(file, io->offset, io->length, io->vec)) ||
	    disk_behind_holds(&file->behind, io->offset, io->length) ||
	    !ring_of(file))
		return false;
	if (io->write && write_behind(file, io))
		return true;
	if (io->write && !disk_range_try(&file->pages, &io->range, io->offset,
					 io->length, false))
		return false;
	if (io->write)
		disk_ahead_forget(&file->ahead, io->offset, io->length);
	if (direct && (disk_stage_enter(&file->stage, io) || io->write)) {
		io->leaf = file;
		io->then = io->done;
		io->done = direct_done;
	}
	disk_ring_submit(file->ring, io);
	return true;
}

/* A read that goes past the page cache; true: it is over. */
static bool submit_ahead(struct file *file, struct disk_io *io)
{
	bool over;

	if (atomic_load_explicit(&file->asked, memory_order_acquire) &&
	    file->ring)
		disk_ahead_follow(&file->ahead, file->ring, io->offset,
				  io->length, file->node.size);
	return disk_ahead_read(&file->ahead, io, &over) ? over
							: !submit_ring(file, io);
}

static bool file_submit(struct disk_node *node, struct disk_io *io)
{
	struct file *file = file_of(node);

	io->error = -EAGAIN;
	if (node->instant)
		io->error = disk_transfer(file->fd, io->offset, io->length, io->vec,
				     io->write);
	else if (!io->write && file->direct < 0 && read_cached(file, io))
		io->error = 0;
	else if (!io->write && file->alone && file->direct >= 0)
		return submit_ahead(file, io);
	else
		return !submit_ring(file, io);
	return true;
}

/* Whether an error says that the file system or device cannot do that. */
static int unless_unknown(int result)
{
	if (!result)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL)
		return -ENOTSUP;
	return -errno;
}

/*
 * To find the end of data some file systems walk all of it, so it is kept. It
 * may be stale: holes that read as zeros are then called data, which is true.
 */
static void know_data(struct file *file, uint64_t from, uint64_t end)
{
	pthread_mutex_lock(&file->mutex);
	file->data_from = from;
	file->data_end = end;
	pthread_mutex_unlock(&file->mutex);
}

static bool known_data(struct file *file, uint64_t offset, uint64_t *end)
{
	bool known;

	pthread_mutex_lock(&file->mutex);
	known = offset >= file->data_from && offset < file->data_end;
	*end = file->data_end;
	pthread_mutex_unlock(&file->mutex);
	return known;
}

static int file_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags)
{
	struct file *file = file_of(node);
	uint64_t range[2] = { offset, length };
	bool hole = flags & DISK_UNMAP && offset + length <= node->size;
	struct disk_range pages;
	int error;

	error = enter_pages(file, &pages, offset, length);
	if (error)
		return error;
	error = unless_unknown(
		file->device
			? ioctl(file->fd, BLKZEROOUT, range)
			: fallocate(file->fd,
				    hole ? FALLOC_FL_PUNCH_HOLE |
						    FALLOC_FL_KEEP_SIZE
					 : FALLOC_FL_ZERO_RANGE,
				    (off_t)offset, (off_t)length));
	leave_pages(file, &pages);
	know_data(file, 0, 0);
	if (!error)
		note_end(node, offset + length);
	return error;
}

static int file_discard(struct disk_node *node, uint64_t offset,
			uint64_t length)
{
	struct file *file = file_of(node);
	uint64_t range[2] = { offset, length };
	struct disk_range pages;
	int error;

	error = enter_pages(file, &pages, offset, length);
	if (error)
		return error;
	error = unless_unknown(
		file->device
			? ioctl(file->fd, BLKDISCARD, range)
			: fallocate(file->fd,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)offset, (off_t)length));
	leave_pages(file, &pages);
	know_data(file, 0, 0);
	return error == -ENOTSUP ? 0 : error; /* a hint, no more */
}

static int file_flush(struct disk_node *node)
{
	struct file *file = file_of(node);
	int error;

	if (file->unsafe)
		return 0;
	error = disk_behind_settle(&file->behind, 0, UINT64_MAX, true);
	if (error)
		return error;
	return fdatasync(file->fd) ? -errno : 0;
}

/* Whether there is data at `offset`, and where that or the hole ends. */
static bool seek_data(struct file *file, uint64_t offset, uint64_t *end)
{
	off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA), hole;
	bool there = data == (off_t)offset;

	*end = UINT64_MAX;
	if (data < 0)
		return errno != ENXIO; /* which is a hole up to the end */
	*end = (uint64_t)data;
	if (!there)
		return false;
	hole = lseek(file->fd, (off_t)offset, SEEK_HOLE);
	*end = hole > data ? (uint64_t)hole : UINT64_MAX;
	know_data(file, offset, *end);
	return true;
}

static int file_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *extent)
{
	struct file *file = file_of(node);
	uint64_t end;

	*extent = (struct disk_extent){ .kind = DISK_DATA, .in_place = true,
					.length = length, .at = offset };
	if (!(flags & DISK_SPARSE) || file->device)
		return 0;
	/* One that failed is where data was already. */
	disk_behind_settle(&file->behind, offset, length, false);
	if (!known_data(file, offset, &end) && !seek_data(file, offset, &end)) {
		extent->kind = DISK_ZERO;
		extent->in_place = false;
	}
	if (end - offset < length)
		extent->length = end - offset;
	return 0;
}

static uint64_t file_allocated(struct disk_node *node)
{
	struct stat status;

	if (file_of(node)->device)
		return node->size;
	return fstat(file_of(node)->fd, &status)
		       ? 0
		       : (uint64_t)status.st_blocks * 512;
}

static int file_resize(struct disk_node *node, uint64_t size,
		       enum disk_preallocation prealloc,
		       struct disk_error *error)
{
	struct file *file = file_of(node);
	uint64_t old = node->size;
	int result = disk_behind_settle(&file->behind, 0, UINT64_MAX, false);

	if (file->device)
		return disk_error_set(error, -ENOTSUP, "is a block device, "
				      "which has the size that it has");
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	if (ftruncate(file->fd, (off_t)size))
		return disk_error_set(error, -errno, "%s", strerror(errno));
	node->size = size;
	disk_ahead_forget(&file->ahead, 0, UINT64_MAX);
	if (size > old && prealloc == DISK_PREALLOC_FALLOC &&
	    fallocate(file->fd, 0, (off_t)old, (off_t)(size - old)))
		result = -errno;
	if (size > old && prealloc == DISK_PREALLOC_FULL)
		result = disk_write_zeros(node, old, size - old);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

/* The open file `fd` is one for reading and writing from now on. */
static int widen(int fd, int flags, bool locked, struct disk_error *error)
{
	char self[40];
	int wide, result = 0;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	wide = open(self, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
	if (wide < 0)
		return disk_error_set(error, -errno, "%s", strerror(errno));
	if (locked)
		result = disk_lock(wide, true, error);
	if (!result && dup3(wide, fd, O_CLOEXEC) < 0)
		result = disk_error_set(error, -errno, "%s", strerror(errno));
	close(wide);
	return result;
}

/* The lock of a reader is kept until it is a writer's: nobody gets between. */
static int file_make_writable(struct disk_node *node, struct disk_error *error)
{
	struct file *file = file_of(node);
	int result = widen(file->fd, 0, true, error);

	if (!result && file->direct >= 0)
		result = widen(file->direct, O_DIRECT, false, error);
	if (!result)
		result = disk_lock(file->fd, false, error);
	if (!result)
		node->readonly = false;
	return result;
}

static void file_close(struct disk_node *node)
{
	struct file *file = file_of(node);

	disk_ahead_drain(&file->ahead);
	if (disk_behind_settle(&file->behind, 0, UINT64_MAX, true))
		host_log(HOST_LOG_ERROR, "%s: what was written last and never "
			 "flushed is lost", node->name);
	disk_ring_close(file->ring);
	if (file->unwanted)
		unlink(node->name);
	if (file->direct >= 0)
		close(file->direct);
	close(file->fd);
	disk_behind_fini(&file->behind);
	disk_ahead_fini(&file->ahead);
	disk_stage_fini(&file->stage);
	disk_ranges_destroy(&file->pages);
	pthread_mutex_destroy(&file->mutex);
}

static const struct disk_driver file_driver = {
	.name = "file",
	.title = "file",
	.leaf = true,
	.close = file_close,
	.map = file_map,
	.read = file_read,
	.write = file_write,
	.submit = file_submit,
	.zero = file_zero,
	.discard = file_discard,
	.flush = file_flush,
	.make_writable = file_make_writable,
	.allocated = file_allocated,
	.resize = file_resize,
};

/* --- opening ---------------------------------------------------------------- */

static int measure(struct file *file, struct disk_error *error)
{
	unsigned int physical = 0;
	struct statfs fs;
	struct stat status;
	uint64_t size;

	if (fstat(file->fd, &status))
		return disk_error_set(error, -errno, "%s", strerror(errno));
	if (S_ISREG(status.st_mode)) {
		file->node.size = (uint64_t)status.st_size;
		file->node.physical = 4096;
		file->node.instant = !fstatfs(file->fd, &fs) &&
				     fs.f_type == TMPFS_MAGIC;
		return 0;
	}
	if (!S_ISBLK(status.st_mode))
		return disk_error_set(error, -EINVAL,
				      "is neither a file nor a block device");
	file->device = true;
	if (ioctl(file->fd, BLKGETSIZE64, &size))
		return disk_error_set(error, -errno, "%s", strerror(errno));
	file->node.size = size;
	if (!ioctl(file->fd, BLKPBSZGET, &physical))
		file->node.physical = physical;
	return 0;
}

static int open_path(const struct disk_open *how, struct disk_error *error)
{
	int fd = open(how->path, (how->readonly ? O_RDONLY : O_RDWR) |
					 O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return disk_error_set(error, -errno,
				      "no such file; check the path");
	if (errno == EISDIR)
		return disk_error_set(error, -errno,
				      "is a folder; give an image in it");
	if (!how->readonly &&
	    (errno == EACCES || errno == EROFS || errno == EPERM))
		return disk_error_set(error, -errno,
				      "%s; make it writable, or give it with "
				      ",readonly to a machine that reads it",
				      strerror(errno));
	return disk_error_set(error, -errno, "%s", strerror(errno));
}

/* What O_DIRECT wants of a transfer, from the kernel or by a guess. */
static void ask_alignment(struct file *file)
{
	struct statx about;

	file->align_at = file->align_memory = PAGE;
	if (statx(file->direct, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) ||
	    !(about.stx_mask & STATX_DIOALIGN) || !about.stx_dio_offset_align)
		return;
	file->align_at = about.stx_dio_offset_align;
	file->align_memory = about.stx_dio_mem_align;
}

static int take_cache(struct file *file, const struct disk_open *how,
		      struct disk_error *error)
{
	char self[40];

	file->unsafe = how->cache == DISK_CACHE_UNSAFE;
	if (how->cache != DISK_CACHE_NONE || file->node.instant)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	file->direct = open(self, (how->readonly ? O_RDONLY : O_RDWR) |
					  O_CLOEXEC | O_DIRECT);
	if (file->direct < 0 && errno == EINVAL)
		return disk_error_set(error, -EINVAL, "lies on a file system "
				      "that has no cache=none; give another "
				      "cache=");
	if (file->direct < 0)
		return disk_error_set(error, -errno, "%s", strerror(errno));
	file->behind.fd = file->direct;
	ask_alignment(file);
	return 0;
}

/* A node on `fd`, which it owns whether or not that succeeds. */
static int make_node(struct file **file, int fd, const struct disk_open *how,
		     struct disk_error *error)
{
	*file = calloc(1, sizeof(**file));
	if (!*file || disk_node_init(&(*file)->node, &file_driver, NULL, how)) {
		free(*file);
		close(fd);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	(*file)->fd = fd;
	(*file)->direct = -1;
	disk_ranges_init(&(*file)->pages);
	disk_stage_init(&(*file)->stage);
	disk_ahead_init(&(*file)->ahead, &(*file)->pages);
	disk_behind_init(&(*file)->behind, &(*file)->pages);
	pthread_mutex_init(&(*file)->mutex, NULL);
	(*file)->nowait = true;
	return 0;
}

int disk_file_open(struct disk_node **node, const struct disk_open *how,
		   struct disk_error *error)
{
	struct file *file;
	int fd = open_path(how, error);
	int result = fd < 0 ? fd : make_node(&file, fd, how, error);

	if (result)
		return result;
	result = measure(file, error);
	if (!result)
		result = take_cache(file, how, error);
	if (!result && !how->unlocked)
		result = disk_lock(fd, how->readonly, error);
	/* Of a device there may be other writers, on other hosts too. */
	file->alone = !how->unlocked && !file->device;
	if (result)
		disk_close(&file->node);
	else
		*node = &file->node;
	return result;
}

int disk_memory_open(struct disk_node **node, struct disk_error *error)
{
	const struct disk_open how = { .path = "memory" };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct file *file;
	int result;

	if (fd < 0)
		return disk_error_set(error, -errno, "%s", strerror(errno));
	result = make_node(&file, fd, &how, error);
	if (result)
		return result;
	file->node.grows = true;
	file->node.instant = true;
	*node = &file->node;
	return 0;
}

/* --- making ----------------------------------------------------------------- */

/* A file without a name in the folder of `path`; negative errno. */
static int open_unnamed(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	if (slash && slash - path >= PATH_MAX - 1)
		return -ENAMETOOLONG;
	snprintf(folder, sizeof(folder), "%.*s",
		 slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

static int there_already(struct disk_error *error)
{
	return disk_error_set(error, -EEXIST, "is there already; remove it, "
			      "or take another name");
}

int disk_file_make(struct disk_node **node, const char *path,
		   struct disk_error *error)
{
	const struct disk_open how = { .path = path };
	struct file *file;
	bool unnamed;
	int fd;

	if (!access(path, F_OK))
		return there_already(error);
	fd = open_unnamed(path);
	unnamed = fd >= 0;
	if (!unnamed) {
		fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
		if (fd < 0)
			return disk_error_set(error, -errno, "%s",
					      errno == ENOENT
						      ? "its folder is missing; "
							"make that first"
						      : strerror(errno));
	}
	if (make_node(&file, fd, &how, error)) {
		if (!unnamed)
			unlink(path);
		return -ENOMEM;
	}
	file->unnamed = unnamed;
	file->unwanted = !unnamed;
	file->node.grows = true;
	*node = &file->node;
	return disk_lock(fd, false, error);
}

int disk_file_keep(struct disk_node *node, struct disk_error *error)
{
	struct file *file = file_of(node);
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	if (file->unnamed &&
	    linkat(AT_FDCWD, self, AT_FDCWD, node->name, AT_SYMLINK_FOLLOW))
		return errno == EEXIST
			       ? there_already(error)
			       : disk_error_set(error, -errno, "%s",
						strerror(errno));
	file->unnamed = file->unwanted = false;
	return 0;
}

/* --- making anew ------------------------------------------------------------ */

/* The descriptors of the file become ones of `fd`. */
static int take_over(struct file *file, int fd)
{
	char self[40];
	int direct = -1, error = 0;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (file->direct >= 0) {
		direct = open(self, O_RDWR | O_CLOEXEC | O_DIRECT);
		if (direct < 0 || dup3(direct, file->direct, O_CLOEXEC) < 0)
			error = -errno;
		close(direct);
	}
	if (!error && dup3(fd, file->fd, O_CLOEXEC) < 0)
		error = -errno;
	know_data(file, 0, 0);
	disk_ahead_forget(&file->ahead, 0, UINT64_MAX);
	return error;
}

int disk_file_replace(struct disk_node *node, const void *bytes, size_t size)
{
	struct file *file = file_of(node);
	int fd, error;

	if (node->driver != &file_driver || file->device)
		return -ENOTSUP;
	fd = disk_renew(node->name, file->fd, bytes, size);
	if (fd < 0)
		return fd;
	error = take_over(file, fd);
	close(fd);
	node->size = size;
	return error;
}
