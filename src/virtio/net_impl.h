/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the network card. Its queues: receive and transmit
 * queue of each pair, then control; which one that is depends on the number
 * of pairs that the driver has heard of (virtio 1.2, 5.1.2).
 */
#ifndef LODGE_VIRTIO_NET_IMPL_H
#define LODGE_VIRTIO_NET_IMPL_H

#include "virtio/net.h"

#define NET_F_CSUM	      VIRTIO_F(0)
#define NET_F_GUEST_CSUM      VIRTIO_F(1)
#define NET_F_CTRL_OFFLOADS   VIRTIO_F(2)
#define NET_F_MTU	      VIRTIO_F(3)
#define NET_F_MAC	      VIRTIO_F(5)
#define NET_F_GUEST_TSO4      VIRTIO_F(7)
#define NET_F_GUEST_TSO6      VIRTIO_F(8)
#define NET_F_GUEST_ECN	      VIRTIO_F(9)
#define NET_F_HOST_TSO4	      VIRTIO_F(11)
#define NET_F_HOST_TSO6	      VIRTIO_F(12)
#define NET_F_HOST_ECN	      VIRTIO_F(13)
#define NET_F_MRG_RXBUF	      VIRTIO_F(15)
#define NET_F_STATUS	      VIRTIO_F(16)
#define NET_F_CTRL_VQ	      VIRTIO_F(17)
#define NET_F_CTRL_RX	      VIRTIO_F(18)
#define NET_F_CTRL_VLAN	      VIRTIO_F(19)
#define NET_F_CTRL_RX_EXTRA   VIRTIO_F(20)
#define NET_F_GUEST_ANNOUNCE  VIRTIO_F(21)
#define NET_F_MQ	      VIRTIO_F(22)
#define NET_F_CTRL_MAC_ADDR   VIRTIO_F(23)
#define NET_F_SPEED_DUPLEX    VIRTIO_F(63)

/* What CTRL_OFFLOADS turns on and off: bits as those of the features. */
#define NET_OFFLOADS \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | \
	 NET_F_GUEST_ECN)

/* Configuration space (5.1.4) */
#define NET_CFG_MAC    0
#define NET_CFG_STATUS 6
#define NET_CFG_PAIRS  8
#define NET_CFG_MTU    10
#define NET_CFG_SPEED  12
#define NET_CFG_DUPLEX 16
#define NET_CFG_SIZE   17

#define NET_S_LINK_UP  1u
#define NET_S_ANNOUNCE 2u

#define NET_TABLE_MAX 64 /* addresses of a kind */
#define NET_VLANS     4096
#define NET_STEER     256

/*
 * Of a receive queue: frames go to the guest in batches (net_pace.c). Guarded
 * by the queue's lock.
 */
struct net_pace {
	unsigned int given; /* frames of the batch */
	uint32_t rests;	    /* of the VM, when it began */
	bool held;	    /* the next batch waits */
	uint64_t since;	    /* VM ns, when it had to */
	uint64_t done;	    /* the driver was seen to be through; 0: not yet */
};

/*
 * Of a transmit queue: datagrams go in batches (net_burst.c). Guarded by the
 * queue's lock.
 */
struct net_burst {
	unsigned int alone; /* datagrams, one after the other */
	uint32_t rests;	    /* of the VM, while they came */
	bool held;	    /* the driver tells only of many */
	unsigned int sent;  /* since the queue was looked at */
};

/* One pair of queues. */
struct net_lane {
	/* Guarded by the transmit queue's lock. */
	struct virtio_buffer out;
	struct span data[VIRTIO_SPANS_MAX];
	struct net_burst burst;

	/* By the receive queue's. */
	struct virtio_buffer first, next; /* of a frame */
	struct virtio_used used[VIRTIO_QUEUE_SIZE_MAX];
	bool starved; /* a frame was told to wait */
	struct net_pace pace;

	_Atomic bool to_tell; /* flush() is to send an interrupt */
};

/* What the driver wants to hear, under `lock`; saved. */
struct net_filter {
	struct host_lock lock;
	bool promiscuous, all_multicast, all_unicast;
	bool no_multicast, no_unicast, no_broadcast;
	/* NET_TABLE_MAX + 1: more than fit, so all of the kind. */
	uint32_t unicasts, multicasts;
	uint8_t unicast[NET_TABLE_MAX * NIC_MAC];
	uint8_t multicast[NET_TABLE_MAX * NIC_MAC];
	uint64_t vlan[NET_VLANS / 64];
};

