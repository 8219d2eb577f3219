/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake host: vm/host.h for unit tests. Time stands still until a test
 * moves it, allocations fail when a test says so, log lines are kept, and a
 * bug_on() that strikes is either caught or aborts the test.
 *
 * One test program has one fake host, so its state is the program's own.
 * Locks complain when their holder takes them again, or gives back what it
 * does not hold. Workers have no thread: what is queued on them runs in
 * fake_work_run() and host_worker_wait(). host_event_wait() never sleeps: it moves the clock to its
 * deadline; with nothing to wait for it is a bug.
 */
#ifndef LODGE_FAKE_HOST_H
#define LODGE_FAKE_HOST_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/host.h"

/* Back to time 0 (2000-01-01 on the wall), no faults, an empty log. */
void fake_host_reset(void);

/* --- time ------------------------------------------------------------- */
void fake_time_set(uint64_t monotonic_ns);
void fake_time_advance(uint64_t ns); /* wall clock too */
void fake_realtime_set(uint64_t ns);
void fake_tsc_hz_set(uint64_t hz); /* after a reset: 1 GHz */

/* --- workers ---------------------------------------------------------- */

/* Runs what is queued on all workers, and what that queues; how many. */
unsigned int fake_work_run(void);

/* --- threads ---------------------------------------------------------- */

/* Calls of host_yield(). */
unsigned int fake_yields(void);

/* --- faults ----------------------------------------------------------- */

/* The nth allocation from now on (1: the next) fails, once. 0: none does. */
void fake_fail_alloc(unsigned int nth);

/* The same for host_ram_create(), host_code_create(), host_ram_discard(). */
void fake_fail_ram(unsigned int nth);

/* Bytes of RAM that were discarded since the reset. */
uint64_t fake_discarded(void);

/* What is allocated and not given back: host_alloc()s, RAMs and codes. */
unsigned int fake_live(void);

/* --- log -------------------------------------------------------------- */
unsigned int fake_log_lines(enum host_log_level level);
const char *fake_log_last(void); /* "" when there is none */

/* --- bugs ------------------------------------------------------------- */

extern jmp_buf *fake_bug_jump; /* where host_bug() goes, or NULL: abort */

/* True when `statement` runs into a bug_on(). */
#define fake_catches_bug(statement)            \
	({                                     \
		jmp_buf jump_;                 \
		volatile bool bug_ = true;     \
		fake_bug_jump = &jump_;        \
		if (!setjmp(jump_)) {          \
			statement;             \
			bug_ = false;          \
		}                              \
		fake_bug_jump = NULL;          \
		bug_;                          \
	})

#endif
