/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librados and librbd as far as the extension "rbd" uses them, for tests
 * without a cluster: the "cluster" is the folder that its configuration file
 * lies in, or that mon_host names. A pool is a folder there, a namespace one
 * in that, an image a file, a snapshot one called IMAGE@SNAPSHOT. An image has
 * the exclusive-lock feature unless there is a file IMAGE.unlocked. Its objects
 * have 64 KiB. While a file `fail` in the cluster's folder, which is there when
 * it is connected to, has a number, writes and flushes fail with it. Calls that
 * begin something end it on threads that are there since an image was opened,
 * as librbd's are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define OBJECT 65536u
#define THREADS 4

struct cluster {
	char id[64], folder[PATH_MAX], timeout[16];
	int fail; /* -1: nothing does */
};

struct pool {
	struct cluster *cluster;
	char folder[PATH_MAX];
};

struct image {
	struct cluster *cluster;
	char path[PATH_MAX];
	int fd, lock;
	bool readonly;
};

struct completion {
	rbd_callback_t done;
	void *ctx;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool over;
	ssize_t result;
	int users; /* the caller, the thread */

	struct completion *next;
	struct image *image;
	const struct iovec *iov; /* the caller's, as librbd keeps it */
	int count;
	uint64_t offset;
	bool write;
};

/* What was begun. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_once_t threads;
	struct completion *first;
} queue = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.threads = PTHREAD_ONCE_INIT,
};

static void start_threads(void);

static void text_to(char *to, size_t size, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(to, size, format, list);
	va_end(list);
}

static int is_folder(const char *path)
{
	struct stat status;

	return !stat(path, &status) && S_ISDIR(status.st_mode);
}

/* --- librados --------------------------------------------------------------- */

int rados_create(rados_t *made, const char *id)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));

	text_to(cluster->id, sizeof(cluster->id), "%s", id ? id : "admin");
	text_to(cluster->timeout, sizeof(cluster->timeout), "300");
	cluster->fail = -1;
	*made = cluster;
	return 0;
}

int rados_conf_read_file(rados_t at, const char *path)
{
	struct cluster *cluster = at;

	if (!path || access(path, R_OK))
		return -ENOENT;
	text_to(cluster->folder, sizeof(cluster->folder), "%.*s",
		(int)(strrchr(path, '/') - path), path);
	return 0;
}

int rados_conf_set(rados_t at, const char *name, const char *value)
{
	static const char *const known[] = { "log_to_stderr", "err_to_stderr",
					     "rbd_cache", "keyring",
					     "keyfile" };
	struct cluster *cluster = at;

	if (!strcmp(name, "mon_host"))
		text_to(cluster->folder, sizeof(cluster->folder), "%s", value);
	else if (!strcmp(name, "client_mount_timeout"))
		text_to(cluster->timeout, sizeof(cluster->timeout), "%s",
			value);
	else
		for (size_t i = 0;; i++) {
			if (i == sizeof(known) / sizeof(known[0]))
				return -ENOENT;
			if (!strcmp(name, known[i]))
				break;
		}
	return 0;
}

int rados_conf_get(rados_t at, const char *name, char *value, size_t size)
{
	struct cluster *cluster = at;

	if (!strcmp(name, "client_mount_timeout"))
		text_to(value, size, "%s", cluster->timeout);
	else if (!strcmp(name, "mon_host"))
		text_to(value, size, "%s", *cluster->folder ? "yes" : "");
	else
		return -ENOENT;
	return 0;
}

int rados_connect(rados_t at)
{
	struct cluster *cluster = at;
	char path[PATH_MAX + 8];

	if (!*cluster->folder)
		return -ENOENT;
	if (strcmp(cluster->timeout, "30"))
		return -EINVAL;
	if (!strcmp(cluster->id, "nobody"))
		return -EACCES;
	text_to(path, sizeof(path), "%s/fail", cluster->folder);
	cluster->fail = open(path, O_RDONLY | O_CLOEXEC);
	return is_folder(cluster->folder) ? 0 : -ETIMEDOUT;
}

void rados_shutdown(rados_t at)
{
	struct cluster *cluster = at;

	if (cluster->fail >= 0)
		close(cluster->fail);
	free(at);
}

int rados_ioctx_create(rados_t at, const char *name, rados_ioctx_t *made)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	pool->cluster = at;
	text_to(pool->folder, sizeof(pool->folder), "%s/%s",
		pool->cluster->folder, name);
	*made = pool;
	if (is_folder(pool->folder))
		return 0;
	free(pool);
	*made = NULL;
	return -ENOENT;
}

