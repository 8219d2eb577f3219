/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images on files and block devices; see block_file.h.
 *
 * Threads of the pool take requests in the order of arrival. Whatever a
 * request meets (short reads, a file that shrank, a full disk) ends in one
 * error for it.
 */
#include "host/linux/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/linux/thread.h"

#define THREADS	     8
#define SECTOR	     512
#define SPANS_AT_ONCE 256
#define ZEROS	     65536u

_Static_assert(sizeof(struct span) == sizeof(struct iovec) &&
		       offsetof(struct span, size) ==
			       offsetof(struct iovec, iov_len),
	       "a span is an iovec");

struct block_file {
	struct block block;
	int fd;
	bool device;	     /* a block device, not a file */
	bool in_memory;	     /* its file system never waits for a disk */
	_Atomic bool nowait; /* RWF_NOWAIT works here */

	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t more;
	struct block_request *first, **last;
	unsigned int idle, started;
	bool end;
	struct thread thread[THREADS];
};

/* --- reading and writing -------------------------------------------------------- */

/* Spans [from ..) of a request less `skip` bytes of them, as iovecs. */
static int take_spans(const struct block_request *r, size_t skip,
		      struct iovec *iov)
{
	int count = 0;

	for (unsigned int i = 0; i < r->spans && count < SPANS_AT_ONCE; i++) {
		size_t size = r->span[i].size;

		if (skip >= size) {
			skip -= size;
			continue;
		}
		iov[count].iov_base = (char *)r->span[i].data + skip;
		iov[count++].iov_len = size - skip;
		skip = 0;
	}
	return count;
}

