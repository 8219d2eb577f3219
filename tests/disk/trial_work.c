/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random changes of an image; see trial.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/random.h"
#include "trial.h"
#include "vm/host.h"

#define THREADS 3u
#define STEPS	60u
#define STRIPE	6u /* sectors that belong to one thread */

struct worker {
	struct trial *trial;
	unsigned int index;
	uint64_t random;
};

static uint64_t pick(uint64_t *state, uint64_t n)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dull >> 16) % n;
}

/* --- what threads do -------------------------------------------------------- */

/* A stretch of sectors that are this thread's. */
static uint64_t choose_own(struct worker *w, uint64_t *count)
{
	uint64_t stripes = w->trial->model->sectors / (STRIPE * THREADS);
	uint64_t at = (pick(&w->random, stripes) * THREADS + w->index) *
			      STRIPE + pick(&w->random, STRIPE);
	uint64_t left = STRIPE - at % STRIPE;

	*count = 1 + pick(&w->random, left);
	return at;
}

static int write_own(struct worker *w, uint64_t at, uint64_t count)
{
	uint8_t bytes[STRIPE * MODEL_SECTOR];
	uint32_t stamp = ++w->trial->model->stamp;

	for (uint64_t i = 0; i < count; i++) {
		model_begin(w->trial->model, at + i, stamp);
		model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
	}
	return disk_write_bytes(w->trial->image, at * MODEL_SECTOR, bytes,
				count * MODEL_SECTOR);
}

static int zero_own(struct worker *w, uint64_t at, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		model_begin(w->trial->model, at + i, 0);
	return disk_zero(w->trial->image, at * MODEL_SECTOR,
			 count * MODEL_SECTOR,
			 pick(&w->random, 2) ? DISK_UNMAP : 0);
}

static int flush_own(struct worker *w)
{
	struct model *model = w->trial->model;
	int error = disk_flush(w->trial->image);

	for (uint64_t i = 0; !error && i < model->sectors; i++)
		if (i / STRIPE % THREADS == w->index)
			model_flushed(model, i);
	return error;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int error = 0;

	for (unsigned int i = 0; i < STEPS && !error && !w->trial->stop; i++) {
		uint64_t count, at = choose_own(w, &count);

		switch (pick(&w->random, 16)) {
		case 0:
			error = flush_own(w);
			break;
		case 1:
		case 2:
			error = zero_own(w, at, count);
			break;
		case 3:
		case 4:
		case 5:
			if (!model_compare(w->trial->model, w->trial->image, at,
					   count, false))
				w->trial->failed = true;
			break;
		default:
			error = write_own(w, at, count);
		}
	}
	if (error) {
		fprintf(stderr, "thread %u: %s\n", w->index, strerror(-error));
		w->trial->failed = true;
	}
	return NULL;
}

