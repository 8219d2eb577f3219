/* SPDX-License-Identifier: Apache-2.0 */
#include "net/vhost/front.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vm/host.h"

#define BASE (1ull << 20) /* the memory's address, as the back end has it */

/* Features (virtio 1.2, 5.1.3 and 6). */
#define F(n)		 (1ull << (n))
#define F_CSUM		 F(0)
#define F_GUEST_CSUM	 F(1)
#define F_MTU		 F(3)
#define F_GUEST_TSO4	 F(7)
#define F_GUEST_TSO6	 F(8)
#define F_GUEST_ECN	 F(9)
#define F_HOST_TSO4	 F(11)
#define F_HOST_TSO6	 F(12)
#define F_HOST_ECN	 F(13)
#define F_MRG_RXBUF	 F(15)
#define F_MQ		 F(22)
#define F_VERSION_1	 F(32)

#define WANTED                                                              \
	(F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN |   \
	 F_MRG_RXBUF | F_MQ | F_VERSION_1 | VHOST_F_PROTOCOL)
/* Large ones are taken where they may fill several buffers. */
#define WANTED_MERGED (F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN)

enum { RECEIVES, SENDS };

static struct vhost_ring *ring_of(struct vhost_front *front,
				  unsigned int number)
{
	struct vhost_lane *lane = &front->lane[number / 2];

	return number % 2 == SENDS ? &lane->send : &lane->receive;
}

/* --- memory ------------------------------------------------------------------------- */

/* Bytes of a buffer for whole frames. */
static uint32_t buffer_size(uint16_t mtu)
{
	const uint32_t frame = VHOST_HEADER + NIC_FRAME_MIN + 4 + mtu;

	return (frame + VHOST_SLOT - 1) & ~(VHOST_SLOT - 1);
}

