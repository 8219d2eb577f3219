/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keystrokes on their way to a guest, no faster than it reads its keyboard:
 * one key moves at a time, the next when the keyboard's queue is empty.
 */
#ifndef LODGE_VMM_DISPLAY_TYPING_H
#define LODGE_VMM_DISPLAY_TYPING_H

#include <stdbool.h>

#include "host/linux/loop.h"
#include "vmm/display/keyname.h"

#define TYPING_MAX 4096 /* strokes at a time */

struct board;
struct typing;

/* `done` is told, on the loop, whether the guest took all of it. */
int typing_open(struct typing **typing, struct loop *loop,
		struct board *board, void (*done)(void *ctx, bool taken),
		void *ctx);

/* NULL is fine. */
void typing_close(struct typing *typing);

bool typing_busy(const struct typing *typing);

/* Starts; `strokes` are copied. Not while busy. count: 1 .. TYPING_MAX. */
void typing_start(struct typing *typing, const struct keystroke *strokes,
		  unsigned int count);

#endif
