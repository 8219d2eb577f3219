/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet contract: between a network card (virtio-net, e1000e, ...) and
 * the network behind it (src/net), both ways. A host makes a struct net, the
 * board hands it to a card, which joins the two by nic_connect().
 *
 * Frames are Ethernet, from the destination's address on, without the frame
 * check sequence. A frame and its memory belong to the callee for the time of
 * the call alone: it copies or writes what it wants to keep. Guest memory may
 * change meanwhile: who looks into a frame copies first.
 *
 * Nothing here waits. Either side may say no: "no room". Then it has taken
 * nothing, and it calls the other back when another try is worth it: the net
 * nic_ops.again(), the card net_ops.room().
 *
 * Threads and locks. A card calls send() and flush() on any thread, calls for
 * different queues at the same time, and holds the lock of that queue, perhaps
 * the VM's device lock too; room() likewise with the lock of a receive queue.
 * So a net must not call its card from within those, and takes only locks of
 * its own, which it never holds while it calls the card. It calls the card on
 * threads of its own, several at once if it likes. start() and stop() come
 * with the device lock held.
 *
 * Offloads. A frame may leave work open: its checksum, or to be cut into
 * segments. Each side states what it takes that way (NIC_CAN_*) and is given
 * nothing else. net_link (src/net/link.h) stands between the two and does in
 * software what one of them cannot, so cards offer all of it to every guest,
 * and backends stay small.
 *
 * To stop for a snapshot is the card's part alone: while it is quiet it has no
 * room and sends nothing.
 */
#ifndef LODGE_VM_NIC_H
#define LODGE_VM_NIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/host.h"
#include "vm/span.h"

#define NIC_MAC		 6u
#define NIC_FRAME_MIN	 14u /* an Ethernet header */
#define NIC_FRAME_MAX	 (14u + 4 + 65535) /* with a VLAN tag, to be cut */
#define NIC_HEAD	 28u /* what tells what a frame carries */
#define NIC_MTU_MIN	 68u
#define NIC_MTU_MAX	 65535u
#define NIC_MTU_DEFAULT	 1500u
#define NIC_QUEUES_MAX	 8u

/* Work that a frame may leave to its receiver. */
#define NIC_CAN_SUM  0x1u /* checksums, NIC_SUM_OPEN */
#define NIC_CAN_TCP4 0x2u /* segments of TCP over IPv4, over IPv6 */
#define NIC_CAN_TCP6 0x4u
#define NIC_CAN_ECN  0x8u /* the same where the first segment alone has CWR */
#define NIC_CAN_ALL  0xfu

enum nic_sum {
	NIC_SUM_IN,   /* in the frame, as far as it has any */
	NIC_SUM_GOOD, /* in the frame, and right: need not be checked */
	/*
	 * The 16 bits at sum_start + sum_offset hold the sum of the pseudo
	 * header; the checksum is that of the bytes from sum_start on.
	 */
	NIC_SUM_OPEN,
};

enum nic_cut {
	NIC_WHOLE,
	NIC_CUT_TCP4, /* TCP to be cut; then the checksum is open as well */
	NIC_CUT_TCP6,
};

struct nic_frame {
	const struct span *span;
	unsigned int spans;
	uint32_t size; /* as the spans say: NIC_FRAME_MIN to NIC_FRAME_MAX */
	enum nic_sum sum;
	enum nic_cut cut;
	bool ecn;		       /* NIC_CAN_ECN is needed to cut it */
	uint16_t sum_start, sum_offset; /* within the frame, as are 16 bits */
	uint16_t header;  /* to be cut: bytes that each segment begins with */
	uint16_t segment; /* and how many of the rest it has; never 0 */
};

struct nic;
struct net;