/* A memory file of the front's size, mapped; the descriptor or -errno. */
static int make_memory(struct vhost_front *front)
{
	int fd = memfd_create("vhost-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *map = MAP_FAILED;
	int err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)front->size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		map = mmap(NULL, front->size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
	if (map != MAP_FAILED) {
		front->memory = map;
		return fd;
	}
	err = -errno;
	close(fd);
	return err;
}

/* Tables of all rings, then the buffers of each. */
static int lay_out(struct vhost_front *front, uint64_t features, uint16_t mtu)
{
	const bool merges = features & F_MRG_RXBUF;
	const uint32_t size[] = { merges ? VHOST_SLOT : buffer_size(mtu),
				  VHOST_SLOT };
	const unsigned int rings = 2 * front->pairs;
	size_t at = rings * VHOST_RING_BYTES;
	int fd;

	front->size = at + (size_t)front->pairs * VHOST_RING_SIZE *
				   (size[RECEIVES] + size[SENDS]);
	fd = make_memory(front);
	for (unsigned int i = 0; fd >= 0 && i < rings; i++) {
		struct vhost_ring *ring = ring_of(front, i);

		vhost_ring_init(ring, front->memory + i * VHOST_RING_BYTES,
				front->memory + at, BASE + at, size[i % 2]);
		ring->merges = merges;
		at += (size_t)VHOST_RING_SIZE * size[i % 2];
		if (i % 2 == RECEIVES)
			vhost_ring_offer(ring);
	}
	return fd;
}

static int make_bells(struct vhost_front *front)
{
	for (unsigned int i = 0; i < 2 * front->pairs; i++) {
		struct vhost_lane *lane = &front->lane[i / 2];

		lane->call[i % 2] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (lane->call[i % 2] < 0)
			return -errno;
	}
	return 0;
}

/* --- agreeing ------------------------------------------------------------------------- */

static int ask(struct vhost_link *link, enum vhost_request request,
	       uint64_t *number)
{
	union vhost_payload answer = { 0 };
	int err = vhost_ask(link, request, NULL, 0, &answer,
			    sizeof(answer.number));

	*number = answer.number;
	return err;
}

static int tell(struct vhost_link *link, enum vhost_request request,
		uint64_t number)
{
	const union vhost_payload payload = { .number = number };

	return vhost_send(link, request, &payload, sizeof(payload.number), -1);
}

/* The protocol's own features, and how many pairs there are. */
static int agree_on_protocol(struct vhost_front *front,
			     struct vhost_link *link,
			     const struct vhost_wish *wish)
{
	uint64_t offered, taken, queues = 1;
	int err = ask(link, VHOST_GET_PROTOCOL_FEATURES, &offered);

	if (err)
		return err;
	taken = offered & (VHOST_PROTOCOL_MQ | VHOST_PROTOCOL_REPLY_ACK |
			   VHOST_PROTOCOL_MTU);
	err = tell(link, VHOST_SET_PROTOCOL_FEATURES, taken);
	if (!err && (taken & VHOST_PROTOCOL_MQ) && wish->pairs > 1)
		err = ask(link, VHOST_GET_QUEUE_NUM, &queues);
	if (err)
		return err;
	if (!queues)
		return -EPROTO;
	front->pairs = queues < wish->pairs ? (unsigned int)queues
					    : wish->pairs;
	link->acks = front->acks = taken & VHOST_PROTOCOL_REPLY_ACK;
	return taken & VHOST_PROTOCOL_MTU ?
		       tell(link, VHOST_NET_SET_MTU, wish->mtu) : 0;
}

static unsigned int can_of(uint64_t features)
{
	unsigned int can = features & F_CSUM ? NIC_CAN_SUM : 0;

	if (!can)
		return 0;
	if (features & F_HOST_TSO4)
		can |= NIC_CAN_TCP4;
	if (features & F_HOST_TSO6)
		can |= NIC_CAN_TCP6;
	if (features & F_HOST_ECN)
		can |= NIC_CAN_ECN;
	return can;
}

static int agree(struct vhost_front *front, struct vhost_link *link,
		 const struct vhost_wish *wish, uint64_t *features)
{
	uint64_t offered;
	int err = ask(link, VHOST_GET_FEATURES, &offered);

	if (err)
		return err;
	/* Frames have the header of virtio 1.0 and later. */
	if (!(offered & F_VERSION_1))
		return -EOPNOTSUPP;
	*features = offered & WANTED;
	if (*features & F_MRG_RXBUF)
		*features |= offered & WANTED_MERGED;
	if (!(*features & F_GUEST_CSUM))
		*features &= ~WANTED_MERGED;
	front->pairs = 1;
	if (*features & VHOST_F_PROTOCOL)
		err = agree_on_protocol(front, link, wish);
	if (front->pairs == 1)
		*features &= ~F_MQ;
	front->can = can_of(*features);
	if (!err)
		err = vhost_send(link, VHOST_SET_OWNER, NULL, 0, -1);
	return err ? err : tell(link, VHOST_SET_FEATURES, *features);
}

/* --- starting it ------------------------------------------------------------------------ */

static int share_memory(struct vhost_front *front, struct vhost_link *link,
			int fd)
{
	union vhost_payload payload = { 0 };

	payload.memory.count = 1;
	payload.memory.region[0] = (struct vhost_region){ BASE, front->size,
							  BASE, 0 };
	return vhost_send_sure(link, VHOST_SET_MEM_TABLE, &payload,
			       sizeof(payload.memory), fd);
}

static int set_state(struct vhost_link *link, enum vhost_request request,
		     unsigned int ring, uint32_t number)
{
	union vhost_payload payload = { 0 };

	payload.state.index = ring;
	payload.state.number = number;
	return vhost_send(link, request, &payload, sizeof(payload.state), -1);
}

static int set_addresses(struct vhost_link *link, unsigned int ring)
{
	const uint64_t at = BASE + (uint64_t)ring * VHOST_RING_BYTES;
	union vhost_payload payload = { 0 };

	payload.address.index = ring;
	payload.address.desc = at;
	payload.address.avail = at + VHOST_AVAIL;
	payload.address.used = at + VHOST_USED;
	return vhost_send(link, VHOST_SET_VRING_ADDR, &payload,
			  sizeof(payload.address), -1);
}

static int set_bell(struct vhost_link *link, enum vhost_request request,
		    unsigned int ring, int fd)
{
	const union vhost_payload payload = { .number = ring };

	return vhost_send(link, request, &payload, sizeof(payload.number), fd);
}

/* The other end of what it is told by goes to the back end, and stays there. */
static int set_kick(struct vhost_front *front, struct vhost_link *link,
		    unsigned int ring)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	front->lane[ring / 2].kick[ring % 2] = pair[0];
	err = set_bell(link, VHOST_SET_VRING_KICK, ring, pair[1]);
	close(pair[1]);
	return err;
}

