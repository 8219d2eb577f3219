/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large segments of TCP between a guest and a stack that takes and sends
 * packets as long as IP allows, though the guest's MTU is smaller: fewer,
 * larger frames are most of what a software network's speed is about.
 *
 * The guest offers its MSS in its SYN; the stack is shown a multiple of it.
 * What it sends then is more than one segment, and is told to the card as a
 * frame to be cut, which most guests take in one piece.
 */
#ifndef LODGE_NET_SEGMENT_H
#define LODGE_NET_SEGMENT_H

#include "vm/nic.h"

/* Changes the MSS of a SYN, if it is the one that fits `mtu`. */
void segment_offer(uint8_t *frame, uint32_t size, unsigned int mtu);

#define SEGMENT_HEAD 128u /* as much of a frame may be changed */

/*
 * Of a packet that is longer than `mtu`: `out` is to be cut and has `head` for
 * its beginning and `span[2]`. False: it is not TCP, or not too long.
 */
bool segment_open(const void *frame, uint32_t size, unsigned int mtu,
		  uint8_t head[SEGMENT_HEAD], struct span span[2],
		  struct nic_frame *out);

/*
 * The next fragment of an IPv4 packet that is too long otherwise (RFC 791,
 * 3.2), from *done bytes of its payload on; its size. 0: that was all. `to`
 * has room for `mtu` and an Ethernet header.
 */
uint32_t segment_fragment(const uint8_t *frame, uint32_t size,
			  unsigned int mtu, uint32_t *done, uint8_t *to);

/* Whether the packet is one for that. */
bool segment_too_long(const uint8_t *frame, uint32_t size, unsigned int mtu);

#endif