/* The network's side. */
struct net_ops {
	/*
	 * A frame of the guest's, from its queue `queue`. True: it is over,
	 * sent or dropped. False: later, nic_ops.again() tells when.
	 */
	bool (*send)(struct net *net, unsigned int queue,
		     const struct nic_frame *frame);
	/* Optional. The last one for now: those that waited to go together
	 * are sent. */
	void (*flush)(struct net *net, unsigned int queue);
	/* Optional. The card has room again, after it had none. */
	void (*room)(struct net *net);
	/*
	 * Optional. The guest's driver is there, it has reset the card or gone
	 * away. Frames for a card without driver are dropped.
	 */
	void (*start)(struct net *net);
	void (*stop)(struct net *net);
	/*
	 * The card is at its end: once this returns no call of it comes any
	 * more, until another one is connected. No lock is held.
	 */
	void (*part)(struct net *net);
	/* By its owner, when no card is connected. */
	void (*close)(struct net *net);
};

struct net {
	const struct net_ops *ops;
	struct nic *nic; /* NULL: not connected */
	/* Set by the net; it may change them with the driver not there. */
	unsigned int can; /* NIC_CAN_*, of frames to send() */
	bool link;	  /* its link at start; nic_ops.link() tells of others */
	uint16_t mtu;	  /* its own, which the card is to have; 0: any */
	const char *device; /* its name on the host; NULL: it has none */
	struct host_idle *idle; /* takes frames to the card; NULL: none */
};

/* The card's side. */
struct nic_ops {
	/*
	 * A frame for the guest. True: it is over, taken or dropped. False:
	 * no room, net_ops.room() tells when there is.
	 */
	bool (*receive)(struct nic *nic, const struct nic_frame *frame);
	/* After one or more of them: the guest is told. */
	void (*flush)(struct nic *nic);
	/* send() is worth another try. */
	void (*again)(struct nic *nic);
	/* The cable: the guest learns that the link is up, or down. */
	void (*link)(struct nic *nic, bool up);
	/* The network has changed: the guest is asked to tell where it is. */
	void (*announce)(struct nic *nic);
};

struct nic_count {
	_Atomic uint64_t frames, bytes;
	_Atomic uint64_t dropped; /* for want of a driver, a link, memory */
	_Atomic uint64_t refused; /* malformed, or not for this guest */
};

struct nic {
	const struct nic_ops *ops;
	struct net *net;
	_Atomic unsigned int can; /* NIC_CAN_*, of frames to receive() */
	uint8_t mac[NIC_MAC];	  /* as the host gave it */
	struct nic_count sent, received; /* by the guest, by the guest */
};

/* By the card, when it is made; and at its end. */
static inline void nic_connect(struct nic *nic, struct net *net)
{
	nic->net = net;
	net->nic = nic;
}

static inline void nic_part(struct nic *nic)
{
	if (!nic->net->nic)
		return;
	nic->net->ops->part(nic->net);
	nic->net->nic = NULL;
}

static inline void nic_count(struct nic_count *count, uint32_t size)
{
	atomic_fetch_add_explicit(&count->frames, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&count->bytes, size, memory_order_relaxed);
}

static inline void nic_count_one(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* NIC_CAN_* that a frame asks of its receiver. */
static inline unsigned int nic_frame_needs(const struct nic_frame *frame)
{
	unsigned int needs = frame->sum == NIC_SUM_OPEN ? NIC_CAN_SUM : 0;

	if (frame->cut == NIC_CUT_TCP4)
		needs |= NIC_CAN_TCP4;
	if (frame->cut == NIC_CUT_TCP6)
		needs |= NIC_CAN_TCP6;
	if (frame->cut && frame->ecn)
		needs |= NIC_CAN_ECN;
	return needs;
}

/* Copies [from, from + size) of the frame, which has them. */
void nic_frame_read(const struct nic_frame *frame, uint32_t from, void *to,
		    uint32_t size);

/*
 * What IP carries in a frame of `size` bytes, with a VLAN tag or without, by
 * the first NIC_HEAD of them: IANA's number of the protocol (RFC 791, 3.1;
 * RFC 8200, 3). 0: it is no frame of IP, or too short to tell.
 */
uint8_t nic_frame_protocol(const uint8_t *frame, uint32_t size);

#endif
