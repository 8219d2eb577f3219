/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from the card wait in a ring for the stack's thread; frames for it
 * that it has no room for wait in a list, and the host's sockets with them, so
 * nothing is lost for want of room.
 */
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "host/linux/extension.h"
#include "host/linux/poll_thread.h"
#include "net/address.h"
#include "net/segment.h"
#include "net/user_ring.h"
#include "vm/host.h"

#define BACKLOG_MAX  (4u << 20) /* bytes; what is more is dropped */
#define LOOK_MAX     16u	  /* descriptors; more cost too much to look at */
#define INPUT_BATCH  32	  /* frames between two looks at sockets */

#define DEFAULT_NET  "10.0.2.0/24"
#define DEFAULT_NET6 "fd6c:6f64:6765::/64"
#define NET_BITS_MAX 27 /* DHCP has 16 addresses to give, from 15 on */

struct waiting {
	struct waiting *next;
	size_t size;
	uint8_t frame[];
};

/* A port that is to be published while the thread runs, or not any more. */
struct job {
	struct job *next;
	struct net_publish publish;
	const struct user_guest *guest; /* NULL: not any more */
	struct net_error *error;
	int result; /* 1: not yet; who waits frees it then */
};

enum rest {
	AWAKE,
	LOOKING, /* sees when this changes */
	ASLEEP,	 /* or about to be: is to be woken */
};

struct user_net {
	struct net net;
	struct user_plan plan;
	const struct net_config *config;

	const struct user_stack_ops *ops; /* NULL: not loaded yet */
	struct user_stack *stack;	  /* the thread's, once it runs */
	struct poll_thread thread;
	_Atomic int rest;    /* the thread's: enum rest */
	_Atomic bool has_room; /* the card has said so */

	struct user_ring ring;

	pthread_mutex_t job_lock;
	pthread_cond_t job_done;
	struct job *job;
	bool useless; /* it could not be loaded */

	/* The thread's. */
	struct waiting *first, **last;
	size_t waiting;	      /* bytes */
	bool told;	      /* the card was given frames */
	bool eager;	      /* it looks for a while before it sleeps */
	bool datagrams;	      /* some came or went since it slept */
	uint8_t fragment[NIC_FRAME_MAX];
};

static struct user_net *of_net(struct net *net)
{
	return (struct user_net *)net;
}

static void wake(struct user_net *u)
{
	if (atomic_exchange(&u->rest, AWAKE) == ASLEEP)
		poll_thread_wake(&u->thread);
}

/* --- from the card ------------------------------------------------------------- */

static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	struct user_net *u = of_net(net);

	return !u->ring.bytes ||
	       user_ring_put(&u->ring, frame, u->config->mtu);
}

static void flush(struct net *net, unsigned int queue)
{
	wake(of_net(net));
}

/* --- to the card, on the stack's thread --------------------------------------- */

static bool is_datagram(const void *frame, size_t size)
{
	return nic_frame_protocol(frame, (uint32_t)size) == IPPROTO_UDP;
}

static bool give(struct user_net *u, const void *frame, size_t size)
{
	struct span span[2] = { { (void *)frame, size } };
	uint8_t head[SEGMENT_HEAD];
	struct nic_frame nic_frame = {
		.span = span,
		.spans = 1,
		.size = (uint32_t)size,
		.sum = NIC_SUM_GOOD,
	};

	segment_open(frame, (uint32_t)size, u->config->mtu, head, span,
		     &nic_frame);
	if (!u->net.nic->ops->receive(u->net.nic, &nic_frame))
		return false;
	u->told = true;
	return true;
}

static void put(struct user_net *u, const void *frame, size_t size)
{
	struct waiting *w;

	if (is_datagram(frame, size))
		u->datagrams = true;
	if (size < NIC_FRAME_MIN || size > NIC_FRAME_MAX ||
	    (!u->first && give(u, frame, size)) ||
	    u->waiting + size > BACKLOG_MAX)
		return;
	w = malloc(sizeof(*w) + size);
	if (!w)
		return;
	w->next = NULL;
	w->size = size;
	memcpy(w->frame, frame, size);
	*u->last = w;
	u->last = &w->next;
	u->waiting += size;
}

