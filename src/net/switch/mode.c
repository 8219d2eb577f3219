/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/mode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/poll_thread.h"
#include "net/address.h"
#include "net/network_store.h"
#include "net/switch/connect.h"
#include "net/tap.h"
#include "vm/host.h"

#define BATCH	  64  /* frames between two looks at whether to end */
#define AGAIN_MS  500 /* between two tries to find a switch */

struct switch_net {
	struct net net;
	const struct net_config *config;
	struct network_use use;
	struct wire_hello hello;
	struct poll_thread thread;
	_Atomic bool has_room; /* the card has said so */

	pthread_mutex_t lock; /* sending, and which connection it is */
	struct connection connection;
	bool full; /* send() has said "later" */

	/*
	 * To take frames to the card, and which connection it is; before
	 * `lock`. A halted processor keeps it while it sleeps (host_idle):
	 * the thread then leaves the ring to it, until it says `closing`.
	 */
	pthread_mutex_t taking;
	struct host_idle idle;
	_Atomic bool closing;
	_Atomic bool missed; /* the thread found it taken, and sleeps */
	bool told; /* the card was given frames */
};

static struct switch_net *of_net(struct net *net)
{
	return (struct switch_net *)net;
}

/* --- from the card ------------------------------------------------------------------ */

/* Held: the lock; connected. */
static void wake_switch(struct switch_net *u)
{
	const char byte = 0;

	/* A full socket has enough to wake it. */
	if (lane_wakes_reader(&u->connection.rings.to_switch) &&
	    send(u->connection.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN)
		shutdown(u->connection.fd, SHUT_RDWR);
}

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct switch_net *u = of_net(net);
	struct lane *ring = &u->connection.rings.to_switch;
	uint8_t *to = NULL;
	bool over = true;

	pthread_mutex_lock(&u->lock);
	if (u->connection.fd >= 0) {
		to = lane_place(ring, frame->size);
		if (!to && lane_starve(ring, frame->size))
			to = lane_place(ring, frame->size);
		if (to) {
			nic_frame_read(frame, 0, to, frame->size);
			lane_put(ring, frame);
		} else {
			over = ring->broken;
			u->full = !over;
			wake_switch(u);
		}
	}
	pthread_mutex_unlock(&u->lock);
	return over;
}

static void flush(struct net *net, unsigned int queue)
{
	struct switch_net *u = of_net(net);

	pthread_mutex_lock(&u->lock);
	if (u->connection.fd >= 0)
		wake_switch(u);
	pthread_mutex_unlock(&u->lock);
}

static void room(struct net *net)
{
	struct switch_net *u = of_net(net);

	atomic_store(&u->has_room, true);
	poll_thread_wake(&u->thread);
}

/* --- to the card, on the thread ------------------------------------------------------- */

/* The ring's frames. LANE_FRAME: the card has no room, or that were many. */
static enum lane_state deliver(struct switch_net *u, bool *blocked)
{
	struct lane *ring = &u->connection.rings.to_machine;
	struct nic *nic = u->net.nic;
	enum lane_state state = LANE_EMPTY;
	struct nic_frame frame;
	const uint8_t *bytes;

	*blocked = false;
	for (unsigned int i = 0; i < BATCH && !*blocked; i++) {
		struct span span;

		state = lane_peek(ring, &frame, &bytes);
		if (state != LANE_FRAME)
			break;
		span = (struct span){ (void *)bytes, frame.size };
		frame.span = &span;
		frame.spans = 1;
		*blocked = !nic->ops->receive(nic, &frame);
		if (*blocked)
			break;
		u->told = true;
		lane_take(ring, frame.size);
	}
	if (u->told) {
		nic->ops->flush(nic);
		lane_wakes_waiter(ring);
	}
	u->told = false;
	return state;
}

/* --- to the card, by a halted processor ------------------------------------------------ */

static struct switch_net *of_idle(struct host_idle *idle)
{
	return (struct switch_net *)((char *)idle -
				     offsetof(struct switch_net, idle));
}

