/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks and events on futexes (futex(2)); waits that look first: eager.h; a
 * wait for a descriptor too is on that: input.h.
 */
#include "vm/host.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "host/linux/input.h"

#define NS_PER_S 1000000000u
#define SPINS	 64 /* about what a short critical section takes */

enum lock_word {
	LOCK_FREE,
	LOCK_HELD,
	LOCK_CONTENDED, /* held, and somebody may sleep on it */
};

enum event_word {
	EVENT_CLEAR,
	EVENT_SET,
	EVENT_AWAITED, /* clear, and a thread sleeps on it */
	EVENT_POLLED,  /* the same, in host_input_wait() */
};

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleeps while *word is `value`; `until` is CLOCK_MONOTONIC or NULL. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value,
		       const struct timespec *until)
{
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

void host_lock(struct host_lock *lock)
{
	uint32_t word;
	int i;

	for (i = 0; i < SPINS; i++) {
		word = LOCK_FREE;
		if (atomic_compare_exchange_strong_explicit(
			    &lock->word, &word, LOCK_HELD, memory_order_acquire,
			    memory_order_relaxed))
			return;
		__builtin_ia32_pause();
	}
	while (atomic_exchange_explicit(&lock->word, LOCK_CONTENDED,
					memory_order_acquire) != LOCK_FREE)
		futex_wait(&lock->word, LOCK_CONTENDED, NULL);
}

bool host_trylock(struct host_lock *lock)
{
	uint32_t word = LOCK_FREE;

	return atomic_compare_exchange_strong_explicit(
		&lock->word, &word, LOCK_HELD, memory_order_acquire,
		memory_order_relaxed);
}

void host_unlock(struct host_lock *lock)
{
	if (atomic_exchange_explicit(&lock->word, LOCK_FREE,
				     memory_order_release) == LOCK_CONTENDED)
		futex_wake(&lock->word);
}

void host_yield(void)
{
	sched_yield();
}

void host_event_set(struct host_event *event)
{
	uint32_t word = atomic_exchange(&event->word, EVENT_SET);

	if (word == EVENT_AWAITED)
		futex_wake(&event->word);
	else if (word == EVENT_POLLED)
		host_input_wake(event->input);
}

/* Takes a set event, or announces the waiter. */
static bool event_take(struct host_event *event)
{
	uint32_t word = EVENT_SET;

	if (atomic_compare_exchange_strong(&event->word, &word, EVENT_CLEAR))
		return true;
	if (word == EVENT_CLEAR &&
	    !atomic_compare_exchange_strong(&event->word, &word,
					    EVENT_AWAITED)) {
		atomic_store(&event->word, EVENT_CLEAR); /* set meanwhile */
		return true;
	}
	return false;
}

/*
 * futex_waitv(2), of Linux 5.16, sleeps on several words: an event of this
 * process, and words that others have mapped too.
 */
static long wait_all(struct futex_waitv *all, unsigned int count)
{
	return syscall(SYS_futex_waitv, all, count, 0, NULL, 0);
}

bool host_can_watch(void)
{
	struct futex_waitv none = { 0 };

	return wait_all(&none, 0) < 0 && errno == EINVAL;
}

static bool has_news(const struct host_watch *watch)
{
	for (unsigned int i = 0; i < watch->words; i++)
		if (atomic_load_explicit(watch->word[i],
					 memory_order_acquire) != watch->value)
			return true;
	return false;
}

static void look_at_all(const struct host_event *event,
			 const struct host_watch *watch)
{
	uint64_t end = eager_now() + EAGER_ANSWER_NS;

	do {
		for (int i = 0; i < EAGER_PAUSES; i++) {
			if (atomic_load_explicit(&event->word,
						 memory_order_acquire) ||
			    has_news(watch))
				return;
			__builtin_ia32_pause();
		}
		host_yield();
	} while (eager_now() < end);
}

static bool watch_sleep(struct host_event *event,
			const struct host_watch *watch)
{
	struct futex_waitv all[1 + HOST_WATCH_WORDS] = {
		{ .val = EVENT_AWAITED,
		  .uaddr = (uintptr_t)&event->word,
		  .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
	};

	for (unsigned int i = 0; i < watch->words; i++)
		all[1 + i] = (struct futex_waitv){
			.val = watch->value,
			.uaddr = (uintptr_t)watch->word[i],
			.flags = FUTEX_32,
		};
	while (!event_take(event)) {
		if (has_news(watch))
			return atomic_exchange(&event->word, EVENT_CLEAR) ==
			       EVENT_SET;
		wait_all(all, 1 + watch->words);
	}
	return true;
}

/* Who sets the event takes part until host_input_woken(): then it is done. */
static bool input_sleep(struct host_event *event, struct host_input *input)
{
	uint32_t word = EVENT_CLEAR;

	event->input = input;
	if (atomic_compare_exchange_strong(&event->word, &word, EVENT_POLLED)) {
		host_input_wait(input);
		word = atomic_exchange(&event->word, EVENT_CLEAR);
		if (word == EVENT_SET)
			host_input_woken(input);
		return word == EVENT_SET;
	}
	atomic_store(&event->word, EVENT_CLEAR); /* set meanwhile */
	return true;
}

/* True: the event was set, or there is input. */
static bool look_for_input(const struct host_event *event,
			   const struct host_watch *watch)
{
	const uint64_t end = eager_now() + EAGER_ANSWER_NS;

	do {
		if (atomic_load_explicit(&event->word, memory_order_acquire) ||
		    watch->look(watch->ctx))
			return true;
		host_yield();
	} while (eager_now() < end);
	return false;
}

static bool input_wait(struct host_event *event,
		       const struct host_watch *watch)
{
	uint64_t start = eager_now();
	uint32_t word = EVENT_SET;
	bool set;

	if (event->eager && watch->look && look_for_input(event, watch))
		set = atomic_compare_exchange_strong(&event->word, &word,
						     EVENT_CLEAR);
	else
		set = input_sleep(event, watch->input);
	event->eager = eager_next(event->eager, (eager_now() - start) / 2,
				  event->busy);
	return set;
}

bool host_event_watch(struct host_event *event, const struct host_watch *watch)
{
	uint32_t word = EVENT_SET;
	uint64_t start;
	bool set;

	if (atomic_compare_exchange_strong(&event->word, &word, EVENT_CLEAR))
		return true;
	if (!watch->word)
		return input_wait(event, watch);
	if (has_news(watch))
		return false;
	start = eager_now();
	if (event->eager)
		look_at_all(event, watch);
	set = watch_sleep(event, watch);
	event->eager = eager_next(event->eager, (eager_now() - start) / 2,
				  event->busy);
	return set;
}

static void event_sleep(struct host_event *event, uint64_t deadline_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	while (!event_take(event)) {
		if (deadline_ns == UINT64_MAX) {
			futex_wait(&event->word, EVENT_AWAITED, NULL);
			continue;
		}
		if (host_monotonic_ns() >= deadline_ns) {
			/* Consumes it if it was set at the last moment. */
			atomic_store(&event->word, EVENT_CLEAR);
			return;
		}
		futex_wait(&event->word, EVENT_AWAITED, &until);
	}
}

void host_event_wait(struct host_event *event, uint64_t deadline_ns)
{
	uint32_t word = EVENT_SET;
	uint64_t start;

	if (atomic_compare_exchange_strong(&event->word, &word, EVENT_CLEAR))
		return;
	start = eager_now();
	if (event->eager)
		eager_look(&event->word);
	event_sleep(event, deadline_ns);
	event->eager = eager_next(event->eager, eager_now() - start,
				  event->busy);
}
