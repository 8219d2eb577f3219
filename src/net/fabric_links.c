/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interfaces of a network: its bridge with the addresses of router and
 * name server, and as ports of it the uplink, itself or one VLAN of it
 * (IEEE 802.1Q), and a VXLAN (RFC 7348) whose other ends are known beforehand.
 * Machines' taps are not among them: those make and end themselves.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/fabric.h"
#include "net/rtnl.h"

#define VXLAN_PORT 4789 /* IANA's */

static int fail(struct net_error *error, const char *what, const char *name,
		int err)
{
	if (err == -EPERM || err == -EACCES)
		return net_error_set(error, "a network that is a bridge takes "
				     "CAP_NET_ADMIN (root); one with --backing "
				     "switch takes none");
	if (err == -EOPNOTSUPP)
		return net_error_set(error, "%s %s: this kernel is built "
				     "without", what, name);
	return net_error_set(error, "%s %s: %s", what, name, strerror(-err));
}

/* --- making links ------------------------------------------------------------------ */

/* A bridge's own address: locally administered, the same each time. */
static void own_mac(const char *name, uint8_t mac[NIC_MAC])
{
	net_make_mac(mac, name, 0);
}

/* Up to the attributes of its kind; *kind and *data are to be ended. */
static void begin_link(struct rtnl *r, const struct fabric *fabric,
		       const char *name, const char *kind,
		       struct nlattr **info, struct nlattr **data)
{
	struct ifinfomsg *link = rtnl_begin(
		r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*link));

	link->ifi_flags = link->ifi_change = IFF_UP;
	rtnl_put_text(r, IFLA_IFNAME, name);
	if (fabric->network.mtu)
		rtnl_put_u32(r, IFLA_MTU, fabric->network.mtu);
	if (strcmp(name, fabric->bridge))
		rtnl_put_u32(r, IFLA_MASTER, if_nametoindex(fabric->bridge));
	*info = rtnl_nest(r, IFLA_LINKINFO);
	rtnl_put_text(r, IFLA_INFO_KIND, kind);
	*data = rtnl_nest(r, IFLA_INFO_DATA);
}

static int end_link(struct rtnl *r, struct nlattr *info, struct nlattr *data)
{
	int err;

	rtnl_nest_end(r, data);
	rtnl_nest_end(r, info);
	err = rtnl_talk(r);
	return err == -EEXIST ? 0 : err;
}

static int make_bridge(struct rtnl *r, const struct fabric *fabric)
{
	struct nlattr *info, *data;
	struct rtnl_link up = { .up = 1 };
	uint8_t mac[NIC_MAC];
	int err;

	own_mac(fabric->bridge, mac);
	begin_link(r, fabric, fabric->bridge, "bridge", &info, &data);
	rtnl_put_u32(r, IFLA_BR_STP_STATE, 0);
	rtnl_put_u32(r, IFLA_BR_FORWARD_DELAY, 0);
	rtnl_nest_end(r, data);
	rtnl_nest_end(r, info);
	rtnl_put(r, IFLA_ADDRESS, mac, sizeof(mac));
	err = rtnl_talk(r);
	if (err && err != -EEXIST)
		return err;
	return rtnl_change(r, if_nametoindex(fabric->bridge), &up);
}

static int make_vlan(struct rtnl *r, const struct fabric *fabric)
{
	struct nlattr *info, *data;

	begin_link(r, fabric, fabric->vlan, "vlan", &info, &data);
	rtnl_put_u16(r, IFLA_VLAN_ID, fabric->network.vlan);
	rtnl_nest_end(r, data);
	rtnl_nest_end(r, info);
	rtnl_put_u32(r, IFLA_LINK, if_nametoindex(fabric->network.uplink));
	return end_link(r, NULL, NULL);
}

/* The interface as it is becomes a port. */
static int join_uplink(struct rtnl *r, const struct fabric *fabric)
{
	struct rtnl_link change = {
		.bridge = if_nametoindex(fabric->bridge),
		.up = 1,
	};

	return rtnl_change(r, if_nametoindex(fabric->network.uplink), &change);
}

/* --- the overlay --------------------------------------------------------------------- */

/* Frames for all, and for those that are not known yet, go to each peer. */
static int add_peer(struct rtnl *r, unsigned int vxlan, const char *peer)
{
	static const uint8_t all[NIC_MAC];
	struct ndmsg *entry = rtnl_begin(r, RTM_NEWNEIGH,
					 NLM_F_CREATE | NLM_F_APPEND,
					 sizeof(*entry));
	struct in6_addr in6;
	struct in_addr in;
	int err;

	entry->ndm_family = AF_BRIDGE;
	entry->ndm_ifindex = (int)vxlan;
	entry->ndm_state = NUD_NOARP | NUD_PERMANENT;
	entry->ndm_flags = NTF_SELF;
	rtnl_put(r, NDA_LLADDR, all, sizeof(all));
	if (inet_pton(AF_INET, peer, &in) == 1)
		rtnl_put(r, NDA_DST, &in, sizeof(in));
	else if (inet_pton(AF_INET6, peer, &in6) == 1)
		rtnl_put(r, NDA_DST, &in6, sizeof(in6));
	err = rtnl_talk(r);
	return err == -EEXIST ? 0 : err;
}