/* libslirp believes in a larger MTU than the guest has. */
static void deliver(void *ctx, const void *frame, size_t size)
{
	struct user_net *u = ctx;
	const uint8_t *bytes = frame;
	unsigned int mtu = u->config->mtu;
	uint32_t done = 0, part;

	if (size <= NIC_FRAME_MIN + mtu || bytes[23] == IPPROTO_TCP ||
	    !segment_too_long(bytes, (uint32_t)size, mtu)) {
		put(u, frame, size);
		return;
	}
	while ((part = segment_fragment(bytes, (uint32_t)size, mtu, &done,
					u->fragment)))
		put(u, u->fragment, part);
}

static void forget_first(struct user_net *u)
{
	struct waiting *w = u->first;

	u->first = w->next;
	u->waiting -= w->size;
	if (!u->first)
		u->last = &u->first;
	free(w);
}

static void tell_card(struct user_net *u)
{
	while (u->first && give(u, u->first->frame, u->first->size))
		forget_first(u);
	if (u->told)
		u->net.nic->ops->flush(u->net.nic);
	u->told = false;
}

/* --- published ports ----------------------------------------------------------------- */

static void refuse(const struct net_publish *publish,
		   const struct sockaddr_storage *host, int err,
		   struct net_error *error)
{
	char text[ADDRESS_PUBLISH];

	address_publish(text, publish);
	if (err == -EADDRINUSE)
		address_taken(publish, host, error);
	else if (err == -EACCES)
		net_error_set(error, "--publish %s: ports below 1024 "
			      "are the system's; give one above", text);
	else if (err == -EADDRNOTAVAIL)
		net_error_set(error, "--publish %s: is no address of this "
			      "computer; ip address shows those", text);
	else
		net_error_set(error, "--publish %s: %s", text, strerror(-err));
}

/* A host without IPv6 serves the other family alone. */
static bool may_lack(const struct net_publish *publish,
		     const struct sockaddr_storage *host, int err)
{
	return host->ss_family == AF_INET6 && !strchr(publish->host, ':') &&
	       (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT);
}

static int publish_one(struct user_net *u, const struct net_publish *publish,
		       const struct user_guest *guest, struct net_error *error)
{
	struct sockaddr_storage host[ADDRESS_HOSTS];
	unsigned int hosts = address_hosts(publish, host);

	if (publish->udp && u->plan.restricted) {
		char text[ADDRESS_PUBLISH];

		return net_error_set(error, "--publish %s: a restricted "
				     "network answers TCP alone; leave out "
				     "restrict", address_publish(text, publish));
	}
	for (unsigned int i = 0; i < hosts; i++) {
		int err = u->ops->forward(u->stack, (struct sockaddr *)&host[i],
					  address_size(&host[i]), guest,
					  publish->guest, publish->udp);

		if (!err || may_lack(publish, &host[i], err))
			continue;
		while (i--)
			u->ops->unforward(u->stack,
					  (struct sockaddr *)&host[i],
					  address_size(&host[i]),
					  publish->udp);
		refuse(publish, &host[i + 1], err, error);
		return err;
	}
	return 0;
}

static void unpublish_one(struct user_net *u, const struct net_publish *publish)
{
	struct sockaddr_storage host[ADDRESS_HOSTS];
	unsigned int hosts = address_hosts(publish, host);

	for (unsigned int i = 0; i < hosts; i++)
		u->ops->unforward(u->stack, (struct sockaddr *)&host[i],
				  address_size(&host[i]), publish->udp);
}

static struct job *next_job(struct user_net *u)
{
	struct job *job;

	pthread_mutex_lock(&u->job_lock);
	job = u->job;
	if (job)
		u->job = job->next;
	pthread_mutex_unlock(&u->job_lock);
	return job;
}

static bool has_job(struct user_net *u)
{
	bool any;

	pthread_mutex_lock(&u->job_lock);
	any = u->job;
	pthread_mutex_unlock(&u->job_lock);
	return any;
}

