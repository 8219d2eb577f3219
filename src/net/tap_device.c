/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening taps. What there is is asked by socket ioctls and not in /sys, which
 * may show another network namespace than the process is in.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/rtnl.h"
#include "net/tap.h"
#include "vm/nic_header.h"

#define DEVICE	"/dev/net/tun"
#define PATTERN "lodge%d" /* the kernel's: the first number that is free */

/* --- questions about interfaces -------------------------------------------------- */

/* An ioctl about interface `name`. 0 or a negative errno. */
static int ask(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	if (ioctl(fd, request, ifr))
		err = -errno;
	close(fd);
	return err;
}

/* 0: there is none of that name. */
static unsigned int index_of(const char *name)
{
	struct ifreq ifr = { 0 };

	if (strlen(name) >= IFNAMSIZ || ask(name, SIOCGIFINDEX, &ifr))
		return 0;
	return (unsigned int)ifr.ifr_ifindex;
}

static uint16_t mtu_of(const char *name)
{
	struct ifreq ifr = { 0 };

	if (ask(name, SIOCGIFMTU, &ifr) || ifr.ifr_mtu < (int)NIC_MTU_MIN)
		return NIC_MTU_DEFAULT;
	return ifr.ifr_mtu > (int)NIC_MTU_MAX ? NIC_MTU_MAX :
						(uint16_t)ifr.ifr_mtu;
}

/* Whether its driver is `driver`, and of that kind ("": of any). */
static bool is_a(const char *name, const char *driver, const char *kind)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (char *)&info };

	return !ask(name, SIOCETHTOOL, &ifr) && !strcmp(info.driver, driver) &&
	       (!*kind || !strcmp(info.bus_info, kind));
}

/* --- refusals ----------------------------------------------------------------------- */

static const char *user(char name[32])
{
	const struct passwd *entry = getpwuid(geteuid());

	snprintf(name, 32, "%.31s", entry ? entry->pw_name : "USER");
	return name;
}

static int refuse_device(int err, struct net_error *error)
{
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		return net_error_set(error, DEVICE " is missing: modprobe tun "
				     "brings it; --net user needs none");
	return net_error_set(error, DEVICE ": %s; --net user works without",
			     strerror(-err));
}

/* To make a tap is the administrator's; one made before is anyone's. */
static int refuse_making(const struct net_config *config, int err,
			 struct net_error *error)
{
	const char *bridge = config->subject && config->mode == &net_bridge_mode
				     ? config->subject : NULL;
	char name[32];

	if (err != -EPERM && err != -EACCES)
		return net_error_set(error, "a tap: %s", strerror(-err));
	return net_error_set(
		error, "making a tap takes CAP_NET_ADMIN (root); without it: "
		"--net user, or --net tap=NAME once root has done: ip tuntap "
		"add NAME mode tap user %s%s%.15s; ip link set NAME up",
		user(name), bridge ? "; ip link set NAME master " : "",
		bridge ? bridge : "");
}

static int refuse_given(const char *name, int err, struct net_error *error)
{
	char who[32];

	if (err == -EBUSY)
		return net_error_set(error, "tap=%s: another process has it",
				     name);
	if (err == -EPERM)
		return net_error_set(error, "tap=%s: it is another user's; as "
				     "root: ip tuntap add NAME mode tap user "
				     "%s makes one of yours", name, user(who));
	return net_error_set(error, "tap=%s: %s", name, strerror(-err));
}

/* --- descriptors -------------------------------------------------------------------- */

static int attach(const char *name, unsigned int flags, char out[IFNAMSIZ])
{
	struct ifreq ifr = { .ifr_flags = (short)flags };
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (!ioctl(fd, TUNSETIFF, &ifr)) {
		memcpy(out, ifr.ifr_name, IFNAMSIZ);
		out[IFNAMSIZ - 1] = '\0';
		return fd;
	}
	err = -errno;
	close(fd);
	return err;
}

/* Of the tap `name`, which a pattern may be for the first. 0 or -errno. */
static int attach_all(struct tap_device *d, const char *name,
		      unsigned int queues, bool multi)
{
	const unsigned int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				   (multi ? IFF_MULTI_QUEUE : 0);

	for (d->queues = 0; d->queues < queues; d->queues++) {
		int fd = attach(d->queues ? d->name : name, flags, d->name);

		if (fd < 0) {
			while (d->queues)
				close(d->fd[--d->queues]);
			return fd;
		}
		d->fd[d->queues] = fd;
	}
	return 0;
}

/* Of those handed in. */
static int take_one(struct tap_device *d, int fd, struct net_error *error)
{
	struct ifreq ifr = { 0 };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || ioctl(fd, TUNGETIFF, &ifr) ||
	    !(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI))
		return net_error_set(error, "fd=%d: give the descriptor of a "
				     "tap, without packet information "
				     "(IFF_TAP | IFF_NO_PI)", fd);
	if (d->queues && strncmp(d->name, ifr.ifr_name, IFNAMSIZ))
		return net_error_set(error, "fd=%d: is of another tap than "
				     "those before it", fd);
	memcpy(d->name, ifr.ifr_name, IFNAMSIZ);
	d->name[IFNAMSIZ - 1] = '\0';
	d->header = ifr.ifr_flags & IFF_VNET_HDR;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return net_error_set(error, "fd=%d: %s", fd, strerror(errno));
	d->fd[d->queues++] = fd;
	return 0;
}

