/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keystrokes as moves of keys: modifiers down, the key down and up,
 * modifiers up. A timer of the loop makes a move when the guest has read the
 * one before it. A guest that reads nothing for a while ends it.
 */
#include "vmm/display/typing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "board/board.h"
#include "chip/key.h"

#define TICK_NS	  5000000 /* between two moves */
#define PATIENCE  2000	  /* ticks without a byte read */
#define MODIFIERS 8
#define MOVES	  (2 * MODIFIERS + 2) /* of a stroke at most */

struct typing {
	struct loop *loop;
	struct board *board;
	void (*done)(void *ctx, bool taken);
	void *ctx;
	int timer;
	unsigned int at, count; /* strokes */
	unsigned int move;	/* of the stroke: 0 .. MOVES - 1 */
	unsigned int idle;	/* ticks in which nothing was read */
	struct keystroke stroke[TYPING_MAX];
};

static void set_timer(struct typing *typing, long ns)
{
	const struct itimerspec every = {
		.it_interval.tv_nsec = ns,
		.it_value.tv_nsec = ns,
	};

	timerfd_settime(typing->timer, 0, &every, NULL);
}

static void end(struct typing *typing, bool taken)
{
	set_timer(typing, 0);
	typing->count = 0;
	typing->done(typing->ctx, taken);
}

/* Which key the move is about, if it is one of this stroke. */
static unsigned int key_of_move(const struct keystroke *stroke,
				unsigned int move, bool *down)
{
	unsigned int bit;

	*down = move <= MODIFIERS;
	if (move == MODIFIERS || move == MODIFIERS + 1)
		return stroke->key;
	bit = move < MODIFIERS ? move : MOVES - 1 - move;
	return stroke->modifiers & 1u << bit ? KEY_LEFT_CTRL + bit : KEY_NONE;
}

/* Makes the next move; false: there is none. */
static bool make_move(struct typing *typing)
{
	while (typing->at < typing->count) {
		const struct keystroke *stroke = &typing->stroke[typing->at];
		unsigned int key;
		bool down;

		key = key_of_move(stroke, typing->move, &down);
		if (++typing->move == MOVES) {
			typing->move = 0;
			typing->at++;
		}
		if (key == KEY_NONE)
			continue;
		board_key(typing->board, key, down);
		return true;
	}
	return false;
}

/* So that nothing stays held in a guest that did not read on. */
static void let_go(struct typing *typing)
{
	const struct keystroke *stroke = &typing->stroke[typing->at];
	bool down;

	for (unsigned int move = MODIFIERS + 1; move < MOVES; move++)
		board_key(typing->board, key_of_move(stroke, move, &down),
			  false);
}

static void ticked(void *ctx, uint32_t events)
{
	struct typing *typing = ctx;
	uint64_t ticks;

	if (read(typing->timer, &ticks, sizeof(ticks)) != sizeof(ticks) ||
	    !typing->count)
		return;
	if (board_keys_unread(typing->board)) {
		if (++typing->idle < PATIENCE)
			return;
		if (typing->at < typing->count)
			let_go(typing);
		end(typing, false);
		return;
	}
	typing->idle = 0;
	if (!make_move(typing))
		end(typing, true);
}

int typing_open(struct typing **out, struct loop *loop, struct board *board,
		void (*done)(void *ctx, bool taken), void *ctx)
{
	struct typing *typing = calloc(1, sizeof(*typing));
	int rc;

	*out = NULL;
	if (!typing)
		return -ENOMEM;
	typing->loop = loop;
	typing->board = board;
	typing->done = done;
	typing->ctx = ctx;
	typing->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (typing->timer < 0) {
		rc = -errno;
		free(typing);
		return rc;
	}
	rc = loop_add(loop, typing->timer, LOOP_READ, ticked, typing);
	if (rc) {
		close(typing->timer);
		free(typing);
		return rc;
	}
	*out = typing;
	return 0;
}

void typing_close(struct typing *typing)
{
	if (!typing)
		return;
	loop_remove(typing->loop, typing->timer);
	close(typing->timer);
	free(typing);
}

bool typing_busy(const struct typing *typing)
{
	return typing->count;
}

void typing_start(struct typing *typing, const struct keystroke *strokes,
		  unsigned int count)
{
	memcpy(typing->stroke, strokes, count * sizeof(*strokes));
	typing->at = 0;
	typing->move = 0;
	typing->idle = 0;
	typing->count = count;
	set_timer(typing, TICK_NS);
}
