/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/uplink_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "host/linux/passing.h"
#include "vm/host.h"

#define AGAIN_MS  500 /* between two tries to find a switch */
#define NS_PER_MS 1000000

static struct uplink *of_net(struct net *net)
{
	return (struct uplink *)net;
}

/* --- from the card ------------------------------------------------------------------ */

/* Held: the lock; connected. */
static void wake_switch(struct uplink *u)
{
	const char byte = 0;

	/* A full socket has enough to wake it. */
	if (u->told && lane_wakes_reader(&u->connection.rings.to_switch) &&
	    send(u->connection.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN)
		shutdown(u->connection.fd, SHUT_RDWR);
	u->told = false;
}

/* Held: the lock; connected. */
static bool send_up(struct uplink *u, const struct nic_frame *frame)
{
	struct lane *ring = &u->connection.rings.to_switch;
	uint8_t *to = lane_place(ring, frame->size);

	if (!to && lane_starve(ring, frame->size))
		to = lane_place(ring, frame->size);
	u->told = true;
	if (!to) {
		u->full = !ring->broken;
		wake_switch(u);
		return ring->broken;
	}
	nic_frame_read(frame, 0, to, frame->size);
	lane_put(ring, frame);
	return true;
}

/* Held: the lock. NULL: the switch's. */
static struct shortcut *find_way(struct uplink *u,
				 const struct nic_frame *frame)
{
	const uint32_t size =
		frame->size < CLAIMS_HEAD ? frame->size : CLAIMS_HEAD;
	uint8_t head[CLAIMS_HEAD];
	unsigned int i = 0;

	if (!u->shortcuts)
		return NULL;
	nic_frame_read(frame, 0, head, size);
	while (i < u->shortcuts && !shortcut_leads(u->shortcut[i], head, size))
		i++;
	if (i == u->shortcuts)
		return NULL;
	/* Frames stay in order: those before go first. */
	if (!u->shortcut[i]->open)
		u->shortcut[i]->open =
			lane_drained(&u->connection.rings.to_switch);
	return u->shortcut[i]->open ? u->shortcut[i] : NULL;
}

/* Held: the lock. */
static bool send_across(struct uplink *u, struct shortcut *way,
			const struct nic_frame *frame)
{
	if (shortcut_send(way, frame))
		return true;
	u->full = true;
	if (!atomic_exchange(&u->timed, true))
		poll_thread_wake(&u->thread);
	return false;
}

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct uplink *u = of_net(net);
	struct shortcut *way;
	bool over = true;

	pthread_mutex_lock(&u->lock);
	if (u->connection.fd >= 0) {
		way = find_way(u, frame);
		over = way ? send_across(u, way, frame) : send_up(u, frame);
	}
	pthread_mutex_unlock(&u->lock);
	return over;
}

static void flush(struct net *net, unsigned int queue)
{
	struct uplink *u = of_net(net);

	pthread_mutex_lock(&u->lock);
	if (u->connection.fd >= 0)
		wake_switch(u);
	for (unsigned int i = 0; i < u->shortcuts; i++)
		shortcut_flush(u->shortcut[i]);
	pthread_mutex_unlock(&u->lock);
}

static void room(struct net *net)
{
	struct uplink *u = of_net(net);

	atomic_store(&u->has_room, true);
	poll_thread_wake(&u->thread);
}

/* --- which rings there are: on the thread ---------------------------------------------- */

static void set_link(struct uplink *u, bool up)
{
	u->net.link = up;
	u->net.nic->ops->link(u->net.nic, up);
}

static void send_again(struct uplink *u)
{
	bool again;

	pthread_mutex_lock(&u->lock);
	again = u->full;
	u->full = false;
	atomic_store(&u->timed, false);
	pthread_mutex_unlock(&u->lock);
	if (again)
		u->net.nic->ops->again(u->net.nic);
}

/* Held: `taking`, and nobody sends. */
static void end_shortcut(struct uplink *u, unsigned int i)
{
	struct shortcut *way = u->shortcut[i];

	u->shortcut[i] = u->shortcut[--u->shortcuts];
	inbox_remove(&u->inbox, way->in);
	shortcut_end(way);
}

/* What has come by it goes to the card yet, as far as that has room. */
static void leave_shortcut(struct uplink *u, unsigned int i)
{
	uplink_stop_taking(u);
	uplink_drain(u, u->shortcut[i]);
	pthread_mutex_lock(&u->lock);
	end_shortcut(u, i);
	pthread_mutex_unlock(&u->lock);
	uplink_let_take(u);
	send_again(u);
}

