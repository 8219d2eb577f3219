/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a guest's memory statistics: asked through the balloon, they
 * come when the guest's driver gets to it, or not at all. On the loop's thread.
 */
#ifndef LODGE_VMM_GUEST_BALLOON_H
#define LODGE_VMM_GUEST_BALLOON_H

#include <stdbool.h>

#include "host/linux/loop.h"

struct balloon_wait;
struct board;

/* `over` is called after each wait. 0 or a negative errno. */
int balloon_wait_open(struct balloon_wait **wait, struct loop *loop,
		      struct board *board, void (*over)(void *ctx), void *ctx);
void balloon_wait_close(struct balloon_wait *wait);

/*
 * Asks for statistics. True: over() is called when they came or a second has
 * passed. False: the guest has no driver that gives any.
 */
bool balloon_wait_start(struct balloon_wait *wait);

#endif
