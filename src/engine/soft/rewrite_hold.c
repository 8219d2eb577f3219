/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's r8-r11 live in memory, and pass through a scratch register when
 * they are used. What a scratch register holds of them is remembered from one
 * instruction to the next: a load right behind the store would wait for it.
 * Memory has the value always.
 *
 * emit.c tells which registers may have been changed. Where host code comes
 * back from elsewhere, behind an instruction that was interpreted or that
 * stands behind the block, what is held there is loaded anew.
 */
#include "engine/soft/rewrite_impl.h"

/* Those that may have been changed hold nothing any more. */
static void settle(struct rewrite *t)
{
	for (unsigned int i = 0; i < REWRITE_SCRATCH; i++)
		if (t->e.touched >> (HOST_R9 + i) & 1)
			t->hold.guest[i] = X86_NO_REG;
	t->e.touched = 0;
}

void rewrite_hold_nothing(struct rewrite *t)
{
	memset(t->hold.guest, X86_NO_REG, sizeof(t->hold.guest));
	t->e.touched = 0;
}

static void hold(struct rewrite *t, unsigned int guest, unsigned int scratch)
{
	settle(t);
	t->hold.guest[scratch - HOST_R9] = (uint8_t)guest;
}

/* The last one first: checks use the others. */
static unsigned int find(struct rewrite *t, unsigned int guest)
{
	settle(t);
	for (unsigned int i = REWRITE_SCRATCH; i-- > 0;)
		if (t->hold.guest[i] == guest)
			return HOST_R9 + i;
	return HOST_NONE;
}

void rewrite_still_holds(struct rewrite *t, unsigned int guest,
			 unsigned int scratch)
{
	if (rewrite_host[guest] == HOST_NONE)
		hold(t, guest, scratch);
}

unsigned int rewrite_in_host(struct rewrite *t, unsigned int guest,
			     unsigned int scratch)
{
	const struct emit_mem home = rewrite_home(guest);
	unsigned int from;

	if (rewrite_host[guest] != HOST_NONE)
		return rewrite_host[guest];
	settle(t);
	if (t->hold.guest[scratch - HOST_R9] == guest)
		return scratch;
	from = find(t, guest);
	if (from == HOST_NONE)
		emit_load(&t->e, scratch, &home);
	else
		emit_mov(&t->e, scratch, from);
	hold(t, guest, scratch);
	return scratch;
}

unsigned int rewrite_to_read(struct rewrite *t, unsigned int guest,
			     unsigned int scratch)
{
	unsigned int held = HOST_NONE;

	if (rewrite_host[guest] == HOST_NONE)
		held = find(t, guest);
	/* The next one may be brought into r10. */
	if (held == HOST_NONE || held == HOST_R10)
		return rewrite_in_host(t, guest, scratch);
	return held;
}

void rewrite_home_changed(struct rewrite *t, unsigned int guest)
{
	for (unsigned int i = 0; i < REWRITE_SCRATCH; i++)
		if (t->hold.guest[i] == guest)
			t->hold.guest[i] = X86_NO_REG;
}

void rewrite_store_home(struct rewrite *t, unsigned int guest,
			unsigned int scratch)
{
	const struct emit_mem home = rewrite_home(guest);

	if (rewrite_host[guest] != HOST_NONE)
		return;
	emit_store(&t->e, scratch, &home);
	rewrite_home_changed(t, guest);
	hold(t, guest, scratch);
}

void rewrite_note_holds(struct rewrite *t)
{
	settle(t);
	t->held[t->index] = t->hold;
}

bool rewrite_holds_at(const struct rewrite *t, unsigned int index)
{
	for (unsigned int i = 0; i < REWRITE_SCRATCH; i++)
		if (t->held[index].guest[i] != X86_NO_REG)
			return true;
	return false;
}

void rewrite_hold_again(struct rewrite *t, unsigned int index)
{
	for (unsigned int i = 0; i < REWRITE_SCRATCH; i++) {
		unsigned int guest = t->held[index].guest[i];

		if (guest != X86_NO_REG) {
			const struct emit_mem home = rewrite_home(guest);

			emit_load(&t->e, HOST_R9 + i, &home);
		}
	}
}
