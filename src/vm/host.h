/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host contract: everything that the freestanding rooms (vm, x86, chip,
 * board, ...) may ask of whatever they run on. Bound at link time:
 * src/host/linux in the hosted program, tests/fake in unit tests, later
 * src/host/metal. Functions that can fail return 0 or a negative errno value
 * (values in vm/error.h).
 */
#ifndef LODGE_VM_HOST_H
#define LODGE_VM_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- time ------------------------------------------------------------- */

/* Monotonic nanoseconds from an arbitrary origin; never goes back. */
uint64_t host_monotonic_ns(void);

/* Wall clock: nanoseconds since 1970-01-01 00:00 UTC. */
uint64_t host_realtime_ns(void);

/* Rate of the processor's time-stamp counter in Hz (never 0). */
uint64_t host_tsc_hz(void);

/* --- memory ----------------------------------------------------------- */

/* Zeroed memory, aligned to 64 bytes; NULL when there is none. */
void *host_alloc(size_t size);
void host_free(void *p);

/*
 * Guest memory: zeroed, page-aligned, committed on first touch, shareable
 * through `fd` (-1 where the host has no such thing).
 */
struct host_ram {
	uint8_t *base;
	uint64_t size;
	int fd;
	_Atomic uint64_t touched_most; /* as far as discards noted it */
	/* See host_ram_overlaid(). */
	unsigned int overlays;
	struct {
		uint64_t from, end;
	} overlay[8];
};

/* `size` is a multiple of 4096. -ENOMEM when the host refuses. */
int host_ram_create(struct host_ram *ram, uint64_t size);
void host_ram_destroy(struct host_ram *ram);

/* Bytes of `ram` that have been touched, and not been discarded since. */
uint64_t host_ram_touched(const struct host_ram *ram);

/* The most that host_ram_touched() has been, but for single pages. */
uint64_t host_ram_touched_most(const struct host_ram *ram);

/*
 * Gives whole pages back to the host: they read as zeros from now on, and
 * take memory when they are touched again. Any thread, while others use them.
 * Negative errno.
 */
int host_ram_discard(struct host_ram *ram, uint64_t offset, uint64_t size);

/*
 * The owner has mapped something else over a part of `ram`, which a discard is
 * to take away. Not while others discard.
 */
void host_ram_overlaid(struct host_ram *ram, uint64_t offset, uint64_t size);

/*
 * Memory for generated code, mapped twice so that no mapping is writable and
 * executable at once. `exec` and `write` name the same bytes.
 */
struct host_code {
	uint8_t *write;
	const uint8_t *exec;
	size_t size;
};

int host_code_create(struct host_code *code, size_t size);
void host_code_destroy(struct host_code *code);

/*
 * Makes gs:0 of the calling thread mean `base`, for generated code. False
 * when the host has no way to.
 */
bool host_code_base(void *base);

/* --- threads ---------------------------------------------------------- */

/* A lock, zero-initialised; not recursive. */
struct host_lock {
	_Atomic uint32_t word;
};

void host_lock(struct host_lock *lock);

/* Takes the lock unless somebody has it; whether it did. */
bool host_trylock(struct host_lock *lock);

void host_unlock(struct host_lock *lock);

/* A place where one thread sleeps until woken; zero-initialised. */
struct host_event {
	_Atomic uint32_t word;

	/* The waiter's: after a short wait the next one may look for a while
	 * before it sleeps, where the host has more processors than `busy`
	 * (or 1) threads keep for themselves. */
	uint16_t busy;
	bool eager;
	struct host_input *input; /* where it sleeps; see host_watch */
};

/* Wakes the waiter, or makes the next host_event_wait() return at once. */
void host_event_set(struct host_event *event);

/*
 * Sleeps until the event is set (consuming it) or `deadline_ns` of
 * host_monotonic_ns() has passed (UINT64_MAX: no deadline).
 */
void host_event_wait(struct host_event *event, uint64_t deadline_ns);

/* Something of the host's that has input at times; the host makes them. */
struct host_input;

/* News: of words that others change, other processes perhaps, or input. */
struct host_watch {
	_Atomic uint32_t *const *word; /* NULL: input */
	unsigned int words; /* HOST_WATCH_WORDS at most */
	uint32_t value;	    /* of each, as long as there is no news */
	struct host_input *input;
	/* Of input, to look for a while before it sleeps: whether there is
	 * some. NULL: it sleeps at once. */
	bool (*look)(void *ctx);
	void *ctx;
};

#define HOST_WATCH_WORDS 32u

/* Whether this host's kernel can wait for an event and words at once. */
bool host_can_watch(void);

/*
 * Sleeps until the event is set (consuming it: true), or there is news
 * (false), perhaps; words only where host_can_watch().
 */
bool host_event_watch(struct host_event *event, const struct host_watch *watch);

/*
 * What a processor that is halted does itself, so that no thread has to be
 * woken for it, which then wakes the processor. One processor at a time:
 * begin(), work() after each news, end(). All are called on the
 * processor's thread, which holds nothing.
 */
struct host_idle {
	/* False: nothing to do for it now; no end() follows. */
	bool (*begin)(struct host_idle *idle, struct host_watch *watch);
	/* False: it is to end. */
	bool (*work)(struct host_idle *idle);
	void (*end)(struct host_idle *idle);
};

/*
 * A thread for what must not be done on a processor's: it runs pieces of work
 * one after the other. A piece that is queued again before it began runs
 * once; while it runs it may be queued for another time.
 */
struct host_worker;

struct host_work {
	void (*run)(void *ctx);
	void *ctx;
	struct host_work *next; /* the worker's */
	_Atomic bool queued;
};

/* `name` is the thread's. Negative errno. */
int host_worker_create(struct host_worker **worker, const char *name);

/* Runs what is queued, ends the thread. NULL is fine. */
void host_worker_destroy(struct host_worker *worker);

/* Any thread, with any lock held. */
void host_work_queue(struct host_worker *worker, struct host_work *work);

/* Returns when all that was queued before has run; not on its thread. */
void host_worker_wait(struct host_worker *worker);

/* Lets another thread run here that the host has made wait. */
void host_yield(void);

/* --- words ------------------------------------------------------------ */

enum host_log_level {
	HOST_LOG_ERROR,
	HOST_LOG_WARN,
	HOST_LOG_INFO,
	HOST_LOG_DEBUG,
};

/* One line, no newline at the end. Rate-limited by the host. */
void host_log(enum host_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A bug of our own was found: says so and stops this VM. Does not return. */
_Noreturn void host_bug(const char *file, int line, const char *what);

/* Fills `buf` with random bytes fit for keys. */
void host_random(void *buf, size_t size);

/* For our own invariants only, never for guest, file or network content. */
#define bug_on(cond)                                         \
	do {                                                 \
		if (__builtin_expect(!!(cond), 0))           \
			host_bug(__FILE__, __LINE__, #cond); \
	} while (0)

#endif
