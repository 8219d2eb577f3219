/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each machine's ring has a thread, which sleeps while it is empty: one for all
 * of them would often be wanted while it waits for a processor that a machine
 * has taken, just woken by it. The main thread takes machines and lets them go.
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

#include "host/linux/eager.h"
#include "host/linux/extension.h"
#include "host/linux/passing.h"
#include "net/address.h"
#include "net/switch/confine.h"
#include "net/switch/packet.h"
#include "net/switch/serve_impl.h"
#include "net/user.h"

#define LOCK_FILE "switch.lock"
#define BATCH	  16 /* frames of a ring in a row */
#define COMING_MS 10000 /* ms for the first machine to come */

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

void serve_find_told(struct serve *s, struct serve_told *told)
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

void serve_tell(struct serve *s, const struct serve_told *told)
{
	for (unsigned int i = 0; i < told->count; i++) {
		struct line *line = &s->line[told->port[i]];

		if (lane_wakes_reader(&line->rings.to_machine))
			wake(line->fd);
	}
}

/* --- a machine's thread -------------------------------------------------------------------- */

/* The next frame of the ring is line->frame, if there is one. */
static enum lane_state next_frame(struct line *line)
{
	struct core_frame *frame = &line->frame;
	const uint8_t *bytes;
	enum lane_state state = lane_peek(&line->rings.to_switch, &frame->nic,
					  &bytes);

	if (state != LANE_FRAME)
		return state;
	frame->head_size = frame->nic.size < GUARD_HEAD ? frame->nic.size :
							  GUARD_HEAD;
	memcpy(line->head, bytes, frame->head_size);
	frame->head = line->head;
	frame->rest = bytes + frame->head_size;
	return state;
}

/* Held: the lock. It may use an address no more, or is to have a shortcut. */
static void mind_shortcuts(struct serve *s, struct line *line,
			   unsigned int to)
{
	const unsigned int lost = s->core.guard.port[line->port].lost;

	if (lost != line->lost)
		serve_part(s, line->port);
	line->lost = lost;
	if (to)
		serve_join(s, line->port, to);
}

/*
 * Held: the lock. Some frames of one machine; what comes then. *to: the port
 * for which the last one waits, 0: none does.
 */
static enum lane_state take_frames(struct serve *s, struct line *line,
				   unsigned int *to)
{
	const uint64_t now = serve_now_ms();
	enum lane_state state = LANE_FRAME;
	unsigned int join = 0;

	*to = 0;
	s->from = line->port;
	for (unsigned int count = 0; count < BATCH && !*to; count++) {
		state = next_frame(line);
		if (state != LANE_FRAME)
			break;
		*to = core_input(&s->core, line->port, &line->frame, now);
		if (s->core.reached &&
		    serve_note(s, line->port, s->core.reached, &line->frame,
			       now))
			join = s->core.reached;
		if (!*to)
			lane_take(&line->rings.to_switch,
				  line->frame.nic.size);
	}
	mind_shortcuts(s, line, join);
	return state;
}

/*
 * Held: `lines`, so that the port stays whose it is, for as long as it has
 * patience and no longer than that could be at first.
 */
static void wait_for_room(struct serve *s, struct line *line, unsigned int to)
{
	struct lane *ring = &s->line[to].rings.to_machine;
	const uint64_t start = host_monotonic_ns();
	uint64_t before = start, now = start, most;
	struct serve_told told;

	pthread_mutex_lock(&s->lock);
	while (to) {
		most = s->core.port[to].patience.ns;
		if (now - start >= PATIENCE_MOST || atomic_load(&line->over))
			most = 0;
		if (most && !lane_starve(ring, line->frame.nic.size)) {
			pthread_mutex_unlock(&s->lock);
			lane_wait_room(ring, most);
			pthread_mutex_lock(&s->lock);
		}
		now = host_monotonic_ns();
		to = core_again(&s->core, to, &line->frame,
				most ? now - before : UINT64_MAX);
		before = now;
	}
	serve_find_told(s, &told);
	pthread_mutex_unlock(&s->lock);
	serve_tell(s, &told);
	lane_take(&line->rings.to_switch, line->frame.nic.size);
}

