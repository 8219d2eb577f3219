/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that look before they sleep; see eager.h.
 */
#include "host/linux/eager.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define SHORT_NS 200000u /* with the sleep and the waking */

uint64_t eager_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool eager_look(const _Atomic uint32_t *word)
{
	uint64_t end = eager_now() + EAGER_LOOK_NS;

	do {
		for (int i = 0; i < EAGER_PAUSES; i++) {
			if (atomic_load_explicit(word, memory_order_acquire))
				return true;
			__builtin_ia32_pause();
		}
	} while (eager_now() < end);
	return false;
}

/* A mask of 1024 is too short for hosts that have more than enough. */
static bool has_more(unsigned int busy)
{
	cpu_set_t set;
	unsigned int count;

	if (sched_getaffinity(0, sizeof(set), &set))
		return true;
	count = (unsigned int)CPU_COUNT(&set);
	return count > 1 && count > busy;
}

bool eager_next(bool eager, uint64_t took, unsigned int busy)
{
	return took <= SHORT_NS && (eager || has_more(busy));
}
