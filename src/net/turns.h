/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes a descriptor's frames: a thread, or a halted processor that looks
 * for them. While processors look, a frame that comes is to wake nobody: the
 * thread does not wait for frames then, but wakes now and then to see whether
 * they still look. They do after turns of few frames alone: those of a guest
 * that asks and waits, not of one that is given much.
 */
#ifndef LODGE_NET_TURNS_H
#define LODGE_NET_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TURNS_TICK_MS 1

/* Zero-initialised. */
struct turns {
	_Atomic bool taken; /* processors look */
	_Atomic uint32_t looks;
	uint32_t seen;	    /* the thread's: of them, at its last tick */
	unsigned int light; /* turns of few frames, one after the other */
};

/* --- a processor; one at a time ------------------------------------------- */

/* Whether it is to look before it sleeps. */
bool turns_may_look(const struct turns *turns);

/* It looks: once at least in each turn in which it does. */
void turns_look(struct turns *turns);

/* Whether the last turn was of many frames. */
bool turns_are_heavy(const struct turns *turns);

/* It has taken so many frames, in so many bytes. */
void turns_took(struct turns *turns, unsigned int frames, uint64_t bytes);

/* Any thread: what is left is the thread's. */
void turns_leave(struct turns *turns);

/* --- the thread ----------------------------------------------------------- */

/*
 * Whether it is to leave the frames to processors, for a tick. It is asked
 * before each wait, so they have looked since it was asked last.
 */
bool turns_are_taken(struct turns *turns);

#endif
