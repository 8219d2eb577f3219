/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes that are wanted at once; see join.h.
 */
#include "disk/join.h"

void disk_join_init(struct disk_join *join)
{
	*join = (struct disk_join){ 0 };
	pthread_mutex_init(&join->mutex, NULL);
	pthread_cond_init(&join->over, NULL);
}

void disk_join_destroy(struct disk_join *join)
{
	pthread_cond_destroy(&join->over);
	pthread_mutex_destroy(&join->mutex);
}

/* With the mutex, which is let go meanwhile. */
static void run_next(struct disk_join *join, int (*run)(void *ctx), void *ctx)
{
	int error;

	join->begun++;
	pthread_mutex_unlock(&join->mutex);
	error = run(ctx);
	pthread_mutex_lock(&join->mutex);
	join->ended = join->begun;
	if (error) {
		join->failed = join->ended;
		join->error = error;
	}
	if (join->waiting)
		pthread_cond_broadcast(&join->over);
}

int disk_join_run(struct disk_join *join, int (*run)(void *ctx), void *ctx)
{
	uint64_t mine;
	int error;

	pthread_mutex_lock(&join->mutex);
	mine = join->begun + 1;
	while (join->ended < mine) {
		if (join->begun == join->ended) {
			run_next(join, run, ctx);
			continue;
		}
		join->waiting++;
		pthread_cond_wait(&join->over, &join->mutex);
		join->waiting--;
	}
	error = join->failed >= mine ? join->error : 0;
	pthread_mutex_unlock(&join->mutex);
	return error;
}