static int start_ring(struct vhost_front *front, struct vhost_link *link,
		      unsigned int ring)
{
	int err = set_state(link, VHOST_SET_VRING_NUM, ring, VHOST_RING_SIZE);

	if (!err)
		err = set_state(link, VHOST_SET_VRING_BASE, ring, 0);
	if (!err)
		err = set_addresses(link, ring);
	if (!err)
		err = set_bell(link, VHOST_SET_VRING_CALL, ring,
			       front->lane[ring / 2].call[ring % 2]);
	return err ? err : set_kick(front, link, ring);
}

/* A back end without the protocol's features has its rings on at once. */
static int enable_rings(struct vhost_front *front, struct vhost_link *link,
			uint64_t features)
{
	union vhost_payload payload = { .state = { 0, 1 } };
	int err = 0;

	for (unsigned int i = 0; (features & VHOST_F_PROTOCOL) && !err &&
				 i < 2 * front->pairs; i++) {
		payload.state.index = i;
		err = vhost_send_sure(link, VHOST_SET_VRING_ENABLE, &payload,
				      sizeof(payload.state), -1);
	}
	return err;
}

static int start_rings(struct vhost_front *front, struct vhost_link *link,
		       uint64_t features)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < 2 * front->pairs; i++)
		err = start_ring(front, link, i);
	if (!err)
		err = enable_rings(front, link, features);
	/* What is offered already is to be seen. */
	for (unsigned int i = 0; !err && i < front->pairs; i++)
		vhost_front_kick(front, i, RECEIVES);
	return err;
}

static void clear(struct vhost_front *front, int fd)
{
	*front = (struct vhost_front){ .fd = fd };
	for (unsigned int i = 0; i < NIC_QUEUES_MAX; i++)
		for (unsigned int k = 0; k < 2; k++)
			front->lane[i].kick[k] = front->lane[i].call[k] = -1;
}

int vhost_front_begin(struct vhost_front *front, int fd,
		      const struct vhost_wish *wish)
{
	struct vhost_link link = {
		.fd = fd,
		.wake = wish->wake,
		.ending = wish->ending,
		.deadline = host_monotonic_ns() + wish->patience,
	};
	uint64_t features = 0;
	int err, memory = -1;

	clear(front, fd);
	err = agree(front, &link, wish, &features);
	if (!err) {
		memory = lay_out(front, features, wish->mtu);
		err = memory < 0 ? memory : make_bells(front);
	}
	if (!err)
		err = share_memory(front, &link, memory);
	if (memory >= 0)
		close(memory);
	if (!err)
		err = start_rings(front, &link, features);
	if (err)
		vhost_front_end(front, 0);
	return err;
}

/* --- and ending ------------------------------------------------------------------------- */

/* Once it has said where it was, it touches the ring no more. */
static void stop_rings(struct vhost_front *front, uint64_t patience)
{
	struct vhost_link link = {
		.fd = front->fd,
		.wake = -1,
		.deadline = host_monotonic_ns() + patience,
	};
	union vhost_payload question = { 0 }, answer;
	int err = 0;

	for (unsigned int i = 0; !err && i < 2 * front->pairs; i++) {
		question.state.index = i;
		err = vhost_ask(&link, VHOST_GET_VRING_BASE, &question,
				sizeof(question.state), &answer,
				sizeof(answer.state));
	}
}

void vhost_front_end(struct vhost_front *front, uint64_t patience)
{
	if (front->fd < 0)
		return;
	if (patience)
		stop_rings(front, patience);
	close(front->fd);
	for (unsigned int i = 0; i < 2 * NIC_QUEUES_MAX; i++) {
		const struct vhost_lane *lane = &front->lane[i / 2];

		if (lane->kick[i % 2] >= 0)
			close(lane->kick[i % 2]);
		if (lane->call[i % 2] >= 0)
			close(lane->call[i % 2]);
	}
	if (front->memory)
		munmap(front->memory, front->size);
	clear(front, -1);
}

/* One that does not look at what it is told has been told enough. */
void vhost_front_kick(struct vhost_front *front, unsigned int lane,
		      unsigned int ring)
{
	const uint64_t one = 1;

	if (send(front->lane[lane].kick[ring], &one, sizeof(one),
		 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

void vhost_front_heard(struct vhost_front *front, unsigned int lane,
		       unsigned int ring)
{
	uint64_t count;
	struct iovec part = { &count, sizeof(count) };

	/* Whoever has made it blocking, this does not wait. */
	if (preadv2(front->lane[lane].call[ring], &part, 1, -1,
		    RWF_NOWAIT) < 0)
		return;
}
