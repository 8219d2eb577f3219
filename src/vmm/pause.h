/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stops a machine's processors, all or some, and lets them go on. While any
 * may run the VM's clock runs; while none may, neither it nor the guests'
 * time-stamp counters go on.
 *
 * pause_ask(), pause_enter() and pause_leave() are for any thread, the rest
 * for the one with the event loop.
 */
#ifndef LODGE_VMM_PAUSE_H
#define LODGE_VMM_PAUSE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define PAUSE_NONE UINT64_MAX /* every processor may run */

/* Who may hold all of them; a bit each. */
#define PAUSE_FULL 0x1u /* a host without room */
#define PAUSE_USER 0x2u /* stays over a reset */

struct pause {
	struct vm *vm;
	const struct engine *engine;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t open;	 /* processors that may run, a bit each */
	uint64_t inside; /* those that do */
	unsigned int held; /* by whom: whatever is open, none may run */
	bool released;	 /* all are to end, whatever is open */
	bool began;	 /* between pause_begin() and pause_finish() */
	uint64_t tsc;	 /* of the host, when the clock stopped */
	/* Nobody holds them any more: time has passed unseen. May be NULL. */
	void (*let_go)(void *ctx);
	void *let_go_ctx;
};

/* Every processor may run. */
void pause_init(struct pause *pause);
void pause_fini(struct pause *pause);

/* Before a run and behind it: threads have not started, have ended. */
void pause_begin(struct pause *pause, struct vm *vm,
		 const struct engine *engine);
void pause_finish(struct pause *pause);

/* The run is to end: nobody waits any more. Any thread. */
void pause_release(struct pause *pause);

/*
 * Around engine->run() of processor `cpu`. Waits until it may run; false:
 * the run is to end, and it must not.
 */
bool pause_enter(struct pause *pause, unsigned int cpu);
void pause_leave(struct pause *pause, unsigned int cpu);

/* No processor is to run. Does not wait for those that do. */
void pause_ask(struct pause *pause);

/* The same, and none runs when it returns: their state may be used. */
void pause_all(struct pause *pause);

/*
 * None runs when this returns, and none does before it is called with `hold`
 * false for each that holds them, whatever pause_end() says meanwhile.
 */
void pause_hold(struct pause *pause, unsigned int who, bool hold);

/* The processors with a bit in `cpus` go on. Behind pause_all() only. */
void pause_end(struct pause *pause, uint64_t cpus);

#endif