struct virtio_net {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct nic nic;
	unsigned int pairs_max;
	struct net_lane *lane; /* pairs_max of them */
	struct virtio_buffer control; /* its queue's lock */
	_Atomic bool quiet;    /* quiesced */
	bool announce_due;     /* once it is not any more */
	bool parted;	       /* the queues go; guarded by the device lock */
	struct timer look;     /* at queues that are held */
	struct timer burst_look; /* the same, to transmit */
	_Atomic uint8_t steer[NET_STEER]; /* flows to pairs */

	struct net_filter filter;
	/* Saved as well. */
	_Atomic uint16_t pairs; /* in use */
	uint64_t offloads;	/* NET_OFFLOADS that are on */
};

static inline struct virtio_net *virtio_net_of(struct virtio_device *device)
{
	return (struct virtio_net *)device;
}

/* The number of the control queue. */
static inline unsigned int virtio_net_control(const struct virtio_net *v)
{
	return 2 * (virtio_has(&v->virtio, NET_F_MQ) ? v->pairs_max : 1);
}

/* After a change of `offloads`: what nic_ops.receive() may be given. */
void virtio_net_set_offloads(struct virtio_net *v, uint64_t offloads);

/* net_io.c; held: the queue's lock. */
void virtio_net_send(struct virtio_net *v, struct virtio_queue *queue);
/* Sends what has come if it is one frame; false: some is left. */
bool virtio_net_send_one(struct virtio_net *v, struct virtio_queue *queue);
/* The driver has given buffers. */
void virtio_net_refilled(struct virtio_net *v, struct virtio_queue *queue);

/* net_io.c: the first and the second of nic_ops. */
bool virtio_net_receive(struct nic *nic, const struct nic_frame *frame);
void virtio_net_flush(struct nic *nic);

/* net_pace.c; held: the receive queue's lock. A frame has to wait. */
bool virtio_net_paced(struct virtio_net *v, struct virtio_queue *queue);
/* A processor halts. Held: the device lock. */
void virtio_net_rested(void *object);
/* The timer's. */
void virtio_net_look(void *ctx);

/* net_burst.c; held: the transmit queue's lock. A frame of it was sent. */
void virtio_net_burst_note(struct virtio_net *v, struct virtio_queue *queue,
			   bool datagram);
/* Whether frames may be in it of which the driver has not told. */
bool virtio_net_burst_held(const struct virtio_net *v,
			   const struct virtio_queue *queue);
void virtio_net_burst_reset(struct virtio_net *v, struct virtio_queue *queue);
/* A processor halts. Held: the device lock. */
void virtio_net_burst_rested(struct virtio_net *v);
/* The timer's. */
void virtio_net_burst_look(void *ctx);

/* net_control.c; held: the control queue's lock. */
void virtio_net_commands(struct virtio_net *v, struct virtio_queue *queue);
/* As the card is when no driver has said anything. */
void virtio_net_filter_reset(struct virtio_net *v, bool promiscuous);
/* Whether the driver wants the frame that begins with these 16 bytes. */
bool virtio_net_wants(struct virtio_net *v, const uint8_t head[16]);

static inline struct virtio_net *virtio_net_of_nic(struct nic *nic)
{
	return (struct virtio_net *)((char *)nic -
				     offsetof(struct virtio_net, nic));
}

/* Bits of the status in the configuration space; from any thread. */
static inline bool virtio_net_status(struct virtio_net *v, uint8_t bit)
{
	return __atomic_load_n(&v->virtio.config[NET_CFG_STATUS],
			       __ATOMIC_SEQ_CST) & bit;
}

/* Whether that changes it. */
static inline bool virtio_net_set_status(struct virtio_net *v, uint8_t bit,
					 bool on)
{
	uint8_t *status = &v->virtio.config[NET_CFG_STATUS];
	uint8_t before;

	if (on)
		before = __atomic_fetch_or(status, bit, __ATOMIC_SEQ_CST);
	else
		before = __atomic_fetch_and(status, (uint8_t)~bit,
					    __ATOMIC_SEQ_CST);
	return !(before & bit) == on;
}

#endif