static void work_together(struct trial *trial)
{
	struct worker worker[THREADS];
	pthread_t thread[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ trial, i, random64() | 1 };
		bug_on(pthread_create(&thread[i], NULL, work, &worker[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

/* --- what is done between --------------------------------------------------- */

static int write_much(struct trial *trial, uint64_t at, uint64_t count)
{
	uint32_t stamp = ++trial->model->stamp;
	uint8_t *bytes = malloc(count * MODEL_SECTOR);
	int error;

	bug_on(!bytes);
	for (uint64_t i = 0; i < count; i++) {
		model_begin(trial->model, at + i, stamp);
		model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
	}
	error = disk_write_bytes(trial->image, at * MODEL_SECTOR, bytes,
				 count * MODEL_SECTOR);
	free(bytes);
	return error;
}

/* What was discarded is what it was, or zeros. */
static int discard_much(struct trial *trial, uint64_t at, uint64_t count)
{
	struct model_sector *sector = trial->model->sector + at;
	uint32_t *old = malloc(count * sizeof(*old)), now;
	uint8_t bytes[MODEL_SECTOR];
	int error;

	bug_on(!old);
	for (uint64_t i = 0; i < count; i++) {
		old[i] = sector[i].now;
		model_begin(trial->model, at + i, 0);
	}
	error = disk_discard(trial->image, at * MODEL_SECTOR,
			     count * MODEL_SECTOR);
	for (uint64_t i = 0; i < count && !error; i++) {
		error = disk_read_bytes(trial->image, (at + i) * MODEL_SECTOR,
					bytes, MODEL_SECTOR);
		if (model_stamp(bytes, at + i, &now) &&
		    (!now || now == old[i]))
			model_begin(trial->model, at + i, now);
		else
			trial->failed = true;
	}
	free(old);
	return error;
}

/* Whole clusters, compressed. */
static int pack_some(struct trial *trial, uint64_t at, uint64_t count)
{
	uint64_t unit = trial->image->cluster / MODEL_SECTOR;
	uint64_t size = trial->image->size / MODEL_SECTOR;
	int error = 0;

	at -= at % unit;
	for (uint64_t end = at + count; at < end && !error; at += unit) {
		uint64_t part = size - at < unit ? size - at : unit;
		uint32_t stamp = ++trial->model->stamp;
		uint8_t *bytes = malloc(part * MODEL_SECTOR);
		struct span span = { bytes, part * MODEL_SECTOR };

		bug_on(!bytes);
		for (uint64_t i = 0; i < part; i++) {
			model_begin(trial->model, at + i, stamp);
			model_fill(bytes + i * MODEL_SECTOR, at + i, stamp);
		}
		error = disk_write_packed(trial->image, at * MODEL_SECTOR,
					  span.size,
					  (struct disk_vec){ &span, 1, 0 });
		free(bytes);
	}
	return error;
}

/* Large stretches: many clusters at once; sectors are of all threads. */
static int change_much(struct trial *trial)
{
	struct model *model = trial->model;
	uint64_t at = random64() % model->sectors;
	uint64_t count = 1 + random64() % (model->sectors - at);
	bool packs = trial->kind->snapshots && !trial->kind->encrypted;

	switch (random_below(packs ? 5 : 4)) {
	case 0:
		for (uint64_t i = 0; i < count; i++)
			model_begin(model, at + i, 0);
		return disk_zero(trial->image, at * MODEL_SECTOR,
				 count * MODEL_SECTOR,
				 random_below(2) ? DISK_UNMAP : 0);
	case 1:
		return discard_much(trial, at, count);
	case 4:
		return pack_some(trial, at, count);
	default:
		return write_much(trial, at, count);
	}
}

static void all_flushed(struct trial *trial)
{
	for (uint64_t i = 0; i < trial->model->sectors; i++)
		model_flushed(trial->model, i);
}

static void forget_moment(struct trial_moment *moment)
{
	free(moment->stamp);
	*moment = (struct trial_moment){ 0 };
}

static void take_moment(const struct trial *trial, struct trial_moment *moment)
{
	moment->sectors = trial->model->sectors;
	moment->stamp = malloc(moment->sectors * sizeof(*moment->stamp));
	bug_on(!moment->stamp);
	for (uint64_t i = 0; i < moment->sectors; i++)
		moment->stamp[i] = trial->model->sector[i].now;
}

static int go_back(struct trial *trial, const struct trial_moment *moment,
		   const char *name, struct disk_error *error)
{
	struct model *model = trial->model;
	int result;

	for (uint64_t i = 0; i < moment->sectors; i++)
		model_begin(model, i, moment->stamp[i]);
	if (moment->sectors < model->sectors)
		model->sectors = moment->sectors;
	result = disk_snapshot_apply(trial->image, name, error);
	model->sectors = moment->sectors;
	return result;
}

/* Makes, applies or deletes a snapshot. */
static int change_snapshots(struct trial *trial)
{
	unsigned int index = random_below(TRIAL_MOMENTS);
	struct trial_moment *moment = &trial->moment[index];
	struct disk_error error = { "" };
	char name[16];
	int result;

	snprintf(name, sizeof(name), "s%u", index);
	if (!moment->stamp) {
		result = disk_snapshot_create(trial->image, name, &error);
		if (result == -ERANGE) /* refcounts of few bits */
			return 0;
		take_moment(trial, moment);
	} else if (random_below(2)) {
		result = go_back(trial, moment, name, &error);
		if (result == -ERANGE) {
			trial->failed = !model_reread(trial->model, trial->image);
			return 0;
		}
	} else {
		result = disk_snapshot_delete(trial->image, name, &error);
		forget_moment(moment);
	}
	if (result)
		fprintf(stderr, "snapshot %s: %s\n", name, error.text);
	else
		all_flushed(trial);
	return result;
}

static int change_size(struct trial *trial)
{
	const struct trial_kind *kind = trial->kind;
	uint32_t unit = kind->unit ? kind->unit : MODEL_SECTOR;
	uint32_t span = (kind->most - kind->least) * 1024 / unit;
	uint64_t size = kind->least * 1024ull + unit * random_below(span);
	struct model *model = trial->model;
	uint64_t old = model->sectors, sectors = size / MODEL_SECTOR;
	struct disk_error error = { "" };
	int result;

	for (uint64_t i = old; i < sectors; i++) {
		model->sector[i].now = model->sector[i].flushed = 0;
		model->sector[i].changes = 0;
	}
	if (sectors < old)
		model->sectors = sectors;
	result = disk_resize(trial->image, size, DISK_PREALLOC_OFF, &error);
	if (result == -ENOTSUP) { /* of this format, or so far */
		model->sectors = old;
		return 0;
	}
	if (!result && kind->noisy && sectors > old)
		result = disk_write_zeros(trial->image, old * MODEL_SECTOR,
					  (sectors - old) * MODEL_SECTOR);
	if (!result)
		result = disk_flush(trial->image);
	model->sectors = sectors;
	if (result)
		fprintf(stderr, "resizing to %" PRIu64 ": %s\n", size,
			error.text);
	else
		all_flushed(trial);
	return result;
}

/* Each snapshot holds what it is to hold. */
static bool check_moments(struct trial *trial)
{
	struct disk_snapshot *list;
	unsigned int count, want = 0;
	int error = disk_snapshot_list(trial->image, &list, &count);

	for (unsigned int i = 0; i < TRIAL_MOMENTS; i++)
		want += trial->moment[i].stamp != NULL;
	free(list);
	return !error && count == want;
}


/* --- all of it -------------------------------------------------------------- */

#define ROUNDS 4u

static bool goes_on(const struct trial *trial)
{
	return !trial->failed && !trial->stop;
}

/* A negative errno when something failed. */
static int work_once(struct trial *trial)
{
	int error = 0;

	work_together(trial);
	if (goes_on(trial))
		error = change_much(trial);
	if (!error && goes_on(trial) && trial->kind->snapshots &&
	    random_below(2))
		error = change_snapshots(trial);
	if (!error && goes_on(trial) && !random_below(3))
		error = change_size(trial);
	return error;
}

void trial_work(struct trial *trial)
{
	int error = 0;

	for (unsigned int i = 0; i < ROUNDS && !error && goes_on(trial); i++) {
		error = work_once(trial);
		if (!error && goes_on(trial) && trial->kind->snapshots &&
		    !check_moments(trial))
			trial->failed = true;
		if (!error && goes_on(trial) && random_below(2))
			trial_reopen(trial);
		if (!error && goes_on(trial) &&
		    !model_compare(trial->model, trial->image, 0,
				   trial->model->sectors, false))
			trial->failed = true;
	}
	if (error) {
		fprintf(stderr, "%s\n", strerror(-error));
		trial->failed = true;
	}
}
