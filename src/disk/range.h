/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at which bytes of an image: reads and writes in place share a range,
 * what changes where bytes lie has it alone. First come, first served: a
 * request waits for those before it that it conflicts with.
 */
#ifndef LODGE_DISK_RANGE_H
#define LODGE_DISK_RANGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One request's stay; its owner keeps it in place until it left. */
struct disk_range {
	uint64_t from, end;
	bool alone;
	struct disk_range *next, **link;
};

struct disk_ranges {
	pthread_mutex_t mutex;
	pthread_cond_t left;
	struct disk_range *first, **last; /* in the order of arrival */
	unsigned int waiting;
};

void disk_ranges_init(struct disk_ranges *ranges);
void disk_ranges_destroy(struct disk_ranges *ranges);

/* Waits as long as it takes. A thread that is in a range of an image must not
 * enter another one of the same image. */
void disk_range_enter(struct disk_ranges *ranges, struct disk_range *range,
		      uint64_t offset, uint64_t length, bool alone);

/* False instead of waiting; then there is nothing to leave. */
bool disk_range_try(struct disk_ranges *ranges, struct disk_range *range,
		    uint64_t offset, uint64_t length, bool alone);

/* Any thread. */
void disk_range_leave(struct disk_ranges *ranges, struct disk_range *range);

#endif
