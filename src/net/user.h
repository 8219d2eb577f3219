/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mode "user": the guest behind a network of its own inside this process,
 * on the host's behalf and with no privileges. libslirp plays its router, DHCP
 * and name server, and opens a socket of the host for each connection.
 *
 * The library and what it needs are the extension "user-net", which a thread
 * loads when the guest's driver is there; at once when ports are published,
 * since a port that is taken has to be told.
 */
#ifndef LODGE_NET_USER_H
#define LODGE_NET_USER_H

#include <netinet/in.h>
#include <poll.h>

#include "net/net.h"

extern const struct net_mode net_user_mode;

/* How the guest's network looks. */
struct user_plan {
	struct in_addr network, mask, host, name_server, first;
	struct in6_addr prefix6, host6, name_server6, guest6;
	unsigned int prefix6_length;
	bool restricted;
	bool without4, without6; /* it has none of that family */
};

/* The same, with a plan that was made elsewhere. */
int user_net_open(struct net **net, const struct net_config *config,
		  const struct user_plan *plan, struct net_error *error);

/* Whom a published port leads to. */
struct user_guest {
	struct in_addr address;
	struct in6_addr address6;
};

/*
 * While the net is at work: a port leads there from now on; 0, or a negative
 * errno with the error, after the net's thread has answered. No lock is held that nic_ops
 * of its card take. And it does not any more, from soon on.
 */
int user_net_publish(struct net *net, const struct net_publish *publish,
		     const struct user_guest *guest, struct net_error *error);
void user_net_unpublish(struct net *net, const struct net_publish *publish);

/* --- what the extension gives ---------------------------------------------- */

struct user_stack;

struct user_stack_ops {
	/*
	 * Packets for the guest go to deliver(), on the thread that calls
	 * input() or serve(). NULL: no memory.
	 */
	struct user_stack *(*open)(const struct user_plan *plan,
				   void (*deliver)(void *ctx, const void *frame,
						   size_t size),
				   void *ctx);
	void (*close)(struct user_stack *stack);
	/*
	 * Listens at the host's address, for that port of a guest's. 0 or a
	 * negative errno.
	 */
	int (*forward)(struct user_stack *stack, const struct sockaddr *host,
		       socklen_t size, const struct user_guest *guest,
		       uint16_t guest_port, bool udp);
	/* And not any more. */
	void (*unforward)(struct user_stack *stack,
			  const struct sockaddr *host, socklen_t size,
			  bool udp);
	/* A packet of the guest's, which stays where it is until flush(). */
	void (*input)(struct user_stack *stack, const void *frame,
		      size_t size);
	/* The last one for now: those that waited to go together are sent. */
	void (*flush)(struct user_stack *stack);
	/*
	 * What to wait for: descriptors from index 1 on (0 is the caller's),
	 * and how long in ms, -1 for ever. NULL: no memory.
	 */
	struct pollfd *(*wait)(struct user_stack *stack, unsigned int *count,
			       int *timeout);
	/* After poll(), whose result this is. */
	void (*serve)(struct user_stack *stack, int result);
};

/* The extension's one symbol. */
extern const struct user_stack_ops user_net_stack;

#endif
