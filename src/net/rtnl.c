/* SPDX-License-Identifier: Apache-2.0 */
#include "net/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER 4096
#define DUMP   32768 /* what the kernel gives at once, at most */

int rtnl_open(struct rtnl *r)
{
	const int one = 1;

	*r = (struct rtnl){
		.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			     NETLINK_ROUTE),
	};
	if (r->fd < 0)
		return -errno;
	/* The answer to a refusal need not repeat the request. */
	setsockopt(r->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

void rtnl_close(struct rtnl *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/* --- what others do ---------------------------------------------------------- */

int rtnl_watch_links(void)
{
	const struct sockaddr_nl links = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&links,
			    sizeof(links))) {
		close(fd);
		return -1;
	}
	return fd;
}

void rtnl_forget(int links)
{
	char bytes[4096];

	while (links >= 0 && (recv(links, bytes, sizeof(bytes), 0) >= 0 ||
			      errno == ENOBUFS))
		;
}

/* --- building ---------------------------------------------------------------- */

/* Room for `size` more bytes, cleared; NULL: there is none. */
static void *room(struct rtnl *r, size_t size)
{
	const size_t at = NLMSG_ALIGN(r->head.nlmsg_len);

	if (r->overflow || at + size > sizeof(r->message)) {
		r->overflow = 1;
		return NULL;
	}
	memset(r->message + at, 0, size);
	r->head.nlmsg_len = (uint32_t)(at + size);
	return r->message + at;
}

void *rtnl_begin(struct rtnl *r, uint16_t type, uint16_t flags, size_t size)
{
	r->overflow = 0;
	r->head = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
		.nlmsg_seq = ++r->sequence,
	};
	return room(r, size);
}

void rtnl_put(struct rtnl *r, uint16_t type, const void *data, size_t size)
{
	struct nlattr *attribute = room(r, NLA_HDRLEN + size);

	if (!attribute)
		return;
	attribute->nla_type = type;
	attribute->nla_len = (uint16_t)(NLA_HDRLEN + size);
	memcpy((uint8_t *)attribute + NLA_HDRLEN, data, size);
}

void rtnl_put_text(struct rtnl *r, uint16_t type, const char *text)
{
	rtnl_put(r, type, text, strlen(text) + 1);
}

void rtnl_put_u8(struct rtnl *r, uint16_t type, uint8_t value)
{
	rtnl_put(r, type, &value, sizeof(value));
}

void rtnl_put_u16(struct rtnl *r, uint16_t type, uint16_t value)
{
	rtnl_put(r, type, &value, sizeof(value));
}

void rtnl_put_u32(struct rtnl *r, uint16_t type, uint32_t value)
{
	rtnl_put(r, type, &value, sizeof(value));
}

struct nlattr *rtnl_nest(struct rtnl *r, uint16_t type)
{
	struct nlattr *nest = room(r, NLA_HDRLEN);

	if (nest)
		nest->nla_type = type | NLA_F_NESTED;
	return nest;
}

void rtnl_nest_end(struct rtnl *r, struct nlattr *nest)
{
	if (nest && !r->overflow)
		nest->nla_len = (uint16_t)(r->message + r->head.nlmsg_len -
					   (uint8_t *)nest);
}

/* --- talking ------------------------------------------------------------------ */

