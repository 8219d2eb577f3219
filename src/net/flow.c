/* SPDX-License-Identifier: Apache-2.0 */
#include "net/flow.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h */
#endif

#define PORT_DNS   53 /* IANA's numbers */
#define PORT_BOOT  67
#define PORT_TFTP  69
#define PORT_BOOT6 547

#define TTL4	 64	/* of what libslirp sends */
#define TTL6	 255
#define FIRST_ID 0x8000 /* libslirp counts from 0 */
#define FD_STEP	 64u
#define SEND_MAX 65507u /* data at once, over IPv4 */
#define ROOM	 (UDP_HEADS6 + UDP_DATA_MAX)

struct flow {
	struct flow *next; /* of its bucket */
	int fd;
	bool can_cut; /* the host */
	bool cut;     /* and it has not refused to */
	bool plain;   /* nothing that the stack does itself, or otherwise */
	unsigned int sure;	/* as `unsure` was when the stack had one */
	int64_t passed;		/* and when that was */
	struct udp_datagram as; /* it was so; its frame is gone */
	uint8_t ethernet[UDP_ETHERNET];
	uint8_t tos;		/* of the first one */
	union flow_address target;
};

static bool is_same(const struct in6_addr *a, const struct in6_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static unsigned int bucket_of(const struct udp_datagram *d)
{
	uint32_t last, sum;

	memcpy(&last, d->from.s6_addr + 12, sizeof(last));
	sum = ntohl(last) + ntohs(d->from_port);
	return (sum ^ sum >> 8) % FLOW_BUCKETS;
}

static struct flow *find(const struct flows *f, const struct udp_datagram *d)
{
	struct flow *flow = f->bucket[bucket_of(d)];

	while (flow && (!is_same(&flow->as.from, &d->from) ||
			flow->as.from_port != d->from_port))
		flow = flow->next;
	return flow;
}

static struct flow *of_fd(const struct flows *f, int fd)
{
	return fd >= 0 && (unsigned int)fd < f->fds ? f->of_fd[fd] : NULL;
}

/* --- what the stack has been given ----------------------------------------- */

static const struct flow_network *network_of(const struct flows *f, bool v6)
{
	return v6 ? &f->ends.v6 : &f->ends.v4;
}

static struct in6_addr loopback(bool v6)
{
	return v6 ? in6addr_loopback
		  : udp_map4((struct in_addr){ htonl(INADDR_LOOPBACK) });
}

static bool is_inside(const struct flow_network *n, const struct in6_addr *to)
{
	uint8_t differs = 0;

	for (unsigned int i = 0; i < sizeof(*to); i++)
		differs |= (to->s6_addr[i] ^ n->network.s6_addr[i]) &
			   n->mask.s6_addr[i];
	return !differs;
}

/* Not one host's, or one of this link's alone. */
static bool is_special(const struct udp_datagram *d)
{
	const struct in6_addr all = udp_map4((struct in_addr){ INADDR_BROADCAST });

	return is_same(&d->to, &all) || IN6_IS_ADDR_MULTICAST(&d->to) ||
	       IN6_IS_ADDR_LINKLOCAL(&d->to);
}

/* Of the network's addresses libslirp plays some, in each version others. */
static bool is_plain(const struct flows *f, const struct udp_datagram *d)
{
	const struct flow_network *n = network_of(f, d->v6);
	const unsigned int port = ntohs(d->to_port);

	return port != PORT_DNS && port != PORT_BOOT && port != PORT_TFTP &&
	       port != PORT_BOOT6 && !is_special(d) &&
	       (is_same(&d->to, &n->host) || !is_inside(n, &d->to));
}

static union flow_address target_of(const struct udp_datagram *d,
				    const struct in6_addr *to)
{
	union flow_address target = { .v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = d->to_port,
		.sin6_addr = *to,
	} };

	if (d->v6)
		return target;
	target.v4 = (struct sockaddr_in){ .sin_family = AF_INET,
					  .sin_port = d->to_port };
	memcpy(&target.v4.sin_addr, to->s6_addr + 12, 4);
	return target;
}

static void note(const struct flows *f, struct flow *flow,
		 const struct udp_datagram *d)
{
	const struct in6_addr here = loopback(d->v6);
	const bool to_host = is_same(&d->to, &network_of(f, d->v6)->host);

	flow->as = *d;
	flow->as.frame = NULL;
	memcpy(flow->ethernet, d->frame, UDP_ETHERNET);
	flow->target = target_of(d, to_host ? &here : &d->to);
	flow->plain = is_plain(f, d);
	flow->cut = flow->can_cut;
	flow->sure = f->unsure;
	flow->passed = f->now;
}

