/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each machine's ring has a thread, which sleeps while it is empty: one for all
 * of them would often be wanted while it waits for a processor that a machine
 * has taken, just woken by it. The main thread takes machines and lets them go.
 * The router of a network with a way out is the mode "user" (net/user.h), a net
 * whose card is the switch's port 0: it gives frames on a thread of its own.
 *
 * Locks, in this order: `lines` is read by who wakes machines and written by
 * who lets one go; `lock` is held by who is at the core. Nobody is woken with
 * `lock` held: who wakes may have to wait for its processor.
 */
#include "net/switch/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/extension.h"
#include "host/linux/passing.h"
#include "host/linux/thread.h"
#include "net/address.h"
#include "net/switch/confine.h"
#include "net/switch/core.h"
#include "net/switch/lane.h"
#include "net/switch/packet.h"
#include "net/switch/service.h"
#include "net/user.h"
#include "vm/host.h"

#define LOCK_FILE "switch.lock"
#define BATCH	  16 /* frames of a ring in a row */
#define GUESTS	  16 /* connections that have not said hello */
#define PATIENCE  10000 /* ms for the first machine to come */
#define NS_PER_MS 1000000u

/* A machine's card. */
struct line {
	struct serve *serve;
	unsigned int port;
	int fd; /* -1: none */
	struct thread thread;
	_Atomic bool over; /* the thread is to end */
	struct lane_pair rings;
	bool told; /* it was given frames */
	struct net_publish *publish; /* ports that lead to it */
	unsigned int publishes;
};

struct serve {
	struct network network;
	struct core core;
	int folder, listener;
	bool had; /* machines */
	pthread_rwlock_t lines;
	pthread_mutex_t lock;
	struct line line[CORE_PORTS];
	int guest[GUESTS];

	/* Port 0. */
	struct net_config config;
	struct net *router; /* NULL: there is none */
	struct nic nic;	    /* what the router takes for a card */
	bool sent;	    /* to the router, since it was told */
	unsigned int from;  /* whose frame is being taken */
	uint8_t head[GUARD_HEAD];
};

static uint64_t now_ms(void)
{
	return host_monotonic_ns() / NS_PER_MS;
}