void rados_ioctx_set_namespace(rados_ioctx_t at, const char *name)
{
	struct pool *pool = at;
	size_t length = strlen(pool->folder);

	text_to(pool->folder + length, sizeof(pool->folder) - length, "/%s",
		name);
}

void rados_ioctx_destroy(rados_ioctx_t at)
{
	free(at);
}

/* --- images ----------------------------------------------------------------- */

static int open_image(rados_ioctx_t at, const char *name, rbd_image_t *made,
		      const char *snapshot, bool readonly)
{
	struct image *image = calloc(1, sizeof(*image));
	struct pool *pool = at;

	image->cluster = pool->cluster;
	image->readonly = readonly || snapshot;
	image->lock = -1;
	text_to(image->path, sizeof(image->path), "%s/%s%s%s", pool->folder,
		name, snapshot ? "@" : "", snapshot ? snapshot : "");
	image->fd = open(image->path, image->readonly ? O_RDONLY : O_RDWR);
	*made = image;
	pthread_once(&queue.threads, start_threads);
	if (image->fd >= 0)
		return 0;
	free(image);
	return -errno;
}

int rbd_open(rados_ioctx_t pool, const char *name, rbd_image_t *image,
	     const char *snapshot)
{
	return open_image(pool, name, image, snapshot, false);
}

int rbd_open_read_only(rados_ioctx_t pool, const char *name,
		       rbd_image_t *image, const char *snapshot)
{
	return open_image(pool, name, image, snapshot, true);
}

int rbd_create(rados_ioctx_t at, const char *name, uint64_t size, int *order)
{
	struct pool *pool = at;
	char path[2 * PATH_MAX];
	int fd, error = 0;

	text_to(path, sizeof(path), "%s/%s", pool->folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size))
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

int rbd_remove(rados_ioctx_t at, const char *name)
{
	struct pool *pool = at;
	char path[2 * PATH_MAX];

	text_to(path, sizeof(path), "%s/%s", pool->folder, name);
	return unlink(path) ? -errno : 0;
}

int rbd_close(rbd_image_t at)
{
	struct image *image = at;

	if (image->lock >= 0)
		close(image->lock);
	close(image->fd);
	free(image);
	return 0;
}

int rbd_stat(rbd_image_t at, rbd_image_info_t *info, size_t size)
{
	struct image *image = at;
	struct stat status;

	if (size != sizeof(*info))
		return -EINVAL;
	if (fstat(image->fd, &status))
		return -errno;
	memset(info, 0, size);
	info->size = (uint64_t)status.st_size;
	info->obj_size = OBJECT;
	return 0;
}

int rbd_get_features(rbd_image_t at, uint64_t *features)
{
	struct image *image = at;
	char path[PATH_MAX + 16];

	text_to(path, sizeof(path), "%s.unlocked", image->path);
	*features = RBD_FEATURE_FAST_DIFF;
	if (access(path, F_OK))
		*features |= RBD_FEATURE_EXCLUSIVE_LOCK;
	return 0;
}

int rbd_lock_acquire(rbd_image_t at, rbd_lock_mode_t mode)
{
	struct image *image = at;
	char path[PATH_MAX + 16];

	if (mode != RBD_LOCK_MODE_EXCLUSIVE || image->readonly)
		return -EINVAL;
	text_to(path, sizeof(path), "%s.lock", image->path);
	image->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (!flock(image->lock, LOCK_EX | LOCK_NB))
		return 0;
	close(image->lock);
	image->lock = -1;
	return -EROFS;
}

int rbd_is_exclusive_lock_owner(rbd_image_t at, int *own)
{
	*own = ((struct image *)at)->lock >= 0;
	return 0;
}

int rbd_lock_get_owners(rbd_image_t at, rbd_lock_mode_t *mode, char **owner,
			size_t *count)
{
	if (!*count)
		return -ERANGE;
	*mode = RBD_LOCK_MODE_EXCLUSIVE;
	*count = 1;
	owner[0] = strdup("client.4711");
	return 0;
}

void rbd_lock_get_owners_cleanup(char **owner, size_t count)
{
	while (count)
		free(owner[--count]);
}

int rbd_resize(rbd_image_t at, uint64_t size)
{
	return ftruncate(((struct image *)at)->fd, (off_t)size) ? -errno : 0;
}

/* What writes are to fail with, or 0. */
static int failure(const struct image *image)
{
	char text[16] = "";

	if (image->cluster->fail < 0 ||
	    pread(image->cluster->fail, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return -atoi(text);
}

int rbd_flush(rbd_image_t at)
{
	return failure(at);
}

static int punch(struct image *image, uint64_t offset, uint64_t length)
{
	int error = image->readonly ? -EROFS : failure(image);
	struct stat status;

	if (error)
		return error;
	if (fstat(image->fd, &status) ||
	    offset + length > (uint64_t)status.st_size)
		return -EINVAL;
	return fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)offset, (off_t)length) ? -errno : 0;
}

