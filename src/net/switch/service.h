/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a switch answers itself: DHCP and the names of its machines on every
 * network; on one without a router also for the address that does so: ARP,
 * neighbours, echo, and which IPv6 subnet it is.
 */
#ifndef LODGE_NET_SWITCH_SERVICE_H
#define LODGE_NET_SWITCH_SERVICE_H

#include "net/switch/core.h"

/* A frame that a port may send. True: it was for us, and is over. */
bool service_input(struct core *core, unsigned int port,
		   const struct core_frame *frame);

/*
 * The network's own port where there is no router: a frame that came there,
 * answered to the port `from`.
 */
void service_host(struct core *core, unsigned int from, const uint8_t *frame,
		  uint32_t size);

#endif
