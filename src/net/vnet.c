/* SPDX-License-Identifier: Apache-2.0 */
#include "net/vnet.h"

#define TCP_SUM	   16 /* the checksum's place in a TCP header */
#define TCP_OFFSET 12 /* its length's, in words, in the upper 4 bits */
#define TCP_MIN	   20

struct virtio_net_hdr vnet_header(const struct nic_frame *frame)
{
	struct virtio_net_hdr h = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };

	if (frame->sum == NIC_SUM_OPEN) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = frame->sum_start;
		h.csum_offset = frame->sum_offset;
	} else if (frame->sum == NIC_SUM_GOOD) {
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (!frame->cut)
		return h;
	h.gso_type = frame->cut == NIC_CUT_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4 :
						  VIRTIO_NET_HDR_GSO_TCPV6;
	if (frame->ecn)
		h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	h.hdr_len = frame->header;
	h.gso_size = frame->segment;
	return h;
}

/* The kernel's hdr_len may reach beyond TCP's header: it is found anew. */
static bool parse_cut(const struct virtio_net_hdr *h, struct nic_frame *frame)
{
	const uint8_t kind = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t header;
	uint8_t words;

	if (kind == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if ((kind != VIRTIO_NET_HDR_GSO_TCPV4 &&
	     kind != VIRTIO_NET_HDR_GSO_TCPV6) || !h->gso_size ||
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
	frame->ecn = h->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	if (header < frame->size)
		frame->cut = kind == VIRTIO_NET_HDR_GSO_TCPV4 ? NIC_CUT_TCP4 :
								NIC_CUT_TCP6;
	return true;
}

bool vnet_parse(const struct virtio_net_hdr *h, struct nic_frame *frame)
{
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if ((uint32_t)h->csum_start + h->csum_offset + 2 > frame->size)
			return false;
		frame->sum = NIC_SUM_OPEN;
		frame->sum_start = h->csum_start;
		frame->sum_offset = h->csum_offset;
	} else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		frame->sum = NIC_SUM_GOOD;
	}
	return parse_cut(h, frame);
}
