/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header before a frame that leaves work open (virtio 1.2, 5.1.6, without
 * num_buffers), as virtio-net cards and Linux's taps have it, to and from the
 * packet contract's words.
 */
#ifndef LODGE_VM_NIC_HEADER_H
#define LODGE_VM_NIC_HEADER_H

#include "vm/nic.h"

#define NIC_HEADER_NEEDS_SUM 1u /* flags */
#define NIC_HEADER_SUM_GOOD  2u

#define NIC_HEADER_WHOLE 0u /* gso_type */
#define NIC_HEADER_TCP4	 1u
#define NIC_HEADER_TCP6	 4u
#define NIC_HEADER_ECN	 0x80u

/* Little-endian. */
struct nic_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size;
	uint16_t sum_start, sum_offset;
};

_Static_assert(sizeof(struct nic_header) == 10, "as on the wire");

/* What `frame` leaves open. */
struct nic_header nic_header_of(const struct nic_frame *frame);

/*
 * The same back, of a frame whose spans and size are set. hdr_len is not
 * believed: where TCP's header ends is found anew. False: the header and the
 * frame do not go together.
 */
bool nic_header_parse(const struct nic_header *header,
		      struct nic_frame *frame);

#endif
