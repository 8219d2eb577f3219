/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying content from image to image: several threads take piece after piece
 * of the disk, so that reading, unpacking, packing and writing overlap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/chain.h"
#include "disk/job.h"
#include "disk/zeros.h"
#include "host/linux/thread.h"

#define PIECE	    (1u << 20) /* bytes that a thread takes, at least */
#define BLOCK	    4096u      /* zeros are looked for in these */
#define THREADS_MAX 16

struct worker {
	struct thread thread;
	struct copy *copy;
	uint64_t at; /* of the piece under way; UINT64_MAX: none */
	uint8_t *buf;
};

struct copy {
	const struct disk_copy *how;
	struct disk_copy plan;
	struct disk_job *job;
	uint64_t size, piece;
	pthread_mutex_t mutex; /* guards the rest */
	uint64_t next;
	int error;
	bool reading; /* what failed */
	struct worker worker[THREADS_MAX];
	unsigned int workers;
};

static int fail(struct copy *copy, int error, bool reading)
{
	pthread_mutex_lock(&copy->mutex);
	if (!copy->error) {
		copy->error = error;
		copy->reading = reading;
	}
	pthread_mutex_unlock(&copy->mutex);
	return error;
}

/* Notes that the worker's piece is done, and gives it the next. */
static bool take_piece(struct worker *worker)
{
	struct copy *copy = worker->copy;
	uint64_t settled;
	bool more;

	pthread_mutex_lock(&copy->mutex);
	more = copy->next < copy->size && !copy->error &&
	       !atomic_load(&copy->job->cancel);
	worker->at = more ? copy->next : UINT64_MAX;
	settled = copy->next;
	if (more)
		copy->next += copy->piece;
	for (unsigned int i = 0; i < copy->workers; i++)
		if (copy->worker[i].at < settled)
			settled = copy->worker[i].at;
	/* A piece given up unfinished is not settled. */
	if (!copy->error && !atomic_load(&copy->job->cancel))
		atomic_store(&copy->job->settled,
			     settled < copy->size ? settled : copy->size);
	pthread_mutex_unlock(&copy->mutex);
	return more;
}

/* --- one piece -------------------------------------------------------------- */

static int put_zeros(struct copy *copy, uint64_t offset, uint64_t length)
{
	int error;

	/* Above a base, zeros hide what it has. */
	if (copy->how->zeroed && !copy->how->base)
		return 0;
	error = disk_zero(copy->how->to, offset, length, DISK_UNMAP);
	return error ? fail(copy, error, false) : 0;
}

static int put_packed(struct copy *copy, uint64_t offset, const uint8_t *buf,
		      uint64_t length)
{
	uint32_t cluster = copy->how->to->cluster;

	for (uint64_t done = 0; done < length; done += cluster) {
		uint64_t part = length - done < cluster ? length - done
							: cluster;
		const struct span span = { (void *)(buf + done), part };
		int error = 0;

		if (copy->how->base || !copy->how->zeroed ||
		    !disk_all_zeros(buf + done, part))
			error = disk_write_packed(copy->how->to, offset + done,
						  part,
						  (struct disk_vec){ &span, 1,
								     0 });
		if (error)
			return fail(copy, error, false);
	}
	return 0;
}

/* How far it is all zeros, or has none in whole blocks. */
static uint64_t alike(const uint8_t *buf, uint64_t length, bool *zeros)
{
	uint64_t end = length < BLOCK ? length : BLOCK;

	*zeros = disk_all_zeros(buf, end);
	while (end < length) {
		uint64_t part = length - end < BLOCK ? length - end : BLOCK;

		if (disk_all_zeros(buf + end, part) != *zeros)
			break;
		end += part;
	}
	return end;
}

static int put_data(struct copy *copy, uint64_t offset, const uint8_t *buf,
		    uint64_t length)
{
	int error = 0;

	while (length && !error) {
		bool zeros;
		uint64_t part = alike(buf, length, &zeros);

		if (zeros)
			error = put_zeros(copy, offset, part);
		else if ((error = disk_write_bytes(copy->how->to, offset, buf,
						   part)))
			fail(copy, error, false);
		buf += part;
		offset += part;
		length -= part;
	}
	return error;
}

