/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops of a single block, as they copy, compare and add up: several turns are
 * emitted one behind the other. An access of one turn and that of the next are
 * at a constant distance when their registers move by constants, so all turns
 * share a check (rewrite_share.c); and only the last one looks for requests.
 *
 * The condition of each turn's jump is turned round: it leaves the loop, or
 * goes on behind. Behind the block the loop stands once, each access with a
 * check of its own. It goes back to the front: there go checks that fail, such
 * as that of a range over two pages.
 */
#include "engine/soft/rewrite_impl.h"

#define TURNS_MAX 8u
#define EXITS_MAX 16u /* of all turns */

/* A block with this jumps back to its front, else goes on behind it. */
static bool is_loop(const struct rewrite *t, const struct rewrite_class *class)
{
	const struct block *b = t->block;
	const struct x86_insn *last = &b->insn[b->count - 1];

	if (class[b->count - 1].kind != REWRITE_JCC || b->source ||
	    rewrite_target(t, last) != b->rip)
		return false;
	/* What C code does in between, or keeps account of, is for one turn. */
	for (unsigned int i = 0; i < b->count; i++)
		if (class[i].kind == REWRITE_NOT ||
		    class[i].kind == REWRITE_SYSTEM ||
		    class[i].needs & REWRITE_X87)
			return false;
	return true;
}

/* As many as there is room for, in the block and for its ways out. */
static unsigned int count_turns(const struct rewrite *t,
				const struct rewrite_class *class)
{
	unsigned int turns = BLOCK_INSNS_MAX / t->block->count, exits = 0;

	for (unsigned int i = 0; i < t->block->count; i++)
		exits += class[i].kind == REWRITE_JCC;
	/* One more way out at the end; and those of the turn behind. */
	while (turns > 1 && (turns + 1) * exits + 2 > EXITS_MAX)
		turns--;
	return turns < TURNS_MAX ? turns : TURNS_MAX;
}

/* What was noted of the first turn is true of all; none asks but that one. */
static void note_turns(struct rewrite *t, unsigned int turns)
{
	unsigned int n = t->block->count;

	t->turns = turns;
	t->share_count = 0;
	for (unsigned int i = 0; i < rewrite_count(t); i++) {
		t->access_count[i] = t->access_count[i % n];
		for (unsigned int k = 0; k < t->access_count[i]; k++) {
			t->access[i][k] = t->access[i % n][k];
			t->access[i][k].share = -1;
		}
	}
}

/* Checks that are made. */
static unsigned int count_checks(const struct rewrite *t)
{
	unsigned int count = t->share_count;

	for (unsigned int i = 0; i < rewrite_count(t); i++)
		for (unsigned int k = 0; k < t->access_count[i]; k++)
			count += t->access[i][k].share < 0;
	return count;
}

bool rewrite_share_turns(struct rewrite *t, const struct rewrite_class *class)
{
	bool shares = rewrite_share(t, class);
	unsigned int turns, checks;

	if (!is_loop(t, class) || !rewrite_is_hot(t))
		return shares;
	turns = count_turns(t, class);
	checks = count_checks(t);
	note_turns(t, turns);
	shares = rewrite_share(t, class);
	if (shares && count_checks(t) * 4 <= checks * turns * 3)
		return true;
	note_turns(t, 1);
	return rewrite_share(t, class);
}