static void end_job(struct user_net *u, struct job *job, int result)
{
	if (!job->guest) {
		free(job);
		return;
	}
	pthread_mutex_lock(&u->job_lock);
	job->result = result;
	pthread_cond_broadcast(&u->job_done);
	pthread_mutex_unlock(&u->job_lock);
}

static void do_jobs(struct user_net *u)
{
	struct job *job;
	int result = 0;

	while ((job = next_job(u))) {
		if (job->guest)
			result = publish_one(u, &job->publish, job->guest,
					     job->error);
		else
			unpublish_one(u, &job->publish);
		end_job(u, job, result);
	}
}

/* Without a stack no port can be. */
static void refuse_jobs(struct user_net *u, const char *why)
{
	struct job *job;

	pthread_mutex_lock(&u->job_lock);
	u->useless = true;
	pthread_mutex_unlock(&u->job_lock);
	while ((job = next_job(u)))
		end_job(u, job, job->guest ?
			net_error_set(job->error, "--publish: %s", why) : 0);
}

/* In their order. False: the thread has no stack. */
static bool add_job(struct user_net *u, struct job *job)
{
	struct job **last = &u->job;
	bool taken;

	pthread_mutex_lock(&u->job_lock);
	while (*last)
		last = &(*last)->next;
	taken = !u->useless;
	if (taken)
		*last = job;
	pthread_mutex_unlock(&u->job_lock);
	wake(u);
	return taken;
}

int user_net_publish(struct net *net, const struct net_publish *publish,
		     const struct user_guest *guest, struct net_error *error)
{
	struct user_net *u = of_net(net);
	struct job job = { .publish = *publish, .guest = guest,
			   .error = error, .result = 1 };

	if (!add_job(u, &job))
		return net_error_set(error, "--publish: the extension "
				     "user-net cannot be loaded");
	pthread_mutex_lock(&u->job_lock);
	while (job.result > 0)
		pthread_cond_wait(&u->job_done, &u->job_lock);
	pthread_mutex_unlock(&u->job_lock);
	return job.result;
}

void user_net_unpublish(struct net *net, const struct net_publish *publish)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return;
	job->publish = *publish;
	if (!add_job(of_net(net), job))
		free(job);
}

/* --- the thread ---------------------------------------------------------------- */

static int load(struct user_net *u, char *why, size_t size)
{
	u->ops = extension_symbol("user-net", "user_net_stack", why, size);
	if (!u->ops)
		return -1;
	u->stack = u->ops->open(&u->plan, deliver, u);
	if (!u->stack)
		snprintf(why, size, "out of memory");
	return u->stack ? 0 : -1;
}

/* Some of what the guest has sent. True: more may be there. */
static bool take_input(struct user_net *u)
{
	struct user_slot *slot[INPUT_BATCH];
	unsigned int count;
	uint32_t end;

	count = user_ring_peek(&u->ring, slot, INPUT_BATCH, &end);
	if (!count)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		if (is_datagram(slot[i]->frame, slot[i]->size))
			u->datagrams = true;
		u->ops->input(u->stack, slot[i]->frame, slot[i]->size);
	}
	u->ops->flush(u->stack);
	if (user_ring_drop(&u->ring, end))
		u->net.nic->ops->again(u->net.nic);
	return count == INPUT_BATCH;
}

/* True: the thread was woken, or poll() has a result. Who could run does. */
static bool look(struct user_net *u, struct pollfd *fd, unsigned int count,
		 int *result)
{
	const uint64_t end = eager_now() + EAGER_LOOK_NS;

	do {
		*result = poll(fd, count, 0);
		if (*result || atomic_load(&u->rest) == AWAKE)
			return true;
		host_yield();
	} while (eager_now() < end);
	return false;
}

/*
 * poll(2), after a look when the last wait was short. Datagrams come without
 * waiting for answers: then who looks stands in the way of who has work.
 */