static void pass(struct flows *f, const struct udp_datagram *d)
{
	struct flow *flow;

	f->opening = d;
	f->ends.input(f->ends.ctx, d->frame, d->frame_size);
	f->opening = NULL;
	flow = find(f, d);
	if (flow)
		note(f, flow, d);
}

/* Nothing has changed that the stack does not know, and it was asked lately. */
static bool is_settled(const struct flows *f, const struct flow *flow)
{
	return flow->plain && flow->sure == f->unsure &&
	       f->now - flow->passed < FLOW_PASS_MS;
}

static bool is_alike(const struct flow *flow, const struct udp_datagram *d)
{
	return is_same(&flow->as.to, &d->to) &&
	       flow->as.to_port == d->to_port && flow->as.ttl == d->ttl &&
	       !memcmp(flow->ethernet, d->frame, UDP_ETHERNET);
}

/* --- from the guest -------------------------------------------------------- */

/* One datagram, or several of a size of which the last may be smaller. */
static bool send_batch(struct flows *f)
{
	struct flow *flow = f->to;
	struct iovec part[FLOW_BATCH];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct msghdr message = {
		.msg_name = &flow->target,
		.msg_namelen = flow->as.v6 ? sizeof(flow->target.v6)
					   : sizeof(flow->target.v4),
		.msg_iov = part,
		.msg_iovlen = f->count,
	};
	const uint16_t each = (uint16_t)f->waiting[0].size;
	const uint32_t heads = udp_heads(flow->as.v6);

	for (unsigned int i = 0; i < f->count; i++)
		part[i] = (struct iovec){
			(void *)(f->waiting[i].frame + heads),
			f->waiting[i].size,
		};
	if (f->count > 1) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = IPPROTO_UDP;
		control.header.cmsg_type = UDP_SEGMENT;
		control.header.cmsg_len = CMSG_LEN(sizeof(each));
		memcpy(CMSG_DATA(&control.header), &each, sizeof(each));
	}
	return sendmsg(flow->fd, &message, 0) >= 0;
}

/* What the host refuses is the stack's, which tells the guest why. */
void flows_send(struct flows *f)
{
	const unsigned int count = f->count;

	if (!count)
		return;
	if (!send_batch(f)) {
		f->to->cut = false;
		for (unsigned int i = 0; i < count; i++)
			f->ends.input(f->ends.ctx, f->waiting[i].frame,
				      f->waiting[i].frame_size);
	}
	f->count = 0;
	f->size = 0;
	f->to = NULL;
}

/* Whether one more may go with those that wait. */
static bool fits(const struct flows *f, const struct flow *flow,
		 const struct udp_datagram *d)
{
	return f->to == flow && flow->cut && d->size <= f->waiting[0].size &&
	       f->size + d->size <= SEND_MAX;
}

static void add(struct flows *f, struct flow *flow,
		const struct udp_datagram *d)
{
	if (f->count && !fits(f, flow, d))
		flows_send(f);
	f->to = flow;
	f->waiting[f->count++] = *d;
	f->size += d->size;
	if (f->count == FLOW_BATCH || d->size < f->waiting[0].size)
		flows_send(f);
}

bool flows_input(struct flows *f, const void *frame, size_t size)
{
	struct udp_datagram d;
	struct flow *flow;

	if (!udp_parse(&d, frame, size)) {
		/* The stack may set any port's target by what it is. */
		f->unsure += udp_is_any(frame, size);
		flows_send(f);
		return false;
	}
	flow = find(f, &d);
	if (flow && is_settled(f, flow) && is_alike(flow, &d)) {
		add(f, flow, &d);
		return true;
	}
	flows_send(f);
	pass(f, &d);
	return true;
}

/* --- sockets --------------------------------------------------------------- */

static bool make_room(struct flows *f, int fd)
{
	const unsigned int fds = ((unsigned int)fd / FD_STEP + 1) * FD_STEP;
	struct flow **more;

	if ((unsigned int)fd < f->fds)
		return true;
	more = reallocarray(f->of_fd, fds, sizeof(struct flow *));
	if (!more)
		return false;
	memset(more + f->fds, 0, (fds - f->fds) * sizeof(struct flow *));
	f->of_fd = more;
	f->fds = fds;
	return true;
}

/* Where it is unknown the option would be overlooked (before Linux 4.18). */
static bool host_cuts(int fd)
{
	int value;
	socklen_t size = sizeof(value);

	return !getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &size);
}

