/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/range.h"

#include <stddef.h>

void disk_ranges_init(struct disk_ranges *ranges)
{
	pthread_mutex_init(&ranges->mutex, NULL);
	pthread_cond_init(&ranges->left, NULL);
	ranges->first = NULL;
	ranges->last = &ranges->first;
	ranges->waiting = 0;
}

void disk_ranges_destroy(struct disk_ranges *ranges)
{
	pthread_cond_destroy(&ranges->left);
	pthread_mutex_destroy(&ranges->mutex);
}

static bool conflict(const struct disk_range *a, const struct disk_range *b)
{
	return (a->alone || b->alone) && a->from < b->end && b->from < a->end;
}

/* Whether one that came before `range` is in its way. */
static bool must_wait(const struct disk_ranges *ranges,
		      const struct disk_range *range)
{
	for (const struct disk_range *r = ranges->first; r != range;
	     r = r->next)
		if (conflict(r, range))
			return true;
	return false;
}

static void append(struct disk_ranges *ranges, struct disk_range *range,
		   uint64_t offset, uint64_t length, bool alone)
{
	range->from = offset;
	range->end = length > UINT64_MAX - offset ? UINT64_MAX
						  : offset + length;
	range->alone = alone;
	range->next = NULL;
	range->link = ranges->last;
	*ranges->last = range;
	ranges->last = &range->next;
}

static void cut(struct disk_ranges *ranges, struct disk_range *range)
{
	*range->link = range->next;
	if (range->next)
		range->next->link = range->link;
	else
		ranges->last = range->link;
}

void disk_range_enter(struct disk_ranges *ranges, struct disk_range *range,
		      uint64_t offset, uint64_t length, bool alone)
{
	pthread_mutex_lock(&ranges->mutex);
	append(ranges, range, offset, length, alone);
	while (must_wait(ranges, range)) {
		ranges->waiting++;
		pthread_cond_wait(&ranges->left, &ranges->mutex);
		ranges->waiting--;
	}
	pthread_mutex_unlock(&ranges->mutex);
}

bool disk_range_try(struct disk_ranges *ranges, struct disk_range *range,
		    uint64_t offset, uint64_t length, bool alone)
{
	bool in;

	pthread_mutex_lock(&ranges->mutex);
	append(ranges, range, offset, length, alone);
	in = !must_wait(ranges, range);
	if (!in)
		cut(ranges, range);
	pthread_mutex_unlock(&ranges->mutex);
	return in;
}

void disk_range_leave(struct disk_ranges *ranges, struct disk_range *range)
{
	pthread_mutex_lock(&ranges->mutex);
	cut(ranges, range);
	if (ranges->waiting)
		pthread_cond_broadcast(&ranges->left);
	pthread_mutex_unlock(&ranges->mutex);
}