static int wait_for(struct user_net *u, struct pollfd *fd, unsigned int count,
		    int timeout)
{
	const uint64_t start = eager_now();
	int rest = LOOKING, result;

	if (!timeout)
		return poll(fd, count, 0);
	if (u->eager && !u->datagrams && count <= LOOK_MAX &&
	    look(u, fd, count, &result))
		goto out;
	if (!atomic_compare_exchange_strong(&u->rest, &rest, ASLEEP))
		timeout = 0;
	result = poll(fd, count, timeout);
out:
	u->datagrams = false;
	u->eager = eager_next(u->eager, eager_now() - start, 1);
	return result;
}

static void sleep_on(struct user_net *u, struct pollfd *fd, unsigned int count,
		     int timeout, bool sockets)
{
	int result;

	fd[0] = (struct pollfd){ .fd = u->thread.wake, .events = POLLIN };
	result = wait_for(u, fd, count, timeout);
	atomic_store(&u->rest, AWAKE);
	if (result > 0 && fd[0].revents)
		poll_thread_clear(&u->thread);
	if (sockets && (result >= 0 || errno == EINTR))
		u->ops->serve(u->stack, result);
}

/* One round: what came from the guest, then from the host. */
static void work(struct user_net *u)
{
	bool more = take_input(u), sockets;
	struct pollfd *fd;
	unsigned int count;
	int timeout;

	/*
	 * Who receives datagrams of this host's may have been woken on this
	 * processor, and a socket holds some 90 of 1400 bytes by default.
	 */
	if (more)
		host_yield();
	do_jobs(u);
	tell_card(u);
	fd = u->ops->wait(u->stack, &count, &timeout);
	if (!fd) {
		host_yield();
		return;
	}
	/* The host's senders wait as long as the guest has no room. */
	sockets = !u->first;
	if (!sockets) {
		count = 1;
		timeout = -1;
	}
	atomic_store(&u->rest, LOOKING);
	if (more || user_ring_any(&u->ring) || has_job(u) ||
	    atomic_load(&u->thread.ending) ||
	    (!sockets && atomic_exchange(&u->has_room, false)))
		timeout = 0;
	sleep_on(u, fd, count, timeout, sockets);
	tell_card(u);
}

static void run(void *ctx)
{
	struct user_net *u = ctx;
	char why[200];

	if (!u->stack && load(u, why, sizeof(why))) {
		host_log(HOST_LOG_ERROR, "net user: %s", why);
		u->net.nic->ops->link(u->net.nic, false);
		refuse_jobs(u, why);
		return;
	}
	while (!atomic_load(&u->thread.ending))
		work(u);
}

/* --- the net --------------------------------------------------------------------- */

static void room(struct net *net)
{
	struct user_net *u = of_net(net);

	atomic_store(&u->has_room, true);
	wake(u);
}

static void start(struct net *net)
{
	struct user_net *u = of_net(net);

	if (user_ring_map(&u->ring))
		poll_thread_start(&u->thread, "net-user", run, u);
	else
		host_log(HOST_LOG_ERROR, "net user: out of memory");
}

static void part(struct net *net)
{
	struct user_net *u = of_net(net);

	poll_thread_stop(&u->thread);
	while (u->first)
		forget_first(u);
	user_ring_empty(&u->ring);
}

static void close_net(struct net *net)
{
	struct user_net *u = of_net(net);
	struct job *job;

	if (u->stack)
		u->ops->close(u->stack);
	user_ring_fini(&u->ring);
	poll_thread_close(&u->thread);
	while ((job = next_job(u)))
		free(job);
	pthread_cond_destroy(&u->job_done);
	pthread_mutex_destroy(&u->job_lock);
	free(u);
}

static const struct net_ops user_ops = {
	.send = send_frame,
	.flush = flush,
	.room = room,
	.start = start,
	.part = part,
	.close = close_net,
};

/* --- the plan ---------------------------------------------------------------------- */

static struct in_addr address4(uint32_t network, uint32_t host)
{
	return (struct in_addr){ htonl(network + host) };
}

