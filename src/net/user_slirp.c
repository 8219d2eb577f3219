/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extension "user-net": libslirp behind struct user_stack_ops. All of a
 * stack happens on one thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "net/closing.h"
#include "net/flow.h"
#include "net/icmp.h"
#include "net/user.h"
#include "net/window.h"
#include "vm/host.h"

#define NS_PER_MS   1000000
#define FDS_AT_ONCE 32
#define TIMERS	    4
#define MTU	    65521 /* the most that libslirp takes */

struct user_timer {
	bool used;
	int64_t due; /* ms; -1: not armed */
	SlirpTimerId id;
	void *ctx;
};

struct user_stack {
	Slirp *slirp;
	struct icmp_host host;
	void (*deliver)(void *ctx, const void *frame, size_t size);
	void *ctx;
	struct user_timer timer[TIMERS];
	struct pollfd *fd; /* 0: not ours */
	unsigned int fds, room;
	struct windows windows;
	struct closings closings;
	struct flows flows;
};

/* --- what libslirp calls ----------------------------------------------------- */

static ssize_t send_packet(const void *frame, size_t size, void *opaque)
{
	struct user_stack *stack = opaque;
	struct tcp_segment segment;
	uint8_t copy[ICMP_LONG];
	size_t length = size;

	if (tcp_parse(&segment, frame, size)) {
		window_note(&stack->windows, &segment);
		closing_note_stack(&stack->closings, &segment);
	}
	frame = icmp_mend(&stack->host, frame, &length, copy);
	stack->deliver(stack->ctx, frame, length);
	return (ssize_t)size;
}

static void give_guest(void *ctx, const void *frame, size_t size)
{
	struct user_stack *stack = ctx;

	stack->deliver(stack->ctx, frame, size);
}

static void guest_error(const char *message, void *opaque)
{
	host_log(HOST_LOG_DEBUG, "net: the guest: %s", message);
}

static int64_t clock_ns(void *opaque)
{
	return (int64_t)host_monotonic_ns();
}

static void note_time(struct user_stack *stack)
{
	stack->flows.now = clock_ns(NULL) / NS_PER_MS;
}

static void *timer_new(SlirpTimerId id, void *ctx, void *opaque)
{
	struct user_stack *stack = opaque;

	for (unsigned int i = 0; i < TIMERS; i++) {
		struct user_timer *t = &stack->timer[i];

		if (t->used)
			continue;
		*t = (struct user_timer){ true, -1, id, ctx };
		return t;
	}
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	if (timer)
		((struct user_timer *)timer)->used = false;
}

static void timer_mod(void *timer, int64_t ms, void *opaque)
{
	if (timer)
		((struct user_timer *)timer)->due = ms;
}

/* poll() is given all of them anew each time. */
static void opened(int fd, void *opaque)
{
	flow_open(&((struct user_stack *)opaque)->flows, fd);
}

static void closes(int fd, void *opaque)
{
	flow_close(&((struct user_stack *)opaque)->flows, fd);
}

/* Of one thread: it is going to wait only after this. */
static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = opened,
	.unregister_poll_fd = closes,
	.notify = notify,
};

/* --- making one -------------------------------------------------------------- */

static void close_stack(struct user_stack *stack)
{
	if (!stack)
		return;
	if (stack->slirp)
		slirp_cleanup(stack->slirp);
	flows_close(&stack->flows);
	free(stack->fd);
	free(stack);
}

static void give(void *ctx, const void *frame, size_t size)
{
	struct user_stack *stack = ctx;

	slirp_input(stack->slirp, frame, (int)size);
}

static struct flow_network network4(const struct user_plan *plan)
{
	struct flow_network n = {
		.network = udp_map4(plan->network),
		.mask = udp_map4(plan->mask),
		.host = udp_map4(plan->host),
	};

	memset(&n.mask, 0xff, 12);
	return n;
}

static struct flow_network network6(const struct user_plan *plan)
{
	struct flow_network n = {
		.network = plan->prefix6,
		.host = plan->host6,
	};

