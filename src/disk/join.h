/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes that are wanted at once are done by one. The one that is under way
 * when somebody comes may have begun before what is to be made safe was
 * written, so he waits for the next; all who wait for that share it, and its
 * error.
 */
#ifndef LODGE_DISK_JOIN_H
#define LODGE_DISK_JOIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct disk_join {
	pthread_mutex_t mutex; /* guards the rest; not held by a flush */
	pthread_cond_t over;
	uint64_t begun, ended; /* numbers of flushes, from 1 on */
	uint64_t failed;       /* the last that did, 0: none; with `error` */
	int error;
	unsigned int waiting;
};

void disk_join_init(struct disk_join *join);
void disk_join_destroy(struct disk_join *join);

/* A run(ctx) that began after this call did, ours or another's. */
int disk_join_run(struct disk_join *join, int (*run)(void *ctx), void *ctx);

#endif