static void wake(int fd)
{
	const char byte = 0;

	/* When its socket is full it has been woken. */
	if (send(fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* --- giving frames -------------------------------------------------------------------- */

static bool give_line(void *ctx, const struct core_frame *frame)
{
	struct line *line = ctx;
	uint8_t *to = lane_place(&line->rings.to_machine, frame->nic.size);

	if (!to)
		return false;
	core_read(frame, to, frame->nic.size);
	lane_put(&line->rings.to_machine, &frame->nic);
	line->told = true;
	return true;
}

static bool give_router(void *ctx, const struct core_frame *frame)
{
	struct serve *s = ctx;
	const struct span span[2] = {
		{ (void *)frame->head, frame->head_size },
		{ (void *)frame->rest, frame->nic.size - frame->head_size },
	};
	struct nic_frame nic = frame->nic;

	nic.span = span;
	nic.spans = span[1].size ? 2 : 1;
	s->sent = true;
	return s->router->ops->send(s->router, 0, &nic);
}

static bool give_host(void *ctx, const struct core_frame *frame)
{
	struct serve *s = ctx;
	uint8_t bytes[2048];

	if (frame->nic.size > sizeof(bytes))
		return true;
	core_read(frame, bytes, frame->nic.size);
	service_host(&s->core, s->from, bytes, frame->nic.size);
	return true;
}

/* Lines that were given frames. */
struct told {
	unsigned int count;
	uint8_t port[CORE_PORTS];
};

/* Held: the lock. Who is to be told, without it; the router is. */
static void find_told(struct serve *s, struct told *told)
{
	told->count = 0;
	for (unsigned int i = 0; i < CORE_PORTS; i++) {
		struct line *line = &s->line[i];

		if (!line->told || line->fd < 0)
			continue;
		line->told = false;
		told->port[told->count++] = (uint8_t)i;
	}
	if (s->sent)
		s->router->ops->flush(s->router, 0);
	s->sent = false;
}

/* Held: `lines`, since they were found. */
static void tell(struct serve *s, const struct told *told)
{
	for (unsigned int i = 0; i < told->count; i++) {
		struct line *line = &s->line[told->port[i]];

		if (lane_wakes_reader(&line->rings.to_machine))
			wake(line->fd);
	}
}

/* --- the router ------------------------------------------------------------------------- */

static struct serve *of_nic(struct nic *nic)
{
	return (struct serve *)((char *)nic - offsetof(struct serve, nic));
}

/* A machine that takes nothing must not hold up the others: always true. */
static bool router_gives(struct nic *nic, const struct nic_frame *frame)
{
	struct serve *s = of_nic(nic);
	struct core_frame core = { .nic = *frame };
	uint8_t flat[2048], *bytes = flat;

	if (frame->spans > 2 || frame->size > sizeof(flat))
		bytes = malloc(frame->size);
	if (!bytes)
		return true;
	nic_frame_read(frame, 0, bytes, frame->size);
	core.head = bytes;
	core.head_size = frame->size;
	pthread_mutex_lock(&s->lock);
	core_input(&s->core, CORE_OWN, &core, now_ms());
	pthread_mutex_unlock(&s->lock);
	if (bytes != flat)
		free(bytes);
	return true;
}

static void router_flushes(struct nic *nic)
{
	struct serve *s = of_nic(nic);
	struct told told;

	pthread_rwlock_rdlock(&s->lines);
	pthread_mutex_lock(&s->lock);
	find_told(s, &told);
	pthread_mutex_unlock(&s->lock);
	tell(s, &told);
	pthread_rwlock_unlock(&s->lines);
}

static void router_again(struct nic *nic)
{
}

static void router_link(struct nic *nic, bool up)
{
}

static const struct nic_ops router_ops = {
	.receive = router_gives,
	.flush = router_flushes,
	.again = router_again,
	.link = router_link,
	.announce = router_again,
};

static struct in_addr to_net(uint32_t address)
{
	return (struct in_addr){ htonl(address) };
}

static int open_router(struct serve *s, struct net_error *error)
{
	const struct network *n = &s->network;
	struct network six = *n;
	struct user_plan plan = {
		.network = to_net(n->net4),
		.mask = to_net(~(UINT32_MAX >> n->bits4)),
		.host = to_net(network_router4(n)),
		.name_server = to_net(network_names4(n)),
		.first = to_net(n->net4 + 3), /* not asked: DHCP is ours */
		.without4 = !n->has4,
		.without6 = !n->has6,
		.prefix6_length = 64,
	};

	if (!n->has6)
		inet_pton(AF_INET6, "fd6c:6f64:6765::", &six.net6);
	plan.prefix6 = six.net6;
	plan.host6 = network_router6(&six);
	plan.name_server6 = network_names6(&six);
	s->config.mode = &net_user_mode;
	s->config.mtu = n->mtu ? n->mtu : NIC_MTU_DEFAULT;
	s->config.machine = n->name;
	if (user_net_open(&s->router, &s->config, &plan, error))
		return -1;
	s->nic.ops = &router_ops;
	atomic_store(&s->nic.can, NIC_CAN_ALL);
	nic_connect(&s->nic, s->router);
	s->router->ops->start(s->router);
	return 0;
}

static int open_own_port(struct serve *s, struct net_error *error)
{
	struct core_port *own = &s->core.port[CORE_OWN];

	own->used = true;
	own->give = give_host;
	own->ctx = s;
	if (s->network.kind != NETWORK_NAT)
		return 0;
	own->give = give_router;
	return open_router(s, error);
}

/* --- a machine's thread -------------------------------------------------------------------- */

/* Held: the lock. Some frames of one machine; what comes then. */
static enum lane_state take_frames(struct serve *s, struct line *line)
{
	struct lane *ring = &line->rings.to_switch;
	const uint64_t now = now_ms();
	enum lane_state state = LANE_FRAME;

	s->from = line->port;
	for (unsigned int count = 0; count < BATCH; count++) {
		struct core_frame frame = { .head = s->head };
		const uint8_t *bytes;

		state = lane_peek(ring, &frame.nic, &bytes);
		if (state != LANE_FRAME)
			break;
		frame.head_size = frame.nic.size < GUARD_HEAD ? frame.nic.size :
								GUARD_HEAD;
		frame.rest = bytes + frame.head_size;
		memcpy(s->head, bytes, frame.head_size);
		core_input(&s->core, line->port, &frame, now);
		lane_take(ring, frame.nic.size);
	}
	return state;
}

static enum lane_state serve_line(struct line *line)
{
	struct serve *s = line->serve;
	enum lane_state state;
	struct told told;

	pthread_rwlock_rdlock(&s->lines);
	pthread_mutex_lock(&s->lock);
	state = take_frames(s, line);
	find_told(s, &told);
	pthread_mutex_unlock(&s->lock);
	tell(s, &told);
	pthread_rwlock_unlock(&s->lines);
	if (lane_wakes_writer(&line->rings.to_switch))
		wake(line->fd);
	return state;
}

static void run_line(void *ctx)
{
	struct line *line = ctx;

	while (!atomic_load(&line->over)) {
		enum lane_state state = serve_line(line);

		if (state == LANE_EMPTY)
			lane_wait(&line->rings.to_switch, &line->over);
		if (state != LANE_BROKEN)
			continue;
		host_log(HOST_LOG_ERROR, "net: machine %s breaks its ring",
			 line->serve->core.port[line->port].machine);
		/* The main thread sees it. */
		shutdown(line->fd, SHUT_RDWR);
		return;
	}
}

/* Held: the lock. */
static int start_line(struct serve *s, unsigned int port, int fd,
		      struct net_error *error)
{
	struct line *line = &s->line[port];
	int err;

	line->fd = fd;
	err = thread_start(&line->thread, "net-line", run_line, line);
	if (!err)
		return 0;
	line->fd = -1;
	return net_error_set(error, "no thread: %s", strerror(-err));
}

/* --- machines ----------------------------------------------------------------------------- */

/* Held: the lock; it has no thread, and nobody is about to wake it. */
static void drop_line(struct serve *s, unsigned int port)
{
	struct line *line = &s->line[port];

	core_unplug(&s->core, port);
	while (line->publishes)
		user_net_unpublish(s->router, &line->publish[--line->publishes]);
	free(line->publish);
	line->publish = NULL;
	lane_unmap(&line->rings);
	if (line->fd >= 0)
		close(line->fd);
	line->fd = -1;
	line->told = false;
}

static void end_line(struct serve *s, unsigned int port)
{
	struct line *line = &s->line[port];

	atomic_store(&line->over, true);
	lane_disturb(&line->rings.to_switch);
	thread_join(&line->thread);
	pthread_rwlock_wrlock(&s->lines);
	pthread_mutex_lock(&s->lock);
	drop_line(s, port);
	pthread_mutex_unlock(&s->lock);
	pthread_rwlock_unlock(&s->lines);
}

static void welcome(int fd, const struct wire_welcome *answer, int memory)
{
	const struct iovec part = { (void *)answer, sizeof(*answer) };

	/* One who does not take it hears nothing more. */
	if (passing_send(fd, &part, 1, memory, MSG_DONTWAIT) < 0)
		return;
}

static void refuse_port(int fd, const char *why, uint32_t taken)
{
	struct wire_welcome answer = { .refused = 1, .taken = taken };

	snprintf(answer.text, sizeof(answer.text), "%s", why);
	welcome(fd, &answer, -1);
	close(fd);
}

static void refuse(int fd, const char *why)
{
	refuse_port(fd, why, 0);
}

static void why_not(const struct serve *s, const struct wire_hello *hello,
		    int err, struct net_error *error)
{
	struct in_addr in = to_net(hello->address);
	char text[NET_ADDRESS];

	inet_ntop(AF_INET, &in, text, sizeof(text));
	if (err == -EADDRINUSE) {
		for (unsigned int i = CORE_OWN + 1; i < CORE_PORTS; i++)
			if (s->core.port[i].used &&
			    guard_has4(&s->core.guard, i, hello->address))
				net_error_set(error, "address=%s: machine %s "
					      "has it; give another", text,
					      s->core.port[i].machine);
		return;
	}
	if (err == -EINVAL)
		net_error_set(error, "address=%s: no machine's address of the "
			      "network", text);
	else
		net_error_set(error, "%s",
			      err == -EEXIST ?
				      "another card of it has that address" :
			      err == -ENOSPC ?
				      "it has as many cards as it can" :
			      err == -EADDRNOTAVAIL ?
				      "it has no address left to lease; give "
				      "it a larger --dhcp" :
				      strerror(-err));
}

/*
 * The ports that the machine publishes. The lock is let go while the router's
 * thread is asked, which may wait for it; the line is not told of yet, and
 * nobody else ends it.
 */
static int publish(struct serve *s, unsigned int port,
		   const struct wire_hello *hello, uint32_t *taken,
		   struct net_error *error)
{
	struct line *line = &s->line[port];
	struct user_guest guest = { .address = to_net(s->core.port[port].lease),
				    .address6 = s->network.net6 };
	int failed = 0;

	if (!hello->publishes)
		return 0;
	if (!s->router || hello->publishes > NET_PUBLISH_MAX)
		return net_error_set(error, "--publish: a network of kind %s "
				     "has no way in",
				     network_kinds[s->network.kind]);
	line->publish = calloc(hello->publishes, sizeof(*line->publish));
	if (!line->publish)
		return net_error_set(error, "out of memory");
	packet_interface_id(guest.address6.s6_addr + 8, hello->mac);
	for (unsigned int i = 0; i < hello->publishes && !failed; i++) {
		struct net_publish *one = &line->publish[i];

		if (!memchr(hello->publish[i], 0, WIRE_PUBLISH) ||
		    !address_parse_publish(hello->publish[i], one))
			return net_error_set(error, "--publish: bad port");
		pthread_mutex_unlock(&s->lock);
		failed = user_net_publish(s->router, one, &guest, error);
		pthread_mutex_lock(&s->lock);
		line->publishes += !failed;
		if (failed == -EADDRINUSE)
			*taken = i + 1;
	}
	return failed;
}

static void plug(struct serve *s, int fd, const struct wire_hello *hello)
{
	const struct core_card card = { .mac = hello->mac,
					.machine = hello->machine,
					.address = hello->address,
					.vlan = hello->vlan,
					.give = give_line };
	struct wire_welcome answer = { 0 };
	struct lane_pair rings;
	struct net_error error;
	uint32_t taken = 0;
	int memory, port;

	if (!network_name_valid(hello->machine) || hello->mac[0] & 1 ||
	    hello->vlan > NETWORK_VLAN_MAX) {
		refuse(fd, "it does not understand this machine");
		return;
	}
	memory = lane_memory();
	port = memory < 0 ? memory : lane_map(&rings, memory);
	if (port) {
		refuse(fd, strerror(-port));
		goto done;
	}
	port = core_plug(&s->core, &card);
	if (port < 0) {
		lane_unmap(&rings);
		why_not(s, hello, port, &error);
		refuse(fd, error.text);
		goto done;
	}
	s->core.port[port].ctx = &s->line[port];
	s->line[port] = (struct line){ .serve = s,
				       .port = (unsigned int)port,
				       .fd = -1,
				       .rings = rings };
	if (publish(s, (unsigned int)port, hello, &taken, &error) ||
	    start_line(s, (unsigned int)port, fd, &error)) {
		drop_line(s, (unsigned int)port);
		refuse_port(fd, error.text, taken);
		goto done;
	}
	s->had = true;
	if (leases_write(&s->core.leases, s->folder))
		host_log(HOST_LOG_ERROR, "net: leases cannot be written");
	answer.address = s->core.port[port].lease;
	welcome(fd, &answer, memory);
done:
	if (memory >= 0)
		close(memory);
}

static void tell_state(struct serve *s, int fd)
{
	json_t *ports = core_state(&s->core);
	json_t *state = json_pack("{sI so}", "pid", (json_int_t)getpid(),
				  "ports", ports);
	char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;

	if (text)
		send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	json_decref(state);
	close(fd);
}

static void take_rules(struct serve *s, int fd)
{
	filter_set(&s->core, rules_load(s->folder));
	close(fd);
}

static void take_guest(struct serve *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
	    (peer.uid == geteuid() || !peer.uid))
		for (unsigned int i = 0; i < GUESTS; i++)
			if (s->guest[i] < 0) {
				s->guest[i] = fd;
				return;
			}
	close(fd);
}

/* Its first packet says what it wants. */
static void hear_guest(struct serve *s, int *guest)
{
	struct wire_hello hello = { 0 };
	int fd = *guest;
	ssize_t size = recv(fd, &hello, sizeof(hello), MSG_DONTWAIT);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	*guest = -1;
	hello.machine[WIRE_NAME - 1] = '\0';
	if (size == sizeof(hello) && hello.what == WIRE_PORT)
		plug(s, fd, &hello);
	else if (size == sizeof(hello) && hello.what == WIRE_STATUS)
		tell_state(s, fd);
	else if (size == sizeof(hello) && hello.what == WIRE_RULES)
		take_rules(s, fd);
	else
		close(fd);
}

/* --- the work ------------------------------------------------------------------------------ */

#define POLLS (1 + GUESTS + CORE_PORTS)

static bool is_busy(const struct serve *s)
{
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		if (s->line[i].fd >= 0)
			return true;
	for (unsigned int i = 0; i < GUESTS; i++)
		if (s->guest[i] >= 0)
			return true;
	return false;
}

/*
 * A byte is no more than that there is something, of a machine that does not
 * know LANE_WATCHED.
 */
static void hear_line(struct serve *s, unsigned int port)
{
	struct line *line = &s->line[port];
	char bytes[16];
	ssize_t size = recv(line->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (!size || (size < 0 && errno != EAGAIN && errno != EINTR))
		end_line(s, port);
	else
		lane_disturb(&line->rings.to_switch);
}

/* Looks at the sockets, for `timeout` ms. False: nobody came in time. */
static bool look(struct serve *s, int timeout)
{
	struct pollfd fd[POLLS];
	int count;

	fd[0] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
	for (unsigned int i = 0; i < GUESTS; i++)
		fd[1 + i] = (struct pollfd){ .fd = s->guest[i],
					     .events = POLLIN };
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		fd[1 + GUESTS + i] = (struct pollfd){ .fd = s->line[i].fd,
						      .events = POLLIN };
	count = poll(fd, POLLS, timeout);
	if (count <= 0)
		return count < 0;
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		if (fd[1 + GUESTS + i].revents)
			hear_line(s, i);
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < GUESTS; i++)
		if (fd[1 + i].revents)
			hear_guest(s, &s->guest[i]);
	if (fd[0].revents)
		take_guest(s);
	pthread_mutex_unlock(&s->lock);
	return true;
}

static void work(struct serve *s)
{
	while (is_busy(s) || !s->had)
		if (!look(s, s->had ? -1 : PATIENCE))
			return;
}

/* --- the process ------------------------------------------------------------------------------ */

static int take_lock(struct serve *s, struct net_error *error)
{
	int fd = openat(s->folder, LOCK_FILE,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	/* One that ends still holds it: it has let go of its socket. */
	if (fd < 0 || flock(fd, LOCK_EX))
		return net_error_set(error, "%s: %s", LOCK_FILE,
				     strerror(errno));
	return 0;
}

static int start_listening(struct serve *s, struct net_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path),
		 "/proc/self/fd/%d/" WIRE_SOCKET, s->folder);
	unlinkat(s->folder, WIRE_SOCKET, 0);
	s->listener = socket(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 ||
	    bind(s->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(s->listener, CORE_PORTS))
		return net_error_set(error, WIRE_SOCKET ": %s",
				     strerror(errno));
	return 0;
}

/* Before there are threads, and with the library loaded that one wants. */
static int confine(struct serve *s, struct net_error *error)
{
	char why[200];
	int err;

	if (s->network.kind == NETWORK_NAT &&
	    !extension_symbol("user-net", "user_net_stack", why, sizeof(why)))
		return net_error_set(error, "%s", why);
	err = confine_switch(s->folder);
	return err ? net_error_set(error, "its sandbox: %s", strerror(-err)) :
		     0;
}

static int begin(struct serve *s, struct network_store *store,
		 const char *name, struct net_error *error)
{
	if (network_store_find(store, name, &s->network, error))
		return -1;
	if (s->network.backing != NETWORK_SWITCH)
		return net_error_set(error, "network %s is no switch", name);
	s->folder = network_store_folder(store, name);
	if (s->folder < 0)
		return net_error_set(error, "network %s is gone", name);
	core_init(&s->core, &s->network);
	if (take_lock(s, error))
		return -1;
	leases_read(&s->core.leases, s->folder);
	filter_set(&s->core, rules_load(s->folder));
	return start_listening(s, error) || confine(s, error) ||
	       open_own_port(s, error) ? -1 : 0;
}

static void end(struct serve *s)
{
	/* Who is still to be heard sees its connection end, and tries again. */
	if (s->listener >= 0) {
		unlinkat(s->folder, WIRE_SOCKET, 0);
		close(s->listener);
	}
	for (unsigned int i = 0; i < GUESTS; i++)
		if (s->guest[i] >= 0)
			close(s->guest[i]);
	if (s->router) {
		nic_part(&s->nic);
		s->router->ops->close(s->router);
	}
	core_end(&s->core);
	if (s->folder >= 0)
		close(s->folder);
	pthread_rwlock_destroy(&s->lines);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Who lets a machine go is not to wait for traffic to pause. */
static void make_lines_lock(struct serve *s)
{
	pthread_rwlockattr_t how;

	pthread_rwlockattr_init(&how);
	pthread_rwlockattr_setkind_np(
		&how, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->lines, &how);
	pthread_rwlockattr_destroy(&how);
}

int switch_serve(struct network_store *store, const char *name,
		 void (*ready)(void), struct net_error *error)
{
	struct serve *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return net_error_set(error, "out of memory");
	pthread_mutex_init(&s->lock, NULL);
	make_lines_lock(s);
	s->folder = s->listener = -1;
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		s->line[i].fd = -1;
	for (unsigned int i = 0; i < GUESTS; i++)
		s->guest[i] = -1;
	err = begin(s, store, name, error);
	if (!err) {
		ready();
		work(s);
	}
	end(s);
	return err;
}
