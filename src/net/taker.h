/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the frames of a descriptor to a card. Who does is a thread, or, where
 * that is allowed, a processor that is halted and looks at the descriptor, or
 * sleeps on it, itself (turns.h): one at a time, and a frame that comes wakes
 * one alone (host/linux/input.h).
 */
#ifndef LODGE_NET_TAKER_H
#define LODGE_NET_TAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/linux/input.h"
#include "host/linux/poll_thread.h"
#include "net/turns.h"
#include "vm/host.h"

enum taker_state {
	TAKER_DONE, /* there is no more now */
	TAKER_MORE, /* there may be */
	TAKER_FULL, /* the card has no room for what was read */
	TAKER_GONE, /* no more comes from there, or no descriptor is open */
};

/* Of the net's; called by who takes. */
struct taker_ops {
	/* Reads, and waits for nothing: whether something came, or the end. */
	bool (*read)(void *ctx);
	/*
	 * Gives the card some of what is read and more of what there is, and
	 * tells it of them; each goes into the taker's counts.
	 */
	enum taker_state (*take)(void *ctx);
};

struct taker {
	const struct taker_ops *ops;
	void *ctx;
	struct poll_thread *thread;
	struct host_idle idle; /* the net's, when processors are to take */
	struct host_input input;
	struct turns turns;
	_Atomic bool open;     /* processors may take */
	_Atomic bool missed;   /* the thread found `taking` taken */
	_Atomic bool asleep;   /* the thread is, or is about to be */
	_Atomic bool has_room; /* the card has said so */

	/* To take. A halted processor keeps it while it looks or sleeps. */
	pthread_mutex_t taking;
	enum taker_state state;
	unsigned int frames; /* given in a row */
	uint64_t bytes;	     /* of them */
};

/* Without a descriptor; `ctx` is the operations'. */
void taker_init(struct taker *taker, const struct taker_ops *ops, void *ctx,
		struct poll_thread *thread);
void taker_fini(struct taker *taker);

/* The thread, or before it runs. 0, or a negative errno. */
int taker_open(struct taker *taker, int fd);

/* The thread: before `fd` is closed, when the state is not TAKER_DONE. */
void taker_shut(struct taker *taker);

/* Whether processors may take: from the thread's start to its end. */
void taker_let(struct taker *taker, bool open);

/* --- any thread --------------------------------------------------------------- */

/* The thread looks around, if it sleeps. */
void taker_wake(struct taker *taker);

/* The card has room again. */
void taker_room(struct taker *taker);

/* --- the thread; in this order, again and again -------------------------------- */

/* Whether it is to leave the frames to processors, for TURNS_TICK_MS. */
bool taker_leaves(struct taker *taker);

/* TAKER_DONE as well: a processor does it, and wakes the thread when needed. */
enum taker_state taker_take(struct taker *taker);

/*
 * Whether it may sleep, after this state; else it only looks. It polls
 * `input.rest` for frames. taker_slept() is told whether there were some.
 */
bool taker_sleeps(struct taker *taker, enum taker_state state);
void taker_slept(struct taker *taker, bool frames);

#endif
