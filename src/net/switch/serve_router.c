/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch's port 0. The router of a network with a way out is the mode
 * "user" (net/user.h), a net whose card is that port: it gives frames on a
 * thread of its own. Without one the switch answers itself.
 */
#include <stdlib.h>

#include "net/switch/serve_impl.h"
#include "net/switch/service.h"
#include "net/user.h"

/* --- frames for the port --------------------------------------------------------------- */

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
	core_input(&s->core, CORE_OWN, &core, serve_now_ms());
	pthread_mutex_unlock(&s->lock);
	if (bytes != flat)
		free(bytes);
	return true;
}

static void router_flushes(struct nic *nic)
{
	struct serve *s = of_nic(nic);
	struct serve_told told;

	pthread_rwlock_rdlock(&s->lines);
	pthread_mutex_lock(&s->lock);
	serve_find_told(s, &told);
	pthread_mutex_unlock(&s->lock);
	serve_tell(s, &told);
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

static int open_router(struct serve *s, struct net_error *error)
{
	const struct network *n = &s->network;
	struct network six = *n;
	struct user_plan plan = {
		.network = serve_to_net(n->net4),
		.mask = serve_to_net(~(UINT32_MAX >> n->bits4)),
		.host = serve_to_net(network_router4(n)),
		.name_server = serve_to_net(network_names4(n)),
		.first = serve_to_net(n->net4 + 3), /* not asked: DHCP is ours */
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

int serve_open_own_port(struct serve *s, struct net_error *error)
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