static void leave_taking(struct switch_net *u, bool wake)
{
	pthread_mutex_unlock(&u->taking);
	if (atomic_exchange(&u->missed, false) || wake)
		poll_thread_wake(&u->thread);
}

static bool begin_idle(struct host_idle *idle, struct host_watch *watch)
{
	struct switch_net *u = of_idle(idle);
	struct lane *ring = &u->connection.rings.to_machine;

	if (atomic_load(&u->closing) || pthread_mutex_trylock(&u->taking))
		return false;
	if (!atomic_load(&u->closing) && u->connection.fd >= 0 &&
	    lane_watch(ring)) {
		*watch = (struct host_watch){ .word = &ring->shared->asleep,
					      .value = LANE_WATCHED };
		return true;
	}
	leave_taking(u, false);
	return false;
}

static bool work_idle(struct host_idle *idle)
{
	struct switch_net *u = of_idle(idle);
	bool blocked;

	return !atomic_load(&u->closing) &&
	       deliver(u, &blocked) == LANE_EMPTY &&
	       lane_watch_again(&u->connection.rings.to_machine);
}

static void end_idle(struct host_idle *idle)
{
	struct switch_net *u = of_idle(idle);

	leave_taking(u, lane_unwatch(&u->connection.rings.to_machine));
}

/*
 * Locks `taking`: a processor that has it gives it up, and takes it no more
 * before let_take(). On the thread, or when that has ended.
 */
static void stop_taking(struct switch_net *u)
{
	atomic_store(&u->closing, true);
	if (u->connection.fd >= 0)
		lane_disturb(&u->connection.rings.to_machine);
	pthread_mutex_lock(&u->taking);
}

static void let_take(struct switch_net *u)
{
	pthread_mutex_unlock(&u->taking);
	atomic_store(&u->closing, false);
}

/* --- the thread ------------------------------------------------------------------------ */

static void set_link(struct switch_net *u, bool up)
{
	u->net.link = up;
	u->net.nic->ops->link(u->net.nic, up);
}

static void send_again(struct switch_net *u)
{
	bool again;

	pthread_mutex_lock(&u->lock);
	again = u->full;
	u->full = false;
	pthread_mutex_unlock(&u->lock);
	if (again)
		u->net.nic->ops->again(u->net.nic);
}

static void lose(struct switch_net *u)
{
	host_log(HOST_LOG_WARN, "net %s=%s: its switch is gone",
		 u->config->mode->name, u->config->subject);
	stop_taking(u);
	pthread_mutex_lock(&u->lock);
	connect_end(&u->connection);
	pthread_mutex_unlock(&u->lock);
	let_take(u);
	set_link(u, false);
	send_again(u);
}

static void reconnect(struct switch_net *u)
{
	struct pollfd fd = { .fd = u->thread.wake, .events = POLLIN };
	struct connection connection = { .fd = -1 };
	struct net_error error;

	if (connect_switch(&connection, u->use.folder, u->config->subject,
			   &u->hello, &error)) {
		host_log(HOST_LOG_DEBUG, "net: %s", error.text);
		if (poll(&fd, 1, AGAIN_MS) > 0)
			poll_thread_clear(&u->thread);
		return;
	}
	pthread_mutex_lock(&u->taking);
	pthread_mutex_lock(&u->lock);
	u->connection = connection;
	pthread_mutex_unlock(&u->lock);
	pthread_mutex_unlock(&u->taking);
	set_link(u, true);
}

