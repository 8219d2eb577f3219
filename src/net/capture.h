/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of one card in a file that tcpdump and Wireshark read: the classic
 * format of libpcap (draft-ietf-opsawg-pcap), times in nanoseconds. What the
 * guest or its net left open is written as it is: large segments, checksums
 * that are none.
 */
#ifndef LODGE_NET_CAPTURE_H
#define LODGE_NET_CAPTURE_H

#include "net/net.h"

struct capture;

/*
 * The file is made, or emptied, and gets `limit` bytes at most (0: any number).
 * -1 with `error`.
 */
int capture_open(struct capture **capture, const char *path, uint64_t limit,
		 struct net_error *error);

/*
 * Adds a frame. Any thread. The first write that fails is the last, as is the
 * last frame within the limit; the log says so.
 */
void capture_frame(struct capture *capture, const struct nic_frame *frame);

/* NULL is fine. */
void capture_close(struct capture *capture);

#endif