/* "N[:N...]": how many; 0: it is none. */
static unsigned int parse_fds(const char *text, int fd[NIC_QUEUES_MAX])
{
	for (unsigned int n = 0; n < NIC_QUEUES_MAX; n++) {
		size_t digits = strspn(text, "0123456789");

		if (!digits || digits > 6)
			return 0;
		fd[n] = atoi(text);
		text += digits;
		if (!*text)
			return n + 1;
		if (*text++ != ':')
			return 0;
	}
	return 0;
}

/* --- the three ways ------------------------------------------------------------------- */

static int open_fds(struct tap_device *d, const struct net_config *config,
		    struct net_error *error)
{
	int fd[NIC_QUEUES_MAX];
	unsigned int count = parse_fds(net_word(config, "fd"), fd);

	for (unsigned int i = 0; i < count; i++)
		if (take_one(d, fd[i], error))
			return -1;
	return 0;
}

/* One queue or several is told at its making, and refused otherwise. */
static int open_given(struct tap_device *d, const struct net_config *config,
		      struct net_error *error)
{
	const char *name = config->subject;
	bool multi = config->queues > 1;
	char who[32];
	int err;

	if (!index_of(name))
		return net_error_set(error, "tap=%s: there is none; as root: "
				     "ip tuntap add %s mode tap user %s makes "
				     "it", name, name, user(who));
	if (!is_a(name, "tun", "tap"))
		return net_error_set(error, "tap=%s: is no tap; --net bridge="
				     "NAME goes to a bridge", name);
	err = attach_all(d, name, config->queues, multi);
	if (err == -EINVAL && !multi)
		err = attach_all(d, name, 1, true);
	if (err == -EINVAL)
		return net_error_set(error, "tap=%s: has one queue; leave out "
				     "queues=%u, or make it anew with "
				     "multi_queue", name, config->queues);
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO ||
	    err == -EACCES)
		return refuse_device(err, error);
	return err ? refuse_given(name, err, error) : 0;
}

static int refuse_twin(struct rtnl *rtnl, const struct net_config *config,
		       const char *bridge, const char *port,
		       struct net_error *error)
{
	char mac[ADDRESS_MAC];

	rtnl_close(rtnl);
	return net_error_set(error, "bridge=%s: mac %s: the machine of tap %s "
			     "has it there; give another with mac=", bridge,
			     address_mac(mac, config->mac), port);
}

/*
 * The bridge's own address must not become that of a guest's tap. That tells its
 * card's all the same, by which a second card with that address is known.
 */
static int join(struct tap_device *d, const struct net_config *config,
		const char *bridge, struct net_error *error)
{
	uint8_t mac[NIC_MAC] = { 0xfe };
	struct rtnl_link change = { .mac = mac, .up = 1 };
	char port[IFNAMSIZ];
	struct rtnl rtnl;
	int err = rtnl_open(&rtnl);

	memcpy(mac + 1, config->mac + 1, NIC_MAC - 1);
	if (bridge) {
		change.bridge = index_of(bridge);
		change.mtu = config->mtu_given ? 0 : mtu_of(bridge);
	}
	if (!err && bridge && !rtnl_find_port(&rtnl, change.bridge, mac, port))
		return refuse_twin(&rtnl, config, bridge, port, error);
	/* A port is the bridge's; a host without IPv6 refuses. */
	if (!err && bridge)
		rtnl_no_addresses(&rtnl, d->index);
	if (!err)
		err = rtnl_change(&rtnl, d->index, &change);
	rtnl_close(&rtnl);
	if (!err)
		return 0;
	return net_error_set(error, "tap %s%s%s: %s", d->name,
			     bridge ? " into bridge " : "",
			     bridge ? bridge : "", strerror(-err));
}

static int open_new(struct tap_device *d, const struct net_config *config,
		    const struct tap_plan *plan, struct net_error *error)
{
	const char *bridge = plan ? plan->bridge : config->subject;
	int err;

	if (bridge && !index_of(bridge))
		return net_error_set(error, "bridge=%s: there is none; as "
				     "root: ip link add %s type bridge makes "
				     "it, lodge net create %s --backing bridge "
				     "a network", bridge, bridge, bridge);
	if (bridge && !is_a(bridge, "bridge", ""))
		return net_error_set(error, "bridge=%s: is no bridge; give "
				     "tap=NAME for a tap", bridge);
	err = attach_all(d, plan ? plan->name : PATTERN, config->queues, config->queues > 1);
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		return refuse_device(err, error);
	if (err)
		return refuse_making(config, err, error);
	d->index = index_of(d->name);
	return join(d, config, bridge, error);
}

