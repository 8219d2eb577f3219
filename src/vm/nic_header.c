/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/nic_header.h"

#define TCP_SUM	   16 /* the checksum's place in a TCP header */
#define TCP_OFFSET 12 /* its length's, in words, in the upper 4 bits */
#define TCP_MIN	   20

struct nic_header nic_header_of(const struct nic_frame *frame)
{
	struct nic_header h = { .gso_type = NIC_HEADER_WHOLE };

	if (frame->sum == NIC_SUM_OPEN) {
		h.flags = NIC_HEADER_NEEDS_SUM;
		h.sum_start = frame->sum_start;
		h.sum_offset = frame->sum_offset;
	} else if (frame->sum == NIC_SUM_GOOD) {
		h.flags = NIC_HEADER_SUM_GOOD;
	}
	if (!frame->cut)
		return h;
	h.gso_type = frame->cut == NIC_CUT_TCP4 ? NIC_HEADER_TCP4 :
						  NIC_HEADER_TCP6;
	if (frame->ecn)
		h.gso_type |= NIC_HEADER_ECN;
	h.hdr_len = frame->header;
	h.gso_size = frame->segment;
	return h;
}

static bool parse_cut(const struct nic_header *h, struct nic_frame *frame)
{
	const uint8_t kind = h->gso_type & (uint8_t)~NIC_HEADER_ECN;
	uint32_t header;
	uint8_t words;

	if (kind == NIC_HEADER_WHOLE)
		return true;
	if ((kind != NIC_HEADER_TCP4 &&
	     kind != NIC_HEADER_TCP6) || !h->gso_size ||
	    frame->sum != NIC_SUM_OPEN || frame->sum_offset != TCP_SUM ||
	    (uint32_t)frame->sum_start + TCP_MIN > frame->size)
		return false;
	nic_frame_read(frame, frame->sum_start + TCP_OFFSET, &words, 1);
	header = frame->sum_start + (words >> 4) * 4u;
	if ((words >> 4) * 4u < TCP_MIN || header > frame->size ||
	    header > UINT16_MAX)
		return false;
	frame->header = (uint16_t)header;
	frame->segment = h->gso_size;
	frame->ecn = h->gso_type & NIC_HEADER_ECN;
	if (header < frame->size)
		frame->cut = kind == NIC_HEADER_TCP4 ? NIC_CUT_TCP4 :
								NIC_CUT_TCP6;
	return true;
}

bool nic_header_parse(const struct nic_header *h, struct nic_frame *frame)
{
	if (h->flags & NIC_HEADER_NEEDS_SUM) {
		if ((uint32_t)h->sum_start + h->sum_offset + 2 > frame->size)
			return false;
		frame->sum = NIC_SUM_OPEN;
		frame->sum_start = h->sum_start;
		frame->sum_offset = h->sum_offset;
	} else if (h->flags & NIC_HEADER_SUM_GOOD) {
		frame->sum = NIC_SUM_GOOD;
	}
	return parse_cut(h, frame);
}
