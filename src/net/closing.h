/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of connections between a guest and a stack in its own process. Who ends
 * a connection first remembers it for a while (TIME-WAIT, RFC 9293, 3.6.1), for
 * segments that are still on their way. Between the two none is: what was
 * acknowledged is there. So the stack is told to forget at once; otherwise
 * thousands of short connections would fill its memory and its lists.
 */
#ifndef LODGE_NET_CLOSING_H
#define LODGE_NET_CLOSING_H

#include "net/tcp.h"

#define CLOSING_SLOTS 256u /* a connection that finds its own taken waits */
#define CLOSING_DUE   64u

struct closings {
	struct closing {
		bool used; /* the stack has sent its end */
		bool both; /* and the guest its own, knowing of the stack's */
		uint32_t stack_end, guest_end; /* sequence numbers behind */
		struct tcp_plain guest;	       /* of the connection */
	} slot[CLOSING_SLOTS];
	unsigned int due_count;
	struct tcp_plain due[CLOSING_DUE];
};

/* A segment of the stack's, and one of the guest's. */
void closing_note_stack(struct closings *closings,
			const struct tcp_segment *segment);
void closing_note_guest(struct closings *closings,
			const struct tcp_segment *segment);

/* What the stack is to be told, as the guest's. False: nothing. */
bool closing_next(struct closings *closings, struct tcp_plain *reset);

#endif
