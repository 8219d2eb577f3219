/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes "tap" and "bridge": a card's frames to and from a tap of the host's
 * kernel (Documentation/networking/tuntap.rst), one descriptor and one thread
 * for each pair of queues. A frame of the guest's goes to the kernel on the
 * thread that sends it.
 *
 * tap=NAME is one that is there; tap alone makes one, which is gone with its
 * descriptors, and so with this process however it ends; bridge=NAME makes that
 * a port of a bridge, or of a network of that name (net/fabric.h).
 */
#ifndef LODGE_NET_TAP_H
#define LODGE_NET_TAP_H

#include <net/if.h>

#include "net/net.h"

extern const struct net_mode net_tap_mode, net_bridge_mode;

struct tap_device {
	char name[IFNAMSIZ];
	unsigned int index;	 /* 0: in another network namespace */
	int fd[NIC_QUEUES_MAX];	 /* queues of them */
	unsigned int queues;
	bool header;		 /* before each frame, struct nic_header */
	uint16_t mtu;
	int watch; /* readable when some interface has changed; -1: none */
};

/* How a new one is to be, if not as its mode says. */
struct tap_plan {
	char name[IFNAMSIZ], bridge[IFNAMSIZ];
};

/* --- tap_device.c: between the kernel's interfaces and us -------------------- */

/* `plan` may be NULL. -1 with the error, and nothing open. */
int tap_device_open(struct tap_device *device, const struct net_config *config,
		    const struct tap_plan *plan, struct net_error *error);

/* Whether it is up. Forgets what `watch` has told. */
bool tap_device_up(struct tap_device *device);

/* Frames for us leave open, from now on, no more than these NIC_CAN_*. */
void tap_device_offer(const struct tap_device *device, unsigned int can);

void tap_device_close(struct tap_device *device);

/* Whether the words can be. */
int tap_device_check(const struct net_config *config, struct net_error *error);

#endif