/* --- an open one ------------------------------------------------------------------------ */

static int set_mtu(struct tap_device *d, const struct net_config *config,
		   struct net_error *error)
{
	struct ifreq ifr = { .ifr_mtu = config->mtu };
	int err;

	d->mtu = d->index ? mtu_of(d->name) : config->mtu;
	if (!config->mtu_given || d->mtu == config->mtu)
		return 0;
	err = ask(d->name, SIOCSIFMTU, &ifr);
	if (err == -EPERM)
		return net_error_set(error, "mtu=%u: tap %s has %u; as root: "
				     "ip link set %s mtu %u", config->mtu,
				     d->name, d->mtu, d->name, config->mtu);
	if (err)
		return net_error_set(error, "mtu=%u: tap %s: %s", config->mtu,
				     d->name, strerror(-err));
	d->mtu = config->mtu;
	return 0;
}

/* One that was handed in may be in another namespace, and its name ours. */
static unsigned int own_index(const struct tap_device *d)
{
	struct ifreq here = { 0 }, there = { 0 };

	if (ask(d->name, SIOCGIFHWADDR, &here) ||
	    ioctl(d->fd[0], SIOCGIFHWADDR, &there) ||
	    memcmp(here.ifr_hwaddr.sa_data, there.ifr_hwaddr.sa_data, NIC_MAC))
		return 0;
	return index_of(d->name);
}

static int set_header(struct tap_device *d, struct net_error *error)
{
	int size = sizeof(struct nic_header), little = 1;

	for (unsigned int i = 0; d->header && i < d->queues; i++)
		if (ioctl(d->fd[i], TUNSETVNETHDRSZ, &size) ||
		    ioctl(d->fd[i], TUNSETVNETLE, &little))
			return net_error_set(error, "tap %s: %s", d->name,
					     strerror(errno));
	return 0;
}

int tap_device_open(struct tap_device *d, const struct net_config *config,
		    const struct tap_plan *plan, struct net_error *error)
{
	int failed;

	*d = (struct tap_device){ .header = true, .watch = -1 };
	if (net_word(config, "fd"))
		failed = open_fds(d, config, error);
	else if (config->subject && config->mode == &net_tap_mode)
		failed = open_given(d, config, error);
	else
		failed = open_new(d, config, plan, error);
	if (!failed) {
		d->index = own_index(d);
		d->watch = d->index ? rtnl_watch_links() : -1;
		failed = set_header(d, error) || set_mtu(d, config, error);
	}
	if (!failed)
		return 0;
	tap_device_close(d);
	return -1;
}

bool tap_device_up(struct tap_device *d)
{
	struct ifreq ifr = { 0 };
	const int fd = d->watch; /* of the network that it was opened in */

	rtnl_forget(d->watch);
	if (d->watch < 0)
		return true;
	ifr.ifr_ifindex = (int)d->index; /* its name may have changed */
	return !ioctl(fd, SIOCGIFNAME, &ifr) &&
	       !ioctl(fd, SIOCGIFFLAGS, &ifr) && (ifr.ifr_flags & IFF_UP);
}

void tap_device_offer(const struct tap_device *d, unsigned int can)
{
	unsigned long offload = 0;

	if (!d->header)
		return;
	if (can & NIC_CAN_SUM) {
		offload = TUN_F_CSUM;
		if (can & NIC_CAN_TCP4)
			offload |= TUN_F_TSO4;
		if (can & NIC_CAN_TCP6)
			offload |= TUN_F_TSO6;
		if (offload != TUN_F_CSUM && (can & NIC_CAN_ECN))
			offload |= TUN_F_TSO_ECN;
	}
	/* A tap with other descriptors has the offloads of the last word. */
	if (ioctl(d->fd[0], TUNSETOFFLOAD, offload))
		ioctl(d->fd[0], TUNSETOFFLOAD, 0ul);
}

void tap_device_close(struct tap_device *d)
{
	for (unsigned int i = 0; i < d->queues; i++)
		close(d->fd[i]);
	d->queues = 0;
	if (d->watch >= 0)
		close(d->watch);
	d->watch = -1;
}

int tap_device_check(const struct net_config *config, struct net_error *error)
{
	const char *fds = net_word(config, "fd");
	int fd[NIC_QUEUES_MAX];
	unsigned int count;

	if (config->subject && (strlen(config->subject) >= IFNAMSIZ ||
			       strpbrk(config->subject, "/ %:")))
		return net_error_set(error, "%s: is no interface's name",
				     config->subject);
	if (!fds)
		return 0;
	if (config->subject)
		return net_error_set(error, "give tap=NAME or fd=N");
	count = parse_fds(fds, fd);
	if (!count)
		return net_error_set(error, "fd=%s: give the number of an open "
				     "descriptor, several with : between", fds);
	if (count != config->queues)
		return net_error_set(error, "fd=%s: are %u; queues=%u takes as "
				     "many", fds, count, config->queues);
	return 0;
}
