/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of datagrams beside a stack. The stack (libslirp) opens a socket of the
 * host's for each port of a guest's, on the first datagram from there, and
 * decides what may go where: so that one goes through it, and each that differs
 * from the one before in its target, in its time to live or in who sends it.
 * Those that are alike go on that socket directly, many as one where the host
 * can cut them (UDP_SEGMENT), and answers are taken from it many at a time; the
 * stack takes two system calls to send and four to receive one.
 *
 * Once a second one of them still goes through the stack, or comes, that it
 * does not take the flow for ended. It alone hears of errors.
 *
 * Of one thread.
 */
#ifndef LODGE_NET_FLOW_H
#define LODGE_NET_FLOW_H

#include <sys/socket.h>

#include "net/udp.h"

#define FLOW_BUCKETS 256u
#define FLOW_BATCH   32u /* datagrams; the host cuts up to 64 */
#define FLOW_PASS_MS 1000

/* The stack's plan of one family; IPv4's addresses mapped: udp_map4(). */
struct flow_network {
	struct in6_addr network, mask, host;
};

/* Both, and ways to the stack and to the guest. */
struct flow_ends {
	struct flow_network v4, v6;
	void *ctx;
	void (*input)(void *ctx, const void *frame, size_t size);
	void (*deliver)(void *ctx, const void *frame, size_t size);
};

/* On the host. */
union flow_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct flow;

/* Zero but for `ends`. */
struct flows {
	struct flow_ends ends;
	int64_t now; /* ms, as its owner last said */
	struct flow *bucket[FLOW_BUCKETS];
	struct flow **of_fd; /* by descriptor */
	unsigned int fds;
	unsigned int unsure; /* times that flows may have changed unseen */
	const struct udp_datagram *opening; /* what the stack is given now */

	/* What waits to be sent, alike. */
	struct flow *to;
	unsigned int count;
	size_t size; /* of all their data */
	struct udp_datagram waiting[FLOW_BATCH];

	/* What has come. */
	uint8_t *room;
	uint16_t id;
	struct mmsghdr message[FLOW_BATCH];
	struct iovec part[FLOW_BATCH];
	union flow_address sender[FLOW_BATCH];
};

/* None is open any more. */
void flows_close(struct flows *flows);

/*
 * A frame of the guest's goes to the stack or beside it. It stays where it is
 * until flows_send(). False: it is no datagram, it is the owner's to give to
 * the stack, and what waited is sent.
 */
bool flows_input(struct flows *flows, const void *frame, size_t size);

/* Sends what waits. */
void flows_send(struct flows *flows);

/* The stack has opened a socket, or is about to close one: any. */
void flow_open(struct flows *flows, int fd);
void flow_close(struct flows *flows, int fd);

/* Datagrams from this port of a guest's are the stack's from now on. */
void flow_leave(struct flows *flows, uint16_t port);

/*
 * Takes what a socket has for the guest. False: that is the stack's to do.
 */
bool flow_receive(struct flows *flows, int fd);

#endif