/* What the switch says: that there is news, or nothing any more. */
static bool hear(struct switch_net *u)
{
	char bytes[16];
	ssize_t size = recv(u->connection.fd, bytes, sizeof(bytes),
			    MSG_DONTWAIT);

	if (!size || (size < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (size > 0)
		send_again(u);
	return true;
}

/* False: a processor has it, and wakes the thread when it leaves it. */
static bool try_taking(struct switch_net *u)
{
	if (!pthread_mutex_trylock(&u->taking))
		return true;
	atomic_store(&u->missed, true);
	return !pthread_mutex_trylock(&u->taking);
}

/* Frames of the ring. True: not to sleep now. */
static bool take_frames(struct switch_net *u, enum lane_state *state)
{
	struct lane *ring = &u->connection.rings.to_machine;
	bool blocked;

	atomic_store(&u->has_room, false);
	*state = deliver(u, &blocked);
	if (blocked)
		return atomic_load(&u->has_room);
	return *state != LANE_EMPTY || lane_sleep(ring);
}

static void work(struct switch_net *u)
{
	struct pollfd fd[2] = { { .fd = u->thread.wake, .events = POLLIN },
				{ .fd = u->connection.fd, .events = POLLIN } };
	enum lane_state state = LANE_EMPTY;
	struct lane *ring = &u->connection.rings.to_machine;
	bool taken = try_taking(u), more = false;

	if (taken) {
		more = take_frames(u, &state);
		pthread_mutex_unlock(&u->taking);
	}
	if (state == LANE_BROKEN) {
		lose(u);
		return;
	}
	if (poll(fd, 2, more || atomic_load(&u->thread.ending) ? 0 : -1) < 0)
		return;
	lane_awake(ring);
	if (fd[0].revents)
		poll_thread_clear(&u->thread);
	if (fd[1].revents && !hear(u))
		lose(u);
	else if (fd[1].revents && !taken)
		lane_disturb(ring); /* one that does not know LANE_WATCHED */
}

static void run(void *ctx)
{
	struct switch_net *u = ctx;

	while (!atomic_load(&u->thread.ending)) {
		if (u->connection.fd < 0)
			reconnect(u);
		else
			work(u);
	}
}

/* --- the net ----------------------------------------------------------------------------- */

static void start(struct net *net)
{
	struct switch_net *u = of_net(net);

	/* `closing` is the thread's while it runs. */
	if (u->thread.thread.started)
		return;
	atomic_store(&u->closing, false);
	poll_thread_start(&u->thread, "net-switch", run, u);
}

static void part(struct net *net)
{
	struct switch_net *u = of_net(net);

	poll_thread_stop(&u->thread);
	stop_taking(u);
	pthread_mutex_unlock(&u->taking);
	u->full = false;
}

static void close_net(struct net *net)
{
	struct switch_net *u = of_net(net);

	connect_end(&u->connection);
	network_use_end(&u->use);
	poll_thread_close(&u->thread);
	pthread_mutex_destroy(&u->taking);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static const struct net_ops switch_ops = {
	.send = send_frame,
	.flush = flush,
	.room = room,
	.start = start,
	.part = part,
	.close = close_net,
};

/* --- opening it --------------------------------------------------------------------------- */

/* Its tag; -1: it is none. Without one the network's own. */
static int tag_of(const struct net_config *config, uint16_t otherwise)
{
	const char *text = net_word(config, "vlan");
	size_t digits = text ? strspn(text, "0123456789") : 0;
	int tag = digits && digits < 5 && !text[digits] ? atoi(text) : 0;

	return !text ? otherwise :
	       tag && tag <= NETWORK_VLAN_MAX ? tag : -1;
}

static int check(const struct net_config *config, struct net_error *error)
{
	const char *address = net_word(config, "address");
	struct in_addr in;

	if (!network_name_valid(config->subject))
		return net_error_set(error, "%s: give the name of a network; "
				     "lodge net list shows them",
				     config->subject);
	if (address && inet_pton(AF_INET, address, &in) != 1)
		return net_error_set(error, "address=%s: give an IPv4 address "
				     "of the network, such as 10.89.0.5",
				     address);
	if (tag_of(config, 0) < 0)
		return net_error_set(error, "vlan=%s: give 1 to %d",
				     net_word(config, "vlan"),
				     NETWORK_VLAN_MAX);
	return 0;
}

static const struct net_mode *settle(const struct net_config *config)
{
	const struct net_mode *mode = config->mode;
	struct network_store store;
	struct network network;
	struct net_error error;

	if (network_store_open(&store, &error))
		return mode;
	if (!network_store_find(&store, config->subject, &network, &error) &&
	    network.backing == NETWORK_BRIDGE)
		mode = &net_bridge_mode;
	network_store_close(&store);
	return mode;
}

/* What the switch is asked for. */
static int fill_hello(struct wire_hello *hello,
		      const struct net_config *config,
		      const struct network *network, struct net_error *error)
{
	const char *address = net_word(config, "address");
	char text[NETWORK_SUBNET];
	struct in_addr in;

	hello->what = WIRE_PORT;
	memcpy(hello->mac, config->mac, NIC_MAC);
	snprintf(hello->machine, sizeof(hello->machine), "%s",
		 config->machine);
	hello->vlan = (uint16_t)tag_of(config, network->vlan);
	if (address) {
		inet_pton(AF_INET, address, &in);
		hello->address = ntohl(in.s_addr);
		if (!network->has4)
			return net_error_set(error, "address=%s: it has no "
					     "subnet of IPv4", address);
		if (!network_host4(network, hello->address))
			return net_error_set(error, "address=%s: give one of "
					     "%s, behind its first two",
					     address,
					     network_subnet4(network, text));
	}
	if (config->publishes && network->kind != NETWORK_NAT)
		return net_error_set(error, "--publish: nothing leads into a "
				     "network of kind %s; kind nat has a way "
				     "in", network_kinds[network->kind]);
	hello->publishes = config->publishes;
	for (unsigned int i = 0; i < config->publishes; i++)
		address_publish(hello->publish[i], &config->publish[i]);
	return 0;
}

/* With `u` zero but for its descriptors. */
static int join(struct switch_net *u, struct net_error *error)
{
	const struct net_config *config = u->config;
	struct network_store store;
	struct network network;
	int err;

	if (network_store_open(&store, error))
		return -1;
	err = network_use_begin(&store, config->subject, config->machine,
				config->mac, &network, &u->use, error);
	network_store_close(&store);
	if (err)
		return -1;
	if (network.backing != NETWORK_SWITCH)
		return net_error_set(error, "it is a bridge of the kernel's; "
				     "give --net network=%s", network.name);
	if (!config->mtu_given)
		u->net.mtu = network.mtu;
	if (fill_hello(&u->hello, config, &network, error))
		return -1;
	return connect_switch(&u->connection, u->use.folder, config->subject,
			      &u->hello, error);
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct switch_net *u = calloc(1, sizeof(*u));
	struct net_error why;
	int err;

	if (!u)
		return net_error_set(error, "out of memory");
	pthread_mutex_init(&u->lock, NULL);
	pthread_mutex_init(&u->taking, NULL);
	u->idle = (struct host_idle){ begin_idle, work_idle, end_idle };
	if (host_can_watch())
		u->net.idle = &u->idle;
	u->net.ops = &switch_ops;
	u->net.link = true;
	u->net.can = NIC_CAN_ALL;
	u->net.device = config->subject;
	u->config = config;
	u->connection.fd = u->use.fd = u->use.folder = -1;
	err = poll_thread_open(&u->thread);
	if (err) {
		net_error_set(&why, "eventfd: %s", strerror(-err));
	} else if (!join(u, &why)) {
		*out = &u->net;
		return 0;
	}
	close_net(&u->net);
	return net_error_set(error, "--net %s=%s: %.180s", config->mode->name,
			     config->subject, why.text);
}

static const struct net_option switch_options[] = {
	{ "address", "ADDRESS" },
	{ "vlan", "TAG" },
};

#define OPTIONS (sizeof(switch_options) / sizeof(switch_options[0]))

const struct net_mode net_switch_mode = {
	.name = "switch",
	.subject = "NAME",
	.options = switch_options,
	.option_count = OPTIONS,
	.can_publish = true,
	.check = check,
	.open = open_net,
};

const struct net_mode net_network_mode = {
	.name = "network",
	.subject = "NAME",
	.options = switch_options,
	.option_count = OPTIONS,
	.can_publish = true,
	.check = check,
	.settle = settle,
	.open = open_net,
};
