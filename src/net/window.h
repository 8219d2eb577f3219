/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows of TCP that a stack has closed to the guest. libslirp 4.7 does not
 * tell when it has room again: the guest would find out by its own probes,
 * 0.2 s later and ever more seldom (RFC 9293, 3.8.6.1). So the probes are made
 * here, to be sent when the stack has passed on what it had.
 */
#ifndef LODGE_NET_WINDOW_H
#define LODGE_NET_WINDOW_H

#include "net/tcp.h"

#define WINDOWS_MAX 64 /* more than these are left to the guest */

struct windows {
	unsigned int count;
	/* Segments of the guest's that ask for each. */
	struct tcp_plain closed[WINDOWS_MAX];
};

/* A segment of the stack's for the guest: opens or closes a window. */
void window_note(struct windows *windows, const struct tcp_segment *segment);

#endif