static struct in6_addr address6(const struct in6_addr *prefix, uint8_t host)
{
	struct in6_addr address = *prefix;

	address.s6_addr[15] = host;
	return address;
}

/* The address that a guest makes itself of its card's (RFC 4291, app. A). */
static struct in6_addr address_of(const struct in6_addr *prefix,
				  const uint8_t mac[NIC_MAC])
{
	const uint8_t id[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff,
				0xfe,	    mac[3], mac[4], mac[5] };
	struct in6_addr address = *prefix;

	memcpy(address.s6_addr + 8, id, sizeof(id));
	return address;
}

static int make_plan(struct user_plan *plan, const struct net_config *config,
		     struct net_error *error)
{
	const char *net = net_word(config, "net");
	const char *net6 = net_word(config, "net6");
	unsigned int bits, bits6;
	uint32_t network;

	if (!net)
		net = DEFAULT_NET;
	if (!net6)
		net6 = DEFAULT_NET6;
	if (!address_parse_net4(net, &network, &bits) || bits < 8 ||
	    bits > NET_BITS_MAX)
		return net_error_set(error, "net=%s: give a network of /8 to "
				     "/%d such as " DEFAULT_NET, net,
				     NET_BITS_MAX);
	*plan = (struct user_plan){ 0 };
	if (!address_parse_net6(net6, &plan->prefix6, &bits6) || bits6 != 64)
		return net_error_set(error, "net6=%s: give a network of /64 "
				     "such as " DEFAULT_NET6, net6);
	plan->network = address4(network, 0);
	plan->mask.s_addr = htonl(~(UINT32_MAX >> bits));
	plan->host = address4(network, 2);
	plan->name_server = address4(network, 3);
	plan->first = address4(network, 15);
	plan->prefix6_length = bits6;
	plan->host6 = address6(&plan->prefix6, 2);
	plan->name_server6 = address6(&plan->prefix6, 3);
	plan->guest6 = address_of(&plan->prefix6, config->mac);
	plan->restricted = net_word(config, "restrict");
	return 0;
}

static int check(const struct net_config *config, struct net_error *error)
{
	struct user_plan plan;

	return make_plan(&plan, config, error);
}

static int publish_all(struct user_net *u, struct net_error *error)
{
	const struct user_guest guest = { u->plan.first, u->plan.guest6 };
	char why[200];

	if (!u->config->publishes)
		return 0;
	if (load(u, why, sizeof(why)))
		return net_error_set(error, "--net user: %s", why);
	for (unsigned int i = 0; i < u->config->publishes; i++)
		if (publish_one(u, &u->config->publish[i], &guest, error))
			return -1;
	return 0;
}

int user_net_open(struct net **out, const struct net_config *config,
		  const struct user_plan *plan, struct net_error *error)
{
	struct user_net *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return net_error_set(error, "out of memory");
	user_ring_init(&u->ring);
	pthread_mutex_init(&u->job_lock, NULL);
	pthread_cond_init(&u->job_done, NULL);
	u->net.ops = &user_ops;
	u->net.link = true;
	u->net.can = NIC_CAN_ALL; /* as large as they come */
	u->config = config;
	u->plan = *plan;
	u->last = &u->first;
	err = poll_thread_open(&u->thread);
	if (err)
		net_error_set(error, "eventfd: %s", strerror(-err));
	else if (!publish_all(u, error)) {
		*out = &u->net;
		return 0;
	}
	close_net(&u->net);
	return -1;
}

static int open_net(struct net **out, const struct net_config *config,
		    struct net_error *error)
{
	struct user_plan plan;

	return make_plan(&plan, config, error) ||
	       user_net_open(out, config, &plan, error) ? -1 : 0;
}

static const struct net_option user_options[] = {
	{ "restrict", NULL },
	{ "net", "CIDR" },
	{ "net6", "CIDR" },
};

const struct net_mode net_user_mode = {
	.name = "user",
	.options = user_options,
	.option_count = sizeof(user_options) / sizeof(user_options[0]),
	.can_publish = true,
	.check = check,
	.open = open_net,
};