/* What the chain says is there: one extent. */
static int copy_extent(struct worker *worker, uint64_t offset,
		       uint64_t length, uint64_t *did)
{
	struct copy *copy = worker->copy;
	struct disk_piece piece;
	int error = disk_chain_map(copy->how->from, copy->how->base, offset,
				   length, &piece);

	if (error)
		return fail(copy, error, true);
	*did = piece.extent.length;
	if (piece.extent.kind == DISK_HOLE)
		return 0;
	if (piece.extent.kind == DISK_ZERO)
		return put_zeros(copy, offset, *did);
	error = disk_read_bytes(copy->how->from, offset, worker->buf, *did);
	return error ? fail(copy, error, true)
		     : put_data(copy, offset, worker->buf, *did);
}

/* Compressed clusters are written as wholes, whatever extents they have. */
static int copy_packed(struct worker *worker, uint64_t length)
{
	struct copy *copy = worker->copy;
	struct disk_piece piece;
	int error = disk_chain_map(copy->how->from, copy->how->base,
				   worker->at, length, &piece);

	if (error)
		return fail(copy, error, true);
	if (piece.extent.length == length &&
	    (piece.extent.kind == DISK_HOLE ||
	     (piece.extent.kind == DISK_ZERO && copy->how->zeroed &&
	      !copy->how->base)))
		return 0;
	error = disk_read_bytes(copy->how->from, worker->at, worker->buf,
				length);
	return error ? fail(copy, error, true)
		     : put_packed(copy, worker->at, worker->buf, length);
}

static void work(void *ctx)
{
	struct worker *worker = ctx;
	struct copy *copy = worker->copy;

	while (take_piece(worker)) {
		uint64_t offset = worker->at, end = offset + copy->piece;
		uint64_t did = 0;

		if (end > copy->size)
			end = copy->size;
		if (copy->how->packed) {
			if (copy_packed(worker, end - offset))
				break;
			atomic_fetch_add(&copy->job->done, end - offset);
			continue;
		}
		for (; offset < end; offset += did) {
			if (copy_extent(worker, offset, end - offset, &did))
				break;
			atomic_fetch_add(&copy->job->done, did);
		}
	}
}

/* --- all of them ------------------------------------------------------------ */

static unsigned int threads_of(const struct disk_copy *how)
{
	long n = how->threads ? (long)how->threads
			      : sysconf(_SC_NPROCESSORS_ONLN);

	if (how->packed && how->to->stream)
		return 1;
	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned int)n;
}

/* The calling thread is one of them. */
static int start_workers(struct copy *copy, unsigned int wanted)
{
	while (copy->workers < wanted) {
		struct worker *worker = &copy->worker[copy->workers];

		worker->copy = copy;
		worker->at = UINT64_MAX;
		worker->buf = aligned_alloc(4096, copy->piece);
		if (!worker->buf)
			break;
		copy->workers++;
	}
	for (unsigned int i = 1; i < copy->workers; i++)
		if (thread_start(&copy->worker[i].thread, "copy", work,
				 &copy->worker[i]))
			break;
	return copy->workers ? 0 : -ENOMEM;
}

static int outcome(const struct copy *copy, struct disk_error *error)
{
	if (copy->error == -ENOSPC)
		return disk_error_set(error, -ENOSPC, "no room for it; free "
				      "some, or take another file system");
	if (copy->error && copy->reading)
		return disk_error_set(error, copy->error, "%s cannot be read "
				      "(%s); see lodge disk check",
				      copy->how->from->name,
				      strerror(-copy->error));
	if (copy->error)
		return disk_error_set(error, copy->error, "writing: %s",
				      strerror(-copy->error));
	if (atomic_load(&copy->job->cancel))
		return disk_error_set(error, -ECANCELED, "interrupted");
	return 0;
}

int disk_copy(const struct disk_copy *how, struct disk_job *job,
	      struct disk_error *error)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	int result;

	if (!copy)
		return disk_error_set(error, -ENOMEM, "out of memory");
	copy->plan = *how;
	copy->plan.packed |= how->to->stream;
	how = copy->how = &copy->plan;
	copy->job = job;
	copy->size = how->from->size;
	copy->next = how->start;
	copy->piece = PIECE;
	if (how->packed && how->to->cluster > PIECE)
		copy->piece = how->to->cluster;
	pthread_mutex_init(&copy->mutex, NULL);
	atomic_store(&job->total, copy->size);
	atomic_store(&job->done, how->start);
	result = start_workers(copy, threads_of(how));
	if (result)
		disk_error_set(error, result, "out of memory");
	else
		work(&copy->worker[0]);
	for (unsigned int i = 0; i < copy->workers; i++) {
		thread_join(&copy->worker[i].thread);
		free(copy->worker[i].buf);
	}
	if (!result)
		result = outcome(copy, error);
	pthread_mutex_destroy(&copy->mutex);
	free(copy);
	return result;
}