static void leave_shortcut_to(struct uplink *u, const uint8_t mac[NIC_MAC])
{
	for (unsigned int i = 0; i < u->shortcuts; i++)
		if (!memcmp(u->shortcut[i]->other.mac, mac, NIC_MAC)) {
			leave_shortcut(u, i);
			return;
		}
}

/* Those that are broken, or that the other side has left. */
static void leave_gone(struct uplink *u)
{
	for (unsigned int i = u->shortcuts; i--;)
		if (atomic_load(&u->shortcut[i]->gone))
			leave_shortcut(u, i);
}

/* True: `fd` is taken. */
static bool take_shortcut(struct uplink *u, const struct wire_shortcut *said,
			  int fd)
{
	struct shortcut *way;
	int err;

	leave_shortcut_to(u, said->other.mac);
	if (said->what != WIRE_SHORTCUT || fd < 0 ||
	    u->shortcuts == SHORTCUT_MAX)
		return false;
	err = shortcut_begin(&way, said, fd);
	if (err) {
		host_log(HOST_LOG_DEBUG, "net: a shortcut: %s", strerror(-err));
		return false;
	}
	uplink_stop_taking(u);
	pthread_mutex_lock(&u->lock);
	u->shortcut[u->shortcuts++] = way;
	inbox_add(&u->inbox, way->in);
	pthread_mutex_unlock(&u->lock);
	uplink_let_take(u);
	return true;
}

/* Held: `taking`, and nobody sends. */
static void disconnect(struct uplink *u)
{
	while (u->shortcuts)
		end_shortcut(u, u->shortcuts - 1);
	u->inbox.count = 0;
	connect_end(&u->connection);
}

static void lose(struct uplink *u)
{
	host_log(HOST_LOG_WARN, "net %s=%s: its switch is gone",
		 u->config->mode->name, u->config->subject);
	uplink_stop_taking(u);
	pthread_mutex_lock(&u->lock);
	disconnect(u);
	pthread_mutex_unlock(&u->lock);
	uplink_let_take(u);
	set_link(u, false);
	send_again(u);
}

int uplink_connect(struct uplink *u, struct net_error *error)
{
	struct connection connection = { .fd = -1 };

	if (connect_switch(&connection, u->use.folder, u->config->subject,
			   &u->hello, error))
		return -1;
	pthread_mutex_lock(&u->taking);
	pthread_mutex_lock(&u->lock);
	u->connection = connection;
	inbox_add(&u->inbox, &u->connection.rings.to_machine);
	pthread_mutex_unlock(&u->lock);
	pthread_mutex_unlock(&u->taking);
	return 0;
}

static void reconnect(struct uplink *u)
{
	struct pollfd fd = { .fd = u->thread.wake, .events = POLLIN };
	struct net_error error;

	if (!uplink_connect(u, &error)) {
		set_link(u, true);
		return;
	}
	host_log(HOST_LOG_DEBUG, "net: %s", error.text);
	if (poll(&fd, 1, AGAIN_MS) > 0)
		poll_thread_clear(&u->thread);
}

/* --- the thread ------------------------------------------------------------------------ */

/* What the switch says: of a shortcut, or that there is news, or nothing any
 * more. */
