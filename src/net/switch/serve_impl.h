/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the switch's process: serve.c has the machines' ports,
 * serve_router.c the network's own, serve_shortcut.c what machines exchange
 * without it.
 *
 * Locks, in this order: `lines` is read by who wakes machines and written by
 * who lets one go; `lock` is held by who is at the core. Nobody is woken with
 * `lock` held: who wakes may have to wait for its processor.
 */
#ifndef LODGE_NET_SWITCH_SERVE_IMPL_H
#define LODGE_NET_SWITCH_SERVE_IMPL_H

#include <arpa/inet.h>
#include <pthread.h>

#include "host/linux/thread.h"
#include "net/switch/core.h"
#include "net/switch/lane.h"
#include "vm/host.h"

#define SERVE_GUESTS 16 /* connections that have not said hello */

/* A machine's card. */
struct line {
	struct serve *serve;
	unsigned int port;
	int fd; /* -1: none */
	struct thread thread;
	_Atomic bool over; /* the thread is to end */
	bool eager;	   /* it looks before it sleeps */
	struct lane_pair rings;
	bool told; /* it was given frames */
	unsigned int lost; /* addresses, that were seen (guard.h) */
	uint8_t head[GUARD_HEAD]; /* of the frame that is being taken */
	struct core_frame frame;
	struct net_publish *publish; /* ports that lead to it */
	unsigned int publishes;
};

/* Two ports that exchange frames. */
struct serve_pair {
	uint64_t tried; /* ms, to give them a shortcut; 0: never */
	uint64_t since; /* ms, when `frames` began to count */
	unsigned int frames;
};

struct serve {
	struct network network;
	struct core core;
	int folder, listener;
	bool had; /* machines */
	pthread_rwlock_t lines;
	pthread_mutex_t lock;
	struct line line[CORE_PORTS];
	int guest[SERVE_GUESTS];
	struct serve_shortcut *shortcut; /* a list */
	struct serve_pair pair[CORE_PORTS][CORE_PORTS]; /* the smaller first */

	/* Port 0. */
	struct net_config config;
	struct net *router; /* NULL: there is none */
	struct nic nic;	    /* what the router takes for a card */
	bool sent;	    /* to the router, since it was told */
	unsigned int from;  /* whose frame is being taken */
};

/* Lines that were given frames. */
struct serve_told {
	unsigned int count;
	uint8_t port[CORE_PORTS];
};

/* Held: the lock. Who is to be told, without it; the router is. */
void serve_find_told(struct serve *serve, struct serve_told *told);

/* Held: `lines`, since they were found. */
void serve_tell(struct serve *serve, const struct serve_told *told);

/*
 * Shortcuts. Held: the lock, here and below; and `lines`, or it is the main
 * thread. A frame has gone from a machine to one other: whether they are to
 * have a shortcut now.
 */
bool serve_note(struct serve *serve, unsigned int from, unsigned int to,
		const struct core_frame *frame, uint64_t now);
/* Gives them one if that is possible. */
void serve_join(struct serve *serve, unsigned int a, unsigned int b);
/* Ends those of the port; those of machines that have rules. */
void serve_part(struct serve *serve, unsigned int port);
void serve_part_ruled(struct serve *serve);
/* What went over them until now is counted, as if it had gone by the switch. */
void serve_count(struct serve *serve);

/* Port 0: the router's, or of who answers in its place. 0, or -1. */
int serve_open_own_port(struct serve *serve, struct net_error *error);

static inline uint64_t serve_now_ms(void)
{
	return host_monotonic_ns() / 1000000u;
}

static inline struct in_addr serve_to_net(uint32_t address)
{
	return (struct in_addr){ htonl(address) };
}

#endif
