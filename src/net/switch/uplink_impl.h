/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of a card's end of a switch: uplink.c has its thread and
 * what it sends, uplink_take.c what goes to the card.
 */
#ifndef LODGE_NET_SWITCH_UPLINK_IMPL_H
#define LODGE_NET_SWITCH_UPLINK_IMPL_H

#include "net/switch/uplink.h"

/* What a halted processor does; of struct uplink's `idle`. */
extern const struct host_idle uplink_idle;

/*
 * Held: `taking`, for both. Frames of all rings; LANE_FRAME: the card has no
 * room (*blocked), or those were many.
 */
enum lane_state uplink_deliver(struct uplink *uplink, bool *blocked);

/* What has come by a shortcut that ends, as far as the card has room. */
void uplink_drain(struct uplink *uplink, struct shortcut *shortcut);

/*
 * Locks `taking`: a processor that has it gives it up, and takes it no more
 * before uplink_let_take(). On the thread, or when that has ended.
 */
void uplink_stop_taking(struct uplink *uplink);
void uplink_let_take(struct uplink *uplink);

#endif