static bool hear(struct uplink *u)
{
	struct wire_shortcut said;
	int fd;
	ssize_t size = passing_receive(u->connection.fd, &said, sizeof(said),
				       &fd, MSG_DONTWAIT);

	if (size == sizeof(said) && take_shortcut(u, &said, fd))
		return true;
	if (fd >= 0)
		close(fd);
	if (!size || (size < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (size > 0)
		send_again(u);
	return true;
}

/* False: a processor has it, and wakes the thread when it leaves it. */
static bool try_taking(struct uplink *u)
{
	if (!pthread_mutex_trylock(&u->taking))
		return true;
	atomic_store(&u->missed, true);
	return !pthread_mutex_trylock(&u->taking);
}

/*
 * More comes soon when much has come, and to be told of it costs who sends
 * more than it costs to look. A processor that halts meanwhile takes it.
 */
static void look_for_more(struct uplink *u)
{
	const uint64_t until = eager_now() + EAGER_ANSWER_NS;

	do
		host_yield();
	while (!inbox_more(&u->inbox) && !atomic_load(&u->thread.ending) &&
	       eager_now() < until);
}

/* Held: `taking`. Frames of the rings. True: not to sleep now. */
static bool take_frames(struct uplink *u, enum lane_state *state)
{
	bool blocked;

	atomic_store(&u->has_room, false);
	*state = uplink_deliver(u, &blocked);
	turns_took(&u->turns, u->frames, u->bytes);
	if (blocked)
		return atomic_load(&u->has_room);
	if (*state != LANE_EMPTY)
		return true;
	if (!u->frames || !turns_are_heavy(&u->turns))
		return inbox_sleep(&u->inbox);
	atomic_store(&u->looks, true);
	return true;
}

/* What has come on the sockets, of which the first is the switch's. */
static void hear_all(struct uplink *u, const struct pollfd *fd, bool taken)
{
	bool news = false;

	for (unsigned int i = 0; i < u->shortcuts; i++) {
		if (!fd[1 + i].revents)
			continue;
		news = true;
		if (!shortcut_hear(u->shortcut[i]))
			atomic_store(&u->shortcut[i]->gone, true);
	}
	/* One that does not know LANE_WATCHED. */
	if ((fd[0].revents || news) && !taken)
		inbox_disturb(&u->inbox);
	if (news)
		send_again(u);
	leave_gone(u);
	if (fd[0].revents && !hear(u))
		lose(u);
}

static int timeout(const struct uplink *u, bool more, bool ticks)
{
	if (more || atomic_load(&u->thread.ending))
		return 0;
	if (ticks)
		return TURNS_TICK_MS;
	return atomic_load(&u->timed) ? (int)(PATIENCE_MOST / NS_PER_MS) : -1;
}

static void work(struct uplink *u)
{
	struct pollfd fd[2 + SHORTCUT_MAX] = {
		{ .fd = u->thread.wake, .events = POLLIN },
		{ .fd = u->connection.fd, .events = POLLIN },
	};
	enum lane_state state = LANE_EMPTY;
	const bool ticks = turns_are_taken(&u->turns);
	bool taken, more = false;
	int result;

	if (!ticks && atomic_load(&u->looks))
		look_for_more(u);
	atomic_store(&u->looks, ticks);
	taken = !ticks && try_taking(u);
	if (taken) {
		more = take_frames(u, &state);
		pthread_mutex_unlock(&u->taking);
	}
	if (state == LANE_BROKEN) {
		lose(u);
		return;
	}
	for (unsigned int i = 0; i < u->shortcuts; i++)
		fd[2 + i] = (struct pollfd){ .fd = u->shortcut[i]->fd,
					     .events = POLLIN };
	result = poll(fd, 2 + u->shortcuts, timeout(u, more, ticks));
	if (result < 0)
		return;
	inbox_awake(&u->inbox);
	if (fd[0].revents)
		poll_thread_clear(&u->thread);
	if (!result && atomic_load(&u->timed))
		send_again(u);
	hear_all(u, fd + 1, taken);
}

static void run(void *ctx)
{
	struct uplink *u = ctx;

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
	struct uplink *u = of_net(net);

	/* `closing` is the thread's while it runs. */
	if (u->thread.thread.started)
		return;
	atomic_store(&u->closing, false);
	poll_thread_start(&u->thread, "net-switch", run, u);
}

static void part(struct net *net)
{
	struct uplink *u = of_net(net);

	poll_thread_stop(&u->thread);
	uplink_stop_taking(u);
	pthread_mutex_unlock(&u->taking);
	u->full = false;
}

static void close_net(struct net *net)
{
	struct uplink *u = of_net(net);

	disconnect(u);
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

/* --- making it ------------------------------------------------------------------------------ */

struct uplink *uplink_create(const struct net_config *config,
			     struct net_error *error)
{
	struct uplink *u = calloc(1, sizeof(*u));
	int err;

	if (!u) {
		net_error_set(error, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&u->lock, NULL);
	pthread_mutex_init(&u->taking, NULL);
	u->idle = uplink_idle;
	u->net = (struct net){
		.ops = &switch_ops,
		.link = true,
		.can = NIC_CAN_ALL,
		.device = config->subject,
		.idle = host_can_watch() ? &u->idle : NULL,
	};
	u->config = config;
	u->connection.fd = u->use.fd = u->use.folder = -1;
	err = poll_thread_open(&u->thread);
	if (!err)
		return u;
	close_net(&u->net);
	net_error_set(error, "eventfd: %s", strerror(-err));
	return NULL;
}
