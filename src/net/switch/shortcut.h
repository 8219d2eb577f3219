/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shortcut to another card of the network, at a machine's end: rings that
 * only the two machines have, over which they exchange what claims_pass() lets
 * pass (wire.h). The switch grants and ends it.
 *
 * The other machine is not believed: its rings are checked as the switch's are
 * (lane.h), and of its frames those are refused, and counted, that the switch
 * would not have let it send. As the switch does (core.h), a sender waits for
 * a receiver that has no room, for as long as that has earned.
 */
#ifndef LODGE_NET_SWITCH_SHORTCUT_H
#define LODGE_NET_SWITCH_SHORTCUT_H

#include "net/switch/inbox.h"
#include "net/switch/patience.h"
#include "net/switch/wire.h"

/* Besides the ring of the switch. */
#define SHORTCUT_MAX (INBOX_MAX - 1)

struct shortcut {
	int fd; /* to the other machine */
	struct lane_pair rings;
	struct lane *out, *in;
	struct claims own, other;
	_Atomic bool gone;  /* it is to be ended */
	_Atomic bool heard; /* the other has begun as well */

	/* Who sends. */
	bool open;	   /* what went by the switch has arrived */
	bool told;	   /* what was put in is yet to be told of */
	struct patience patience; /* with the other, when it has no room */
	uint64_t waits;	   /* for it, since then (ns); 0: nothing does */

	/* Who takes. */
	bool begun; /* the same as `open` */
	uint8_t head[CLAIMS_HEAD];
	struct span span[2];
};

/*
 * As the switch said; takes `fd`, which came beside it, unless there is an
 * error. Each tells the other, for frames go that way only once both have
 * begun. 0 or a negative errno.
 */
int shortcut_begin(struct shortcut **out, const struct wire_shortcut *said,
		   int fd);
void shortcut_end(struct shortcut *shortcut);

/* --- sending: one at a time ------------------------------------------------ */

/* Whether the frame, with that beginning, is one that may go this way now. */
bool shortcut_leads(const struct shortcut *shortcut, const uint8_t *head,
		    uint32_t size);

/* True: it is over, sent or dropped. False: later, when it is heard of. */
bool shortcut_send(struct shortcut *shortcut, const struct nic_frame *frame);

/* Tells the other of what was sent since the last time. */
void shortcut_flush(struct shortcut *shortcut);

/* --- taking: one at a time ------------------------------------------------- */

/*
 * The next frame, with spans that are the shortcut's; without any: one that
 * was refused, and is to be passed over.
 */
enum lane_state shortcut_peek(struct shortcut *shortcut,
			      struct nic_frame *frame);
void shortcut_take(struct shortcut *shortcut, const struct nic_frame *frame);

/* After some: the other hears of room that it waits for. */
void shortcut_taken(struct shortcut *shortcut);

/* What comes on `fd`: false, it is the end. */
bool shortcut_hear(struct shortcut *shortcut);

#endif