static enum lane_state serve_line(struct line *line)
{
	struct serve *s = line->serve;
	enum lane_state state;
	struct serve_told told;
	unsigned int to;

	pthread_rwlock_rdlock(&s->lines);
	pthread_mutex_lock(&s->lock);
	state = take_frames(s, line, &to);
	serve_find_told(s, &told);
	pthread_mutex_unlock(&s->lock);
	serve_tell(s, &told);
	if (to)
		wait_for_room(s, line, to);
	pthread_rwlock_unlock(&s->lines);
	if (lane_wakes_writer(&line->rings.to_switch))
		wake(line->fd);
	return state;
}

/* A machine that answers does so soon. */
static void wait_for_frames(struct line *line)
{
	struct lane *ring = &line->rings.to_switch;
	const uint64_t start = eager_now();

	if (!line->eager || !lane_look(ring, &line->over))
		lane_wait(ring, &line->over);
	line->eager = eager_next(line->eager, (eager_now() - start) / 2, 1);
}

static void run_line(void *ctx)
{
	struct line *line = ctx;

	while (!atomic_load(&line->over)) {
		enum lane_state state = serve_line(line);

		if (state == LANE_EMPTY)
			wait_for_frames(line);
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

	serve_part(s, port);
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
	struct in_addr in = serve_to_net(hello->address);
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
	struct user_guest guest = { .address = serve_to_net(s->core.port[port].lease),
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
	json_t *state;
	char *text;

	serve_count(s);
	state = json_pack("{sI so}", "pid", (json_int_t)getpid(), "ports",
			  core_state(&s->core));
	text = state ? json_dumps(state, JSON_COMPACT) : NULL;
	if (text)
		send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	json_decref(state);
	close(fd);
}

static void take_rules(struct serve *s, int fd)
{
	filter_set(&s->core, rules_load(s->folder));
	serve_part_ruled(s);
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
		for (unsigned int i = 0; i < SERVE_GUESTS; i++)
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

#define POLLS (1 + SERVE_GUESTS + CORE_PORTS)

static bool is_busy(const struct serve *s)
{
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		if (s->line[i].fd >= 0)
			return true;
	for (unsigned int i = 0; i < SERVE_GUESTS; i++)
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
	for (unsigned int i = 0; i < SERVE_GUESTS; i++)
		fd[1 + i] = (struct pollfd){ .fd = s->guest[i],
					     .events = POLLIN };
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		fd[1 + SERVE_GUESTS + i] = (struct pollfd){ .fd = s->line[i].fd,
						      .events = POLLIN };
	count = poll(fd, POLLS, timeout);
	if (count <= 0)
		return count < 0;
	for (unsigned int i = 0; i < CORE_PORTS; i++)
		if (fd[1 + SERVE_GUESTS + i].revents)
			hear_line(s, i);
	pthread_mutex_lock(&s->lock);
	for (unsigned int i = 0; i < SERVE_GUESTS; i++)
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
		if (!look(s, s->had ? -1 : COMING_MS))
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
	       serve_open_own_port(s, error) ? -1 : 0;
}

static void end(struct serve *s)
{
	/* Who is still to be heard sees its connection end, and tries again. */
	if (s->listener >= 0) {
		unlinkat(s->folder, WIRE_SOCKET, 0);
		close(s->listener);
	}
	for (unsigned int i = 0; i < SERVE_GUESTS; i++)
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
	for (unsigned int i = 0; i < SERVE_GUESTS; i++)
		s->guest[i] = -1;
	err = begin(s, store, name, error);
	if (!err) {
		ready();
		work(s);
	}
	end(s);
	return err;
}
