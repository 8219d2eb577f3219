/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In software, what a frame leaves open: checksums (RFC 1071), and segments of
 * TCP (RFC 9293) over IPv4 or IPv6, with or without a VLAN tag. For frames
 * whose one side leaves open what the other cannot do.
 */
#ifndef LODGE_NET_OFFLOAD_H
#define LODGE_NET_OFFLOAD_H

#include "vm/nic.h"

/*
 * Copies the frame to `to`, frame->size bytes, with its checksum filled in. One
 * that is to be cut becomes a single large packet, lengths and checksums of
 * which are right.
 */
void offload_copy(const struct nic_frame *frame, uint8_t *to);

/*
 * The same for a receiver in this process: a datagram over IPv4 whose sum is
 * open gets none, as it may (RFC 768). What was not on any wire needs none, and
 * a stack would only check it.
 */
void offload_copy_near(const struct nic_frame *frame, uint8_t *to);

/* Cutting a frame: the same memory is used for each segment. */
struct offload_cutter {
	const struct nic_frame *frame;
	uint8_t *segment; /* the present one: header and a piece */
	uint32_t size;	  /* of it */
	uint32_t done;	  /* bytes behind the header that were cut */
	unsigned int ip;  /* where its header begins */
	unsigned int count;
	uint8_t *head; /* the original header, as it was once */
};

#define OFFLOAD_HEADER_MAX 256u /* of a frame that is cut */

/*
 * Begins to cut `frame`, in `room` of OFFLOAD_HEADER_MAX + NIC_FRAME_MAX bytes.
 * False: its header is none of TCP over IP.
 */
bool offload_begin(struct offload_cutter *cutter,
		   const struct nic_frame *frame, uint8_t *room);

/* The next segment; false: there is none. */
bool offload_next(struct offload_cutter *cutter);

#endif
