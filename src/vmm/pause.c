/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate that a machine's processors pass before each run; see pause.h.
 * What keeps a processor's thread outside of engine->run() (a full console)
 * counts as stopped, so that the event loop never waits for itself.
 */
#include "vmm/pause.h"

#include <x86intrin.h>

void pause_init(struct pause *pause)
{
	*pause = (struct pause){ .open = PAUSE_NONE };
	pthread_mutex_init(&pause->lock, NULL);
	pthread_cond_init(&pause->changed, NULL);
}

void pause_fini(struct pause *pause)
{
	pthread_cond_destroy(&pause->changed);
	pthread_mutex_destroy(&pause->lock);
}

void pause_begin(struct pause *pause, struct vm *vm,
		 const struct engine *engine)
{
	pause->vm = vm;
	pause->engine = engine;
	pause->released = atomic_load(&vm->request) != VM_RUN;
	pause->began = true;
	pause->inside = 0;
	pause->held &= PAUSE_USER;
	pause->tsc = __rdtsc();
	if (pause->open && !pause->held)
		clock_start(&vm->clock);
}

void pause_finish(struct pause *pause)
{
	pause->began = false;
	clock_stop(&pause->vm->clock);
}

void pause_release(struct pause *pause)
{
	pthread_mutex_lock(&pause->lock);
	pause->released = true;
	pthread_cond_broadcast(&pause->changed);
	pthread_mutex_unlock(&pause->lock);
}

bool pause_enter(struct pause *pause, unsigned int cpu)
{
	uint64_t bit = (uint64_t)1 << cpu;
	bool enter;

	pthread_mutex_lock(&pause->lock);
	while ((!(pause->open & bit) || pause->held) && !pause->released)
		pthread_cond_wait(&pause->changed, &pause->lock);
	enter = !pause->released;
	if (enter)
		pause->inside |= bit;
	pthread_mutex_unlock(&pause->lock);
	return enter;
}

void pause_leave(struct pause *pause, unsigned int cpu)
{
	pthread_mutex_lock(&pause->lock);
	pause->inside &= ~((uint64_t)1 << cpu);
	if (!pause->open || pause->held)
		pthread_cond_broadcast(&pause->changed);
	pthread_mutex_unlock(&pause->lock);
}

/* Held: the lock, which is let go. */
static void kick_inside(struct pause *pause)
{
	uint64_t inside = pause->inside;

	pthread_mutex_unlock(&pause->lock);
	for (unsigned int i = 0; inside; i++, inside >>= 1)
		if (inside & 1)
			pause->engine->kick(pause->vm->cpu[i]);
}

void pause_ask(struct pause *pause)
{
	pthread_mutex_lock(&pause->lock);
	pause->open = 0;
	kick_inside(pause);
}

/* Nobody may go inside any more; stops the clock when all are out. */
static void wait_outside(struct pause *pause)
{
	pthread_mutex_lock(&pause->lock);
	while (pause->inside)
		pthread_cond_wait(&pause->changed, &pause->lock);
	pthread_mutex_unlock(&pause->lock);
	if (pause->began && pause->vm->clock.running) {
		clock_stop(&pause->vm->clock);
		pause->tsc = __rdtsc();
	}
}

void pause_all(struct pause *pause)
{
	pause_ask(pause);
	wait_outside(pause);
}

/* Guests' counters go on from where they were. */
static void skip_tsc(struct pause *pause)
{
	uint64_t passed = __rdtsc() - pause->tsc;

	for (unsigned int i = 0; i < pause->vm->cpu_count; i++) {
		struct x86_cpu *cpu = pause->vm->cpu[i];

		cpu->state.tsc_offset -= passed;
		pause->engine->put_state(cpu);
	}
}

static void start_clock(struct pause *pause)
{
	if (pause->began && !pause->vm->clock.running) {
		skip_tsc(pause);
		clock_start(&pause->vm->clock);
	}
}

void pause_end(struct pause *pause, uint64_t cpus)
{
	if (!pause->held)
		start_clock(pause);
	pthread_mutex_lock(&pause->lock);
	pause->open = cpus;
	pthread_cond_broadcast(&pause->changed);
	pthread_mutex_unlock(&pause->lock);
}

void pause_hold(struct pause *pause, unsigned int who, bool hold)
{
	unsigned int held = hold ? pause->held | who : pause->held & ~who;
	bool ends = pause->held && !held;

	if (!held && pause->open)
		start_clock(pause);
	pthread_mutex_lock(&pause->lock);
	pause->held = held;
	if (hold) {
		kick_inside(pause);
		wait_outside(pause);
		return;
	}
	pthread_cond_broadcast(&pause->changed);
	pthread_mutex_unlock(&pause->lock);
	if (ends && pause->let_go)
		pause->let_go(pause->let_go_ctx);
}