void flow_open(struct flows *f, int fd)
{
	struct flow *flow, **bucket;

	if (!f->opening || fd < 0 || !make_room(f, fd))
		return;
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return;
	bucket = &f->bucket[bucket_of(f->opening)];
	flow->next = *bucket;
	*bucket = flow;
	flow->fd = fd;
	flow->can_cut = host_cuts(fd);
	flow->tos = f->opening->tos;
	flow->as = *f->opening;
	f->of_fd[fd] = flow;
}

static void forget(struct flows *f, struct flow *flow)
{
	struct flow **at = &f->bucket[bucket_of(&flow->as)];

	if (f->to == flow)
		flows_send(f);
	while (*at != flow)
		at = &(*at)->next;
	*at = flow->next;
	f->of_fd[flow->fd] = NULL;
	free(flow);
}

void flow_close(struct flows *f, int fd)
{
	struct flow *flow = of_fd(f, fd);

	if (flow)
		forget(f, flow);
}

void flow_leave(struct flows *f, uint16_t port)
{
	for (unsigned int i = 0; i < f->fds; i++)
		if (f->of_fd[i] && f->of_fd[i]->as.from_port == port)
			forget(f, f->of_fd[i]);
}

void flows_close(struct flows *f)
{
	for (unsigned int i = 0; i < f->fds; i++)
		if (f->of_fd[i])
			forget(f, f->of_fd[i]);
	free(f->of_fd);
	free(f->room);
	f->of_fd = NULL;
	f->room = NULL;
	f->fds = 0;
}

/* --- to the guest ---------------------------------------------------------- */

/* Where it comes from, for the guest. */
static struct in6_addr source_of(const struct flows *f, const struct flow *flow,
				 const union flow_address *sender)
{
	const struct in6_addr *host = &network_of(f, flow->as.v6)->host;
	const struct in6_addr here = loopback(flow->as.v6);
	const struct in6_addr from = flow->as.v6 ?
		sender->v6.sin6_addr : udp_map4(sender->v4.sin_addr);

	return is_same(&flow->as.to, host) && is_same(&from, &here) ? *host :
								      from;
}

/* The data is in `room`, behind that of heads of IPv6. */
static void deliver(struct flows *f, const struct flow *flow, uint8_t *room,
		    const union flow_address *sender, uint32_t size)
{
	const bool v6 = flow->as.v6;
	const struct udp_datagram d = {
		.from = source_of(f, flow, sender),
		.from_port = v6 ? sender->v6.sin6_port : sender->v4.sin_port,
		.to = flow->as.from,
		.to_port = flow->as.from_port,
		.v6 = v6,
		.ttl = v6 ? TTL6 : TTL4,
		.tos = flow->tos,
		.size = size,
	};
	/* libslirp's: of the host, or of who sends. */
	const struct in6_addr *of = v6 ? &d.from : &f->ends.v4.host;
	uint8_t router[UDP_MAC] = { 0x52, v6 ? 0x56 : 0x55 };
	uint8_t *frame = room + UDP_HEADS6 - udp_heads(v6);

	memcpy(router + 2, of->s6_addr + 12, 4);
	udp_build(frame, &d, flow->ethernet + UDP_MAC, router,
		  (uint16_t)(FIRST_ID + f->id++));
	f->ends.deliver(f->ends.ctx, frame, udp_heads(v6) + size);
}

static bool prepare(struct flows *f)
{
	if (!f->room)
		f->room = malloc(FLOW_BATCH * ROOM);
	for (unsigned int i = 0; f->room && i < FLOW_BATCH; i++) {
		f->part[i] = (struct iovec){ f->room + i * ROOM + UDP_HEADS6,
					     UDP_DATA_MAX };
		f->message[i].msg_hdr = (struct msghdr){
			.msg_name = &f->sender[i],
			.msg_namelen = sizeof(f->sender[i]),
			.msg_iov = &f->part[i],
			.msg_iovlen = 1,
		};
	}
	return f->room;
}

bool flow_receive(struct flows *f, int fd)
{
	struct flow *flow = of_fd(f, fd);
	int count;

	if (!flow)
		return false;
	if (!is_settled(f, flow) || !prepare(f)) {
		flow->passed = f->now;
		return false;
	}
	count = recvmmsg(fd, f->message, FLOW_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		deliver(f, flow, f->room + (size_t)i * ROOM, &f->sender[i],
			f->message[i].msg_len);
	return true;
}
