/* SPDX-License-Identifier: Apache-2.0 */
#include "net/taker.h"

#include <stddef.h>

static enum taker_state take(struct taker *t)
{
	t->frames = 0;
	t->bytes = 0;
	if (t->state != TAKER_GONE)
		t->state = t->ops->take(t->ctx);
	return t->state;
}

/* --- a halted processor --------------------------------------------------------- */

static struct taker *of_idle(struct host_idle *idle)
{
	return (struct taker *)((char *)idle - offsetof(struct taker, idle));
}

static bool look_idle(void *ctx)
{
	struct taker *t = ctx;

	turns_look(&t->turns);
	return t->ops->read(t->ctx);
}

/* The thread may have found it taken, and sleeps. */
static void leave(struct taker *t, bool wake)
{
	pthread_mutex_unlock(&t->taking);
	if (atomic_exchange(&t->missed, false) || wake)
		poll_thread_wake(t->thread);
}

static bool begin_idle(struct host_idle *idle, struct host_watch *watch)
{
	struct taker *t = of_idle(idle);

	if (!atomic_load(&t->open) || pthread_mutex_trylock(&t->taking))
		return false;
	*watch = (struct host_watch){
		.input = &t->input,
		.look = turns_may_look(&t->turns) ? look_idle : NULL,
		.ctx = t,
	};
	if (t->state == TAKER_DONE)
		return true;
	leave(t, false);
	return false;
}

static bool work_idle(struct host_idle *idle)
{
	struct taker *t = of_idle(idle);
	enum taker_state state = take(t);

	turns_took(&t->turns, t->frames, t->bytes);
	return state == TAKER_DONE;
}

/* What came for it while it slept woke nobody else. */
static void end_idle(struct host_idle *idle)
{
	struct taker *t = of_idle(idle);
	bool left;

	atomic_store(&t->missed, false);
	left = take(t) != TAKER_DONE;
	if (left)
		turns_leave(&t->turns);
	leave(t, left);
}

/* --- the thread ------------------------------------------------------------------- */

bool taker_leaves(struct taker *t)
{
	return turns_are_taken(&t->turns);
}

/* False: a processor has it, which leaves nothing behind. */
static bool try_taking(struct taker *t)
{
	if (!pthread_mutex_trylock(&t->taking))
		return true;
	atomic_store(&t->missed, true);
	return !pthread_mutex_trylock(&t->taking);
}

enum taker_state taker_take(struct taker *t)
{
	enum taker_state state = TAKER_DONE;

	if (try_taking(t)) {
		state = take(t);
		pthread_mutex_unlock(&t->taking);
	}
	return state;
}

bool taker_sleeps(struct taker *t, enum taker_state state)
{
	atomic_store(&t->asleep, true);
	return state != TAKER_MORE && !atomic_load(&t->thread->ending) &&
	       !(state == TAKER_FULL && atomic_exchange(&t->has_room, false));
}

void taker_slept(struct taker *t, bool frames)
{
	atomic_store(&t->asleep, false);
	if (frames)
		host_input_clear(&t->input);
}

/* --- any thread ------------------------------------------------------------------- */

void taker_wake(struct taker *t)
{
	if (atomic_exchange(&t->asleep, false))
		poll_thread_wake(t->thread);
}

void taker_room(struct taker *t)
{
	atomic_store(&t->has_room, true);
	taker_wake(t);
}

/* --- its descriptor ----------------------------------------------------------------- */

void taker_init(struct taker *t, const struct taker_ops *ops, void *ctx,
		struct poll_thread *thread)
{
	*t = (struct taker){
		.ops = ops,
		.ctx = ctx,
		.thread = thread,
		.idle = { begin_idle, work_idle, end_idle },
		.input = HOST_INPUT_NONE,
		.state = TAKER_GONE,
	};
	pthread_mutex_init(&t->taking, NULL);
}

void taker_fini(struct taker *t)
{
	host_input_close(&t->input);
	pthread_mutex_destroy(&t->taking);
}

int taker_open(struct taker *t, int fd)
{
	int err;

	pthread_mutex_lock(&t->taking);
	err = host_input_open(&t->input, fd);
	if (!err)
		t->state = TAKER_DONE;
	pthread_mutex_unlock(&t->taking);
	return err;
}

void taker_shut(struct taker *t)
{
	pthread_mutex_lock(&t->taking);
	t->state = TAKER_GONE;
	host_input_close(&t->input);
	pthread_mutex_unlock(&t->taking);
}

void taker_let(struct taker *t, bool open)
{
	atomic_store(&t->open, open);
}
