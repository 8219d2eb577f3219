/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking across two processes; see channel.h.
 */
#include "share/channel.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/eager.h"

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

void channel_call(struct channel_side *side)
{
	if (atomic_load(&side->looking))
		return;
	atomic_fetch_add(&side->news, 1);
	if (atomic_load(&side->asleep))
		futex_wake(&side->news, 1);
}

void channel_tell(struct channel_side *side)
{
	atomic_fetch_add(&side->waiting, 1);
	channel_call(side);
}

void channel_wake(struct channel_side *side)
{
	atomic_fetch_add(&side->news, 1);
	futex_wake(&side->news, INT_MAX);
}

/* Only one of a side looks. True: it has seen something. */
static bool look(struct channel_side *side)
{
	uint32_t nobody = 0;
	bool seen;

	if (!atomic_compare_exchange_strong(&side->looking, &nobody, 1))
		return false;
	seen = eager_look(&side->waiting);
	atomic_store(&side->looking, 0);
	return seen;
}

void channel_sleep(struct channel_side *side, struct channel_wait *wait,
		   bool (*idle)(void *ctx), void *ctx)
{
	uint64_t since = eager_now();
	uint32_t news;

	if (!wait->eager || !look(side)) {
		atomic_fetch_add(&side->asleep, 1);
		news = atomic_load(&side->news);
		if (idle(ctx))
			futex_wait(&side->news, news);
		atomic_fetch_sub(&side->asleep, 1);
	}
	wait->eager = eager_next(wait->eager, eager_now() - since, wait->busy);
}