int rbd_discard(rbd_image_t at, uint64_t offset, uint64_t length)
{
	int error = punch(at, offset, length);

	return error ? error : (int)length;
}

ssize_t rbd_write_zeroes(rbd_image_t at, uint64_t offset, size_t length,
			 int flags, int op_flags)
{
	int error = punch(at, offset, length);

	return error ? error : (ssize_t)length;
}

/* An object that has anything is there as a whole. */
int rbd_diff_iterate2(rbd_image_t at, const char *from, uint64_t offset,
		      uint64_t length, uint8_t parent, uint8_t whole,
		      int (*tell)(uint64_t offset, size_t length, int exists,
				  void *ctx),
		      void *ctx)
{
	struct image *image = at;
	uint64_t end = offset + length;

	if (from || offset % OBJECT)
		return -EINVAL;
	for (; offset < end; offset += OBJECT) {
		uint64_t part = end - offset < OBJECT ? end - offset : OBJECT;
		off_t data = lseek(image->fd, (off_t)offset, SEEK_DATA);
		int result = 0;

		if (data >= 0 && (uint64_t)data < offset + part)
			result = tell(offset, part, 1, ctx);
		if (result)
			return result;
	}
	return 0;
}

/* --- transfers -------------------------------------------------------------- */

int rbd_aio_create_completion(void *ctx, rbd_callback_t done,
			      rbd_completion_t *made)
{
	struct completion *c = calloc(1, sizeof(*c));

	c->done = done;
	c->ctx = ctx;
	c->users = 1;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->changed, NULL);
	*made = c;
	return 0;
}

void rbd_aio_release(rbd_completion_t at)
{
	struct completion *c = at;
	int users;

	pthread_mutex_lock(&c->mutex);
	users = --c->users;
	pthread_mutex_unlock(&c->mutex);
	if (users)
		return;
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}

ssize_t rbd_aio_get_return_value(rbd_completion_t at)
{
	return ((struct completion *)at)->result;
}

int rbd_aio_wait_for_complete(rbd_completion_t at)
{
	struct completion *c = at;

	pthread_mutex_lock(&c->mutex);
	while (!c->over)
		pthread_cond_wait(&c->changed, &c->mutex);
	pthread_mutex_unlock(&c->mutex);
	return 0;
}

static ssize_t move(struct completion *c)
{
	ssize_t n = c->write ? failure(c->image) : 0;

	if (n)
		return n;
	n = c->write ? pwritev(c->image->fd, c->iov, c->count,
			       (off_t)c->offset)
		     : preadv(c->image->fd, c->iov, c->count,
			      (off_t)c->offset);
	return n < 0 ? -errno : c->write ? 0 : n;
}

static void end(struct completion *c)
{
	c->result = move(c);
	if (c->done)
		c->done(c, c->ctx);
	pthread_mutex_lock(&c->mutex);
	c->over = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->mutex);
	rbd_aio_release(c);
}

static void *run(void *ctx)
{
	for (;;) {
		struct completion *c;

		pthread_mutex_lock(&queue.mutex);
		while (!queue.first)
			pthread_cond_wait(&queue.changed, &queue.mutex);
		c = queue.first;
		queue.first = c->next;
		pthread_mutex_unlock(&queue.mutex);
		end(c);
	}
	return NULL;
}

static void start_threads(void)
{
	pthread_t thread;

	for (int i = 0; i < THREADS; i++)
		if (!pthread_create(&thread, NULL, run, NULL))
			pthread_detach(thread);
}

static int begin(rbd_image_t image, const struct iovec *iov, int count,
		 uint64_t offset, bool write, rbd_completion_t at)
{
	struct completion *c = at, **last;

	c->image = image;
	c->iov = iov;
	c->count = count;
	c->offset = offset;
	c->write = write;
	c->users++;
	pthread_mutex_lock(&queue.mutex);
	c->next = NULL;
	for (last = &queue.first; *last; last = &(*last)->next)
		;
	*last = c;
	pthread_cond_signal(&queue.changed);
	pthread_mutex_unlock(&queue.mutex);
	return 0;
}

int rbd_aio_readv(rbd_image_t image, const struct iovec *iov, int count,
		  uint64_t offset, rbd_completion_t completion)
{
	return begin(image, iov, count, offset, false, completion);
}

int rbd_aio_writev(rbd_image_t image, const struct iovec *iov, int count,
		   uint64_t offset, rbd_completion_t completion)
{
	return begin(image, iov, count, offset, true, completion);
}