static int make_vxlan(struct rtnl *r, const struct fabric *fabric)
{
	const struct network *network = &fabric->network;
	const bool six = network->peers && strchr(network->peer[0], ':');
	const struct in6_addr any6 = IN6ADDR_ANY_INIT;
	struct nlattr *info, *data;
	int err;

	begin_link(r, fabric, fabric->vxlan, "vxlan", &info, &data);
	rtnl_put_u32(r, IFLA_VXLAN_ID, network->vxlan);
	rtnl_put_u16(r, IFLA_VXLAN_PORT, htons(VXLAN_PORT));
	rtnl_put_u8(r, IFLA_VXLAN_LEARNING, 1);
	if (six)
		rtnl_put(r, IFLA_VXLAN_LOCAL6, &any6, sizeof(any6));
	err = end_link(r, info, data);
	for (unsigned int i = 0; !err && i < network->peers; i++)
		err = add_peer(r, if_nametoindex(fabric->vxlan),
			       network->peer[i]);
	return err;
}

/* --- addresses ------------------------------------------------------------------------ */

static int add_address(struct rtnl *r, const struct fabric *fabric, int family,
		       const void *address, size_t size, unsigned int bits)
{
	struct ifaddrmsg *message = rtnl_begin(
		r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*message));
	int err;

	message->ifa_family = (uint8_t)family;
	message->ifa_prefixlen = (uint8_t)bits;
	message->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
	message->ifa_index = if_nametoindex(fabric->bridge);
	rtnl_put(r, IFA_LOCAL, address, size);
	rtnl_put(r, IFA_ADDRESS, address, size);
	err = rtnl_talk(r);
	return err == -EEXIST ? 0 : err;
}

static int add_address4(struct rtnl *r, const struct fabric *fabric,
			uint32_t address)
{
	struct in_addr in = { htonl(address) };

	return add_address(r, fabric, AF_INET, &in, sizeof(in),
			   fabric->network.bits4);
}

static int add_addresses(struct rtnl *r, const struct fabric *fabric)
{
	const struct network *network = &fabric->network;
	const struct in6_addr six[] = { network_router6(network),
					network_names6(network) };
	int err = 0;

	if (network->has4)
		err = add_address4(r, fabric, network_router4(network));
	if (network->has4 && !err)
		err = add_address4(r, fabric, network_names4(network));
	for (unsigned int i = 0; network->has6 && !err && i < 2; i++)
		err = add_address(r, fabric, AF_INET6, &six[i], sizeof(six[i]),
				  64);
	return err;
}

/* --- the kernel's switches ------------------------------------------------------------- */

static int read_number(const char *path)
{
	char text[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '-';
	close(fd);
	return text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : -1;
}

static void write_number(const char *path, int number)
{
	char text = (char)('0' + number);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, &text, 1) != 1)
		number = -1;
	close(fd);
}

/* Interfaces that listen to routers go on with it (accept_ra 2). */
static void keep_listening(void)
{
	struct if_nameindex *all = if_nameindex(), *one;
	char path[96];

	for (one = all; one && one->if_index; one++) {
		snprintf(path, sizeof(path),
			 "/proc/sys/net/ipv6/conf/%.15s/accept_ra",
			 one->if_name);
		if (read_number(path) == 1)
			write_number(path, 2);
	}
	if (all)
		if_freenameindex(all);
}

static void let_forward(const struct fabric *fabric)
{
	static const char four[] = "/proc/sys/net/ipv4/ip_forward";
	static const char six[] = "/proc/sys/net/ipv6/conf/all/forwarding";

	if (fabric->network.kind == NETWORK_ISOLATED)
		return;
	if (fabric->network.has4 && read_number(four) == 0)
		write_number(four, 1);
	if (fabric->network.has6 && read_number(six) == 0) {
		keep_listening();
		write_number(six, 1);
	}
}

/* --- all of them ------------------------------------------------------------------------- */

static int make_ports(struct rtnl *r, const struct fabric *fabric,
		      struct net_error *error)
{
	const struct network *network = &fabric->network;
	int err;

	if (network->uplink[0] && !if_nametoindex(network->uplink))
		return net_error_set(error, "uplink %s: there is no such "
				     "interface", network->uplink);
	if (network->uplink[0]) {
		err = network->vlan ? make_vlan(r, fabric) :
				      join_uplink(r, fabric);
		if (err)
			return fail(error, network->vlan ? "a VLAN of" : "uplink",
				    network->uplink, err);
	}
	err = network->vxlan ? make_vxlan(r, fabric) : 0;
	return err ? fail(error, "vxlan", fabric->vxlan, err) : 0;
}

/* Taps that are there already: of a bridge that was made anew. */
static void join_taps(struct rtnl *r, const struct fabric *fabric)
{
	const struct rtnl_link change = {
		.bridge = if_nametoindex(fabric->bridge),
	};

	for (unsigned int i = 0; i < fabric->ports; i++) {
		unsigned int tap = if_nametoindex(fabric->port[i].tap);

		if (tap)
			rtnl_change(r, tap, &change);
	}
}

int fabric_links_make(const struct fabric *fabric, struct net_error *error)
{
	struct rtnl r;
	int err = rtnl_open(&r), failed;

	if (!err)
		err = make_bridge(&r, fabric);
	if (!err)
		err = add_addresses(&r, fabric);
	failed = err ? fail(error, "bridge", fabric->bridge, err) :
		       make_ports(&r, fabric, error);
	if (!failed)
		join_taps(&r, fabric);
	rtnl_close(&r);
	if (!failed)
		let_forward(fabric);
	return failed;
}

static void remove_link(struct rtnl *r, const char *name)
{
	struct ifinfomsg *link;
	unsigned int index = if_nametoindex(name);

	if (!index)
		return;
	link = rtnl_begin(r, RTM_DELLINK, 0, sizeof(*link));
	link->ifi_index = (int)index;
	rtnl_talk(r);
}

void fabric_links_remove(const struct fabric *fabric)
{
	struct rtnl r;

	if (!rtnl_open(&r)) {
		remove_link(&r, fabric->vxlan);
		remove_link(&r, fabric->vlan);
		remove_link(&r, fabric->bridge);
	}
	rtnl_close(&r);
}