	memset(&n.mask, 0xff, plan->prefix6_length / 8);
	return n;
}

static struct user_stack *
open_stack(const struct user_plan *plan,
	   void (*deliver)(void *ctx, const void *frame, size_t size),
	   void *ctx)
{
	struct user_stack *stack = calloc(1, sizeof(*stack));
	const SlirpConfig config = {
		.version = 4,
		.restricted = plan->restricted,
		.in_enabled = !plan->without4,
		.vnetwork = plan->network,
		.vnetmask = plan->mask,
		.vhost = plan->host,
		.in6_enabled = !plan->without6,
		.vprefix_addr6 = plan->prefix6,
		.vprefix_len = (uint8_t)plan->prefix6_length,
		.vhost6 = plan->host6,
		.vdhcp_start = plan->first,
		.vnameserver = plan->name_server,
		.vnameserver6 = plan->name_server6,
		/* Whatever the guest's is: see net/segment.h. */
		.if_mtu = MTU,
		.if_mru = MTU,
	};

	if (!stack)
		return NULL;
	stack->host = (struct icmp_host){ plan->host, plan->host6 };
	stack->deliver = deliver;
	stack->ctx = ctx;
	stack->flows.ends = (struct flow_ends){
		.v4 = network4(plan),
		.v6 = network6(plan),
		.ctx = stack,
		.input = give,
		.deliver = give_guest,
	};
	note_time(stack);
	stack->slirp = slirp_new(&config, &callbacks, stack);
	if (stack->slirp)
		return stack;
	close_stack(stack);
	return NULL;
}

