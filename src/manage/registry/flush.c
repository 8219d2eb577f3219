/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/registry/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "host/linux/thread.h"
#include "vm/host.h"

#define FRAMES_MAX 1000 /* of the log, before it is moved */
#define BUSY_MS	   5000

struct copy {
	struct copy *next;
	json_t *json;
	int folder;
	char name[32];
};

struct flush {
	struct thread thread;
	pthread_mutex_t lock;
	pthread_cond_t work, rest;
	sqlite3 *db; /* the thread's */
	int log, told;
	uint64_t made, kept; /* made: written by the loop's thread alone */
	int frames, error;
	unsigned int copies; /* that are not written yet */
	bool stop;
	struct copy *first, *last;
};

/* --- the thread ------------------------------------------------------------------- */

static void write_copy(struct copy *copy)
{
	int err = json_file_replace(copy->json, copy->folder, copy->name);

	/* A folder that was removed meanwhile needs none. */
	if (err && err != -ENOENT)
		host_log(HOST_LOG_WARN, "machine's copy %s cannot be written: "
			 "%s", copy->name, strerror(-err));
	close(copy->folder);
	json_decref(copy->json);
	free(copy);
}

static void write_copies(struct flush *flush, struct copy *copies)
{
	while (copies) {
		struct copy *copy = copies;

		copies = copy->next;
		write_copy(copy);
		pthread_mutex_lock(&flush->lock);
		flush->copies--;
		pthread_cond_broadcast(&flush->rest);
		pthread_mutex_unlock(&flush->lock);
	}
}

static int bring(struct flush *flush, struct copy *copies, int frames)
{
	int err = 0;

	write_copies(flush, copies);
	if (fdatasync(flush->log))
		err = errno;
	if (!err && frames > FRAMES_MAX)
		sqlite3_wal_checkpoint_v2(flush->db, NULL,
					  SQLITE_CHECKPOINT_PASSIVE, NULL,
					  NULL);
	if (err)
		host_log(HOST_LOG_ERROR, "the registry cannot be written: %s",
			 strerror(err));
	return err;
}

/* Takes what has come and works on it without the lock. */
static void work(struct flush *flush)
{
	struct copy *copies = flush->first;
	uint64_t made = flush->made;
	int frames = flush->frames, err;

	flush->first = flush->last = NULL;
	flush->frames = 0;
	pthread_mutex_unlock(&flush->lock);
	err = bring(flush, copies, frames);
	pthread_mutex_lock(&flush->lock);
	flush->error = err;
	flush->kept = made;
	pthread_cond_broadcast(&flush->rest);
	eventfd_write(flush->told, 1);
}

static void run(void *ctx)
{
	struct flush *flush = ctx;

	pthread_mutex_lock(&flush->lock);
	while (!flush->stop || flush->kept < flush->made) {
		if (flush->kept < flush->made)
			work(flush);
		else
			pthread_cond_wait(&flush->work, &flush->lock);
	}
	pthread_mutex_unlock(&flush->lock);
}

/* --- from the loop's thread ---------------------------------------------------------- */

static void add(struct flush *flush, int frames, struct copy *copy)
{
	pthread_mutex_lock(&flush->lock);
	flush->made++;
	if (frames > flush->frames)
		flush->frames = frames;
	if (copy && flush->last)
		flush->last->next = copy;
	else if (copy)
		flush->first = copy;
	if (copy)
		flush->last = copy;
	flush->copies += copy != NULL;
	pthread_cond_signal(&flush->work);
	pthread_mutex_unlock(&flush->lock);
}

void flush_commit(struct flush *flush, int frames)
{
	add(flush, frames, NULL);
}

void flush_copy(struct flush *flush, const json_t *json, int folder,
		const char *name)
{
	struct copy *copy = calloc(1, sizeof(*copy));

	/* A deep one: reference counts belong to the loop's thread. */
	if (copy)
		copy->json = json_deep_copy(json);
	if (!copy || !copy->json) {
		host_log(HOST_LOG_WARN, "machine's copy %s: out of memory",
			 name);
		close(folder);
		free(copy);
		return;
	}
	copy->folder = folder;
	snprintf(copy->name, sizeof(copy->name), "%s", name);
	add(flush, 0, copy);
}

uint64_t flush_made(const struct flush *flush)
{
	return flush->made;
}

uint64_t flush_kept(struct flush *flush)
{
	uint64_t kept;

	pthread_mutex_lock(&flush->lock);
	kept = flush->kept;
	pthread_mutex_unlock(&flush->lock);
	return kept;
}

int flush_error(struct flush *flush)
{
	int err;

	pthread_mutex_lock(&flush->lock);
	err = flush->error;
	pthread_mutex_unlock(&flush->lock);
	return err;
}

void flush_wait(struct flush *flush)
{
	pthread_mutex_lock(&flush->lock);
	while (flush->kept < flush->made)
		pthread_cond_wait(&flush->rest, &flush->lock);
	pthread_mutex_unlock(&flush->lock);
}

void flush_wait_copies(struct flush *flush)
{
	pthread_mutex_lock(&flush->lock);
	while (flush->copies)
		pthread_cond_wait(&flush->rest, &flush->lock);
	pthread_mutex_unlock(&flush->lock);
}

int flush_descriptor(const struct flush *flush)
{
	return flush->told;
}

void flush_seen(struct flush *flush)
{
	eventfd_t count;

	eventfd_read(flush->told, &count);
}

/* --- opening ------------------------------------------------------------------------- */

static int open_parts(struct flush *flush, const char *path)
{
	char log[PATH_MAX + 8];

	snprintf(log, sizeof(log), "%s-wal", path);
	flush->log = open(log, O_RDWR | O_CLOEXEC);
	flush->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (flush->log < 0 || flush->told < 0)
		return -errno;
	if (sqlite3_open_v2(path, &flush->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			    NULL))
		return -EIO;
	sqlite3_busy_timeout(flush->db, BUSY_MS);
	sqlite3_exec(flush->db, "PRAGMA cache_size = -64", NULL, NULL, NULL);
	return 0;
}

int flush_open(struct flush **out, const char *path)
{
	struct flush *flush = calloc(1, sizeof(*flush));
	int err;

	*out = NULL;
	if (!flush)
		return -ENOMEM;
	pthread_mutex_init(&flush->lock, NULL);
	pthread_cond_init(&flush->work, NULL);
	pthread_cond_init(&flush->rest, NULL);
	flush->log = flush->told = -1;
	err = open_parts(flush, path);
	if (!err)
		err = thread_start(&flush->thread, "registry", run, flush);
	if (err)
		flush_close(flush);
	else
		*out = flush;
	return err;
}

void flush_close(struct flush *flush)
{
	if (!flush)
		return;
	pthread_mutex_lock(&flush->lock);
	flush->stop = true;
	pthread_cond_signal(&flush->work);
	pthread_mutex_unlock(&flush->lock);
	thread_join(&flush->thread);
	sqlite3_close(flush->db);
	if (flush->log >= 0)
		close(flush->log);
	if (flush->told >= 0)
		close(flush->told);
	pthread_cond_destroy(&flush->rest);
	pthread_cond_destroy(&flush->work);
	pthread_mutex_destroy(&flush->lock);
	free(flush);
}