static int send_out(struct rtnl *r)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (r->overflow)
		return -EMSGSIZE;
	if (sendto(r->fd, r->message, r->head.nlmsg_len, 0,
		   (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* What the kernel says. 1: nothing yet. */
static int take(struct rtnl *r, const void *answer, size_t size)
{
	const struct nlmsghdr *m = answer;

	for (; NLMSG_OK(m, size); m = NLMSG_NEXT(m, size)) {
		if (m->nlmsg_seq != r->sequence)
			continue;
		if (m->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
	}
	return 1;
}

int rtnl_talk(struct rtnl *r)
{
	_Alignas(struct nlmsghdr) uint8_t answer[ANSWER];
	int err = send_out(r);

	if (err)
		return err;
	do {
		ssize_t got = recv(r->fd, answer, sizeof(answer), 0);

		if (got < 0 && errno == EINTR)
			err = 1;
		else
			err = got < 0 ? -errno :
				take(r, answer, (size_t)got);
	} while (err > 0);
	return err;
}

/* --- interfaces ------------------------------------------------------------------ */

int rtnl_change(struct rtnl *r, unsigned int index,
		const struct rtnl_link *change)
{
	struct ifinfomsg *info = rtnl_begin(r, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	if (change->up)
		info->ifi_flags = info->ifi_change = IFF_UP;
	if (change->mac)
		rtnl_put(r, IFLA_ADDRESS, change->mac, 6);
	if (change->mtu)
		rtnl_put_u32(r, IFLA_MTU, change->mtu);
	if (change->bridge)
		rtnl_put_u32(r, IFLA_MASTER, change->bridge);
	return rtnl_talk(r);
}

static bool is_port(const struct nlmsghdr *m, unsigned int bridge,
		    const uint8_t *mac, char name[IFNAMSIZ])
{
	const struct rtattr *at = IFLA_RTA((char *)NLMSG_DATA(m));
	size_t left = IFLA_PAYLOAD(m);
	bool ours = false, same = false;

	*name = '\0';
	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		const size_t size = RTA_PAYLOAD(at);

		if (at->rta_type == IFLA_MASTER && size == sizeof(bridge))
			ours = !memcmp(RTA_DATA(at), &bridge, size);
		else if (at->rta_type == IFLA_ADDRESS && size == 6)
			same = !memcmp(RTA_DATA(at), mac, size);
		else if (at->rta_type == IFLA_IFNAME && size <= IFNAMSIZ)
			memcpy(name, RTA_DATA(at), size);
	}
	return ours && same;
}

/* Some of a dump. 1: more comes; 0: found; or a negative errno. */
static int take_ports(struct rtnl *r, uint8_t *answer, unsigned int bridge,
		      const uint8_t *mac, char name[IFNAMSIZ])
{
	ssize_t got = recv(r->fd, answer, DUMP, 0);
	const struct nlmsghdr *m = (const void *)answer;
	size_t left = got > 0 ? (size_t)got : 0;

	if (got < 0)
		return errno == EINTR ? 1 : -errno;
	for (; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
		if (m->nlmsg_seq != r->sequence)
			continue;
		if (m->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
		if (m->nlmsg_type == NLMSG_DONE)
			return -ENOENT;
		if (m->nlmsg_type == RTM_NEWLINK &&
		    is_port(m, bridge, mac, name))
			return 0;
	}
	return 1;
}

int rtnl_find_port(struct rtnl *r, unsigned int bridge, const uint8_t *mac,
		   char name[IFNAMSIZ])
{
	struct ifinfomsg *info = rtnl_begin(r, RTM_GETLINK, NLM_F_DUMP,
					    sizeof(*info));
	uint8_t *answer = malloc(DUMP);
	int err;

	info->ifi_family = AF_UNSPEC;
	rtnl_put_u32(r, IFLA_MASTER, bridge); /* old kernels give all */
	err = answer ? send_out(r) : -ENOMEM;
	if (!err)
		do
			err = take_ports(r, answer, bridge, mac, name);
		while (err > 0);
	free(answer);
	return err;
}

int rtnl_no_addresses(struct rtnl *r, unsigned int index)
{
	struct ifinfomsg *info = rtnl_begin(r, RTM_NEWLINK, 0, sizeof(*info));
	struct nlattr *families, *six;

	info->ifi_index = (int)index;
	families = rtnl_nest(r, IFLA_AF_SPEC);
	six = rtnl_nest(r, AF_INET6);
	rtnl_put_u8(r, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	rtnl_nest_end(r, six);
	rtnl_nest_end(r, families);
	return rtnl_talk(r);
}