static int flags_of(const struct sockaddr *host, bool udp)
{
	return (udp ? SLIRP_HOSTFWD_UDP : 0) |
	       (host->sa_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

static int forward(struct user_stack *stack, const struct sockaddr *host,
		   socklen_t size, const struct user_guest *guest,
		   uint16_t port, bool udp)
{
	struct sockaddr_in guest4 = {
		.sin_family = AF_INET,
		.sin_addr = guest->address,
		.sin_port = htons(port),
	};
	struct sockaddr_in6 guest6 = {
		.sin6_family = AF_INET6,
		.sin6_addr = guest->address6,
		.sin6_port = htons(port),
	};
	const bool v6 = host->sa_family == AF_INET6;

	if (udp)
		flow_leave(&stack->flows, htons(port));
	errno = 0;
	if (!slirp_add_hostxfwd(stack->slirp, host, size,
				v6 ? (struct sockaddr *)&guest6 :
				     (struct sockaddr *)&guest4,
				v6 ? sizeof(guest6) : sizeof(guest4),
				flags_of(host, udp)))
		return 0;
	return errno ? -errno : -EINVAL;
}

static void unforward(struct user_stack *stack, const struct sockaddr *host,
		      socklen_t size, bool udp)
{
	slirp_remove_hostxfwd(stack->slirp, host, size, flags_of(host, udp));
}

/* --- working ----------------------------------------------------------------- */

static void forget_ended(struct user_stack *stack)
{
	struct tcp_plain reset;

	while (closing_next(&stack->closings, &reset))
		slirp_input(stack->slirp, reset.frame, (int)reset.size);
}

static void input(struct user_stack *stack, const void *frame, size_t size)
{
	struct tcp_segment segment;

	if (flows_input(&stack->flows, frame, size))
		return;
	if (tcp_parse(&segment, frame, size))
		closing_note_guest(&stack->closings, &segment);
	slirp_input(stack->slirp, frame, (int)size);
	forget_ended(stack);
}

static void flush(struct user_stack *stack)
{
	flows_send(&stack->flows);
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_stack *stack = opaque;
	short wanted = 0;

	if (stack->fds == stack->room) {
		unsigned int room = stack->room + FDS_AT_ONCE;
		struct pollfd *more = reallocarray(stack->fd, room,
						   sizeof(*more));

		if (!more)
			return -1;
		stack->fd = more;
		stack->room = room;
	}
	if (events & SLIRP_POLL_IN)
		wanted |= POLLIN;
	if (events & SLIRP_POLL_OUT)
		wanted |= POLLOUT;
	if (events & SLIRP_POLL_PRI)
		wanted |= POLLPRI;
	stack->fd[stack->fds] = (struct pollfd){ .fd = fd, .events = wanted };
	return (int)stack->fds++;
}

static int get_events(int index, void *opaque)
{
	const struct user_stack *stack = opaque;
	short got;
	int events = 0;

	if (index < 1 || (unsigned int)index >= stack->fds)
		return 0;
	got = stack->fd[index].revents;
	if (got & POLLIN)
		events |= SLIRP_POLL_IN;
	if (got & POLLOUT)
		events |= SLIRP_POLL_OUT;
	if (got & POLLPRI)
		events |= SLIRP_POLL_PRI;
	if (got & POLLERR)
		events |= SLIRP_POLL_ERR;
	if (got & POLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

/* The shorter of slirp's time and that until the next timer. */
static int until_timer(const struct user_stack *stack, uint32_t slirp_ms)
{
	int64_t now = clock_ns(NULL) / NS_PER_MS;
	int64_t ms = slirp_ms == UINT32_MAX ? INT32_MAX : slirp_ms;

	for (unsigned int i = 0; i < TIMERS; i++) {
		const struct user_timer *t = &stack->timer[i];
		int64_t left = t->due - now;

		if (t->used && t->due >= 0 && left < ms)
			ms = left > 0 ? left : 0;
	}
	return ms == INT32_MAX ? -1 : (int)ms;
}

static struct pollfd *wait_for(struct user_stack *stack, unsigned int *count,
			       int *timeout)
{
	uint32_t ms = UINT32_MAX;

	stack->fds = 0;
	add_poll(-1, 0, stack); /* the caller's */
	slirp_pollfds_fill(stack->slirp, &ms, add_poll, stack);
	*count = stack->fds;
	*timeout = until_timer(stack, ms);
	return stack->fds ? stack->fd : NULL;
}

static void fire(struct user_stack *stack)
{
	int64_t now = clock_ns(NULL) / NS_PER_MS;

	for (unsigned int i = 0; i < TIMERS; i++) {
		struct user_timer *t = &stack->timer[i];

		if (!t->used || t->due < 0 || t->due > now)
			continue;
		t->due = -1;
		slirp_handle_timer(stack->slirp, t->id, t->ctx);
	}
}

/* Whether a socket of the host's takes more now. */
static bool writable(const struct user_stack *stack, int result)
{
	for (unsigned int i = 1; result > 0 && i < stack->fds; i++)
		if (stack->fd[i].revents & POLLOUT)
			return true;
	return false;
}

/* Each answer may take its window from the list. */
static void ask_windows(struct user_stack *stack)
{
	struct tcp_plain asked;

	for (unsigned int i = stack->windows.count; i--;) {
		if (i >= stack->windows.count)
			continue;
		asked = stack->windows.closed[i];
		slirp_input(stack->slirp, asked.frame, (int)asked.size);
	}
}

/* Datagrams of sockets that have nothing else to tell. */
static void receive(struct user_stack *stack)
{
	for (unsigned int i = 1; i < stack->fds; i++)
		if (stack->fd[i].revents == POLLIN &&
		    flow_receive(&stack->flows, stack->fd[i].fd))
			stack->fd[i].revents = 0;
}

static void serve(struct user_stack *stack, int result)
{
	note_time(stack);
	if (result > 0)
		receive(stack);
	slirp_pollfds_poll(stack->slirp, result < 0, get_events, stack);
	if (stack->windows.count && writable(stack, result))
		ask_windows(stack);
	fire(stack);
}

const struct user_stack_ops user_net_stack = {
	.open = open_stack,
	.close = close_stack,
	.forward = forward,
	.unforward = unforward,
	.input = input,
	.flush = flush,
	.wait = wait_for,
	.serve = serve,
};