/* All of it, in as many calls as it takes. */
static int transfer(struct block_file *file, struct block_request *r,
		    size_t done)
{
	struct iovec iov[SPANS_AT_ONCE];

	while (done < r->length) {
		int count = take_spans(r, done, iov);
		off_t at = (off_t)(r->offset + done);
		ssize_t n = r->op == BLOCK_READ
				    ? preadv(file->fd, iov, count, at)
				    : pwritev(file->fd, iov, count, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* the file has shrunk */
		done += (size_t)n;
	}
	return 0;
}

static int write_zeros(struct block_file *file, uint64_t offset,
		       uint64_t length)
{
	static const char zeros[ZEROS];

	while (length) {
		size_t part = length < ZEROS ? length : ZEROS;
		ssize_t n = pwrite(file->fd, zeros, part, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

static int change_range(struct block_file *file, const struct block_request *r)
{
	const bool hole = r->op == BLOCK_DISCARD || r->may_unmap;
	uint64_t range[2] = { r->offset, r->length };

	if (!r->length)
		return 0;
	if (file->device)
		return ioctl(file->fd, r->op == BLOCK_DISCARD ? BLKDISCARD
							      : BLKZEROOUT,
			     range)
			       ? -errno
			       : 0;
	return fallocate(file->fd,
			 FALLOC_FL_KEEP_SIZE | (hole ? FALLOC_FL_PUNCH_HOLE
						     : FALLOC_FL_ZERO_RANGE),
			 (off_t)r->offset, (off_t)r->length)
		       ? -errno
		       : 0;
}

/* Whether an error says that the image cannot do that at all. */
static bool cannot(int error)
{
	return error == -EOPNOTSUPP || error == -ENOTTY || error == -EINVAL;
}

/* Does a request to its end, waiting where needed. */
static int perform(struct block_file *file, struct block_request *r)
{
	int error;

	switch (r->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return transfer(file, r, 0);
	case BLOCK_FLUSH:
		return fdatasync(file->fd) ? -errno : 0;
	case BLOCK_DISCARD:
		error = change_range(file, r);
		return cannot(error) ? 0 : error; /* a hint, no more */
	case BLOCK_ZERO:
		error = change_range(file, r);
		return cannot(error) ? write_zeros(file, r->offset, r->length)
				     : error;
	}
	return -EIO;
}

/* Reads what is in the page cache; true: all of it was. */
static bool read_cached(struct block_file *file, struct block_request *r)
{
	struct iovec iov[SPANS_AT_ONCE];
	int count;
	ssize_t n;

	if (!atomic_load_explicit(&file->nowait, memory_order_relaxed))
		return false;
	count = take_spans(r, 0, iov);
	n = preadv2(file->fd, iov, count, (off_t)r->offset, RWF_NOWAIT);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		atomic_store(&file->nowait, false);
	return n >= 0 && (uint64_t)n == r->length;
}

/* --- the pool ---------------------------------------------------------------------- */

static void serve(void *ctx)
{
	struct block_file *file = ctx;

	pthread_mutex_lock(&file->mutex);
	for (;;) {
		struct block_request *r = file->first;

		if (!r && file->end)
			break;
		if (!r) {
			file->idle++;
			pthread_cond_wait(&file->more, &file->mutex);
			file->idle--;
			continue;
		}
		file->first = r->next;
		if (!file->first)
			file->last = &file->first;
		pthread_mutex_unlock(&file->mutex);
		r->error = perform(file, r);
		r->done(r);
		pthread_mutex_lock(&file->mutex);
	}
	pthread_mutex_unlock(&file->mutex);
}

/* Held: the mutex. False: there is no thread and none can be had. */
static bool need_thread(struct block_file *file)
{
	if (file->idle || file->started == THREADS)
		return true;
	if (!thread_start(&file->thread[file->started], "disk", serve, file))
		file->started++;
	return file->started;
}

static bool file_submit(struct block *block, struct block_request *r)
{
	struct block_file *file = (struct block_file *)block;
	bool queued;

	if (r->op == BLOCK_READ && read_cached(file, r)) {
		r->error = 0;
		return true;
	}
	if (file->in_memory && r->op <= BLOCK_FLUSH) {
		r->error = perform(file, r);
		return true;
	}
	r->next = NULL;
	pthread_mutex_lock(&file->mutex);
	queued = need_thread(file);
	if (queued) {
		*file->last = r;
		file->last = &r->next;
		pthread_cond_signal(&file->more);
	}
	pthread_mutex_unlock(&file->mutex);
	if (!queued)
		r->error = -EIO;
	return !queued;
}

static void file_close(struct block *block)
{
	struct block_file *file = (struct block_file *)block;

	pthread_mutex_lock(&file->mutex);
	file->end = true;
	pthread_cond_broadcast(&file->more);
	pthread_mutex_unlock(&file->mutex);
	for (unsigned int i = 0; i < file->started; i++)
		thread_join(&file->thread[i]);
	pthread_cond_destroy(&file->more);
	pthread_mutex_destroy(&file->mutex);
	close(file->fd);
	free(file);
}

static const struct block_ops file_ops = {
	.submit = file_submit,
	.close = file_close,
};

/* --- opening ------------------------------------------------------------------------ */

static int refuse(struct block_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(struct block_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -1;
}

/* Names the format that the first bytes are of; NULL: no other one's. */
static const char *other_format(int fd)
{
	static const struct {
		const char *magic, *name;
	} formats[] = {
		{ "QFI\xfb", "qcow2" },
		{ "KDMV", "VMDK" },
		{ "vhdxfile", "VHDX" },
		{ "conectix", "VHD" },
	};
	char head[8] = "";

	if (pread(fd, head, sizeof(head), 0) != sizeof(head))
		return NULL;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!memcmp(head, formats[i].magic, strlen(formats[i].magic)))
			return formats[i].name;
	return NULL;
}

/* Against another machine on the same image; given back with the file. */
static int lock_image(int fd, bool readonly, struct block_error *error)
{
	struct flock lock = {
		.l_type = readonly ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (!fcntl(fd, F_OFD_SETLK, &lock) ||
	    (errno != EAGAIN && errno != EACCES))
		return 0; /* or a file system that knows no locks */
	return refuse(error, "is in use by another machine; stop that one, or "
			     "give both a copy");
}

static int measure(struct block_file *file, struct block_error *error)
{
	struct statfs fs;
	struct stat status;
	unsigned int physical = 0;

	if (fstat(file->fd, &status))
		return refuse(error, "%s", strerror(errno));
	if (S_ISBLK(status.st_mode)) {
		file->device = true;
		if (ioctl(file->fd, BLKGETSIZE64, &file->block.size))
			return refuse(error, "%s", strerror(errno));
		ioctl(file->fd, BLKPBSZGET, &physical);
	} else if (S_ISREG(status.st_mode)) {
		file->block.size = (uint64_t)status.st_size;
		physical = 4096;
	} else {
		return refuse(error, "is neither a file nor a block device");
	}
	if (!file->block.size)
		return refuse(error, "is empty; make it with: truncate -s 10G");
	if (file->block.size % SECTOR)
		return refuse(error, "has %llu bytes, no multiple of %d; a "
			      "truncated copy?",
			      (unsigned long long)file->block.size, SECTOR);
	file->block.physical = physical < SECTOR ? SECTOR : physical;
	file->in_memory = !file->device && !fstatfs(file->fd, &fs) &&
			  fs.f_type == TMPFS_MAGIC;
	return 0;
}

static int open_image(struct block_file *file, const char *path, bool readonly,
		      bool any_format, struct block_error *error)
{
	const char *other;

	file->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC |
				      O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0 && errno == ENOENT)
		return refuse(error, "no such file; check the path");
	if (file->fd < 0 && !readonly && (errno == EACCES || errno == EROFS))
		return refuse(error, "%s; give it with ,readonly",
			      strerror(errno));
	if (file->fd < 0)
		return refuse(error, "%s", strerror(errno));
	if (measure(file, error) || lock_image(file->fd, readonly, error))
		return -1;
	other = any_format ? NULL : other_format(file->fd);
	if (other)
		return refuse(error, "looks like a %s image; convert it, or "
			      "take it as it is with ,format=raw", other);
	return 0;
}

int block_file_open(struct block **block, const char *path, bool readonly,
		    bool any_format, struct block_error *error)
{
	struct block_file *file = calloc(1, sizeof(*file));

	*block = NULL;
	if (!file)
		return refuse(error, "out of memory");
	file->fd = -1;
	if (open_image(file, path, readonly, any_format, error)) {
		if (file->fd >= 0)
			close(file->fd);
		free(file);
		return -1;
	}
	file->block.ops = &file_ops;
	file->block.readonly = readonly;
	file->block.can_discard = true;
	file->nowait = true;
	file->last = &file->first;
	pthread_mutex_init(&file->mutex, NULL);
	pthread_cond_init(&file->more, NULL);
	*block = &file->block;
	return 0;
}
