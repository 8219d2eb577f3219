/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a machine and its network's switch: a Unix socket of packets
 * (SOCK_SEQPACKET) beside the network's record, and memory that both map.
 *
 * A machine says hello; the switch answers with a welcome and the descriptor
 * of a memory file, of fixed size (memfd_create(2), F_SEAL_SHRINK and
 * F_SEAL_GROW), or with a refusal. From then on a packet of one byte, either
 * way, says "look at your ring", and the end of the socket is the end of all.
 * Not an eventfd: whether writing to one waits belongs to both its holders.
 *
 * Two cards that exchange much are given a shortcut (struct wire_shortcut): a
 * memory file of their own, over which they exchange what claims_pass() lets
 * pass, without the switch. Who takes a frame out looks, for its own sake,
 * whether the other may send it. The end of that socket is the shortcut's.
 *
 * The memory file has a page with two struct lane_shared, the ring to the
 * switch and the one to the machine, and then their bytes. See lane.h.
 */
#ifndef LODGE_NET_SWITCH_WIRE_H
#define LODGE_NET_SWITCH_WIRE_H

#include <stdint.h>

#include "net/net.h"
#include "net/switch/claims.h"

#define WIRE_SOCKET "switch.sock"
#define WIRE_PORT   0x356c7377u /* "wsl5": a card's hello */
#define WIRE_STATUS 0x326c7377u /* a question for the state, as JSON */
#define WIRE_RULES  0x336c7377u /* the rules are others now; answered by the end */

/* The switch's, to a card. */
#define WIRE_SHORTCUT 0x376c7377u
#define WIRE_NO_SHORTCUT 0x386c7377u

#define WIRE_NAME  64
#define WIRE_PUBLISH 80 /* a port as people write it */
#define WIRE_TEXT  200
#define WIRE_STATE 65536 /* the most that an answer to WIRE_STATUS has */

#define WIRE_PAGE	4096u
#define WIRE_TO_SWITCH	(1u << 20) /* bytes of the rings */
#define WIRE_TO_MACHINE (2u << 20)
#define WIRE_SIZE	(WIRE_PAGE + WIRE_TO_SWITCH + WIRE_TO_MACHINE)
#define WIRE_SECOND	2048u /* where the second lane_shared is */

struct wire_hello {
	uint32_t what;
	uint8_t mac[NIC_MAC];
	uint16_t vlan;	  /* the card's tag; 0: none */
	uint32_t address; /* that it is to have, in the host's order; 0: any */
	uint32_t publishes;
	char machine[WIRE_NAME];
	char publish[NET_PUBLISH_MAX][WIRE_PUBLISH];
};

struct wire_welcome {
	uint32_t refused;	/* 0: welcome */
	uint32_t address;	/* leased, in the host's order; 0: none */
	uint32_t taken; /* refused for this port, from 1 on; 0: for another */
	char text[WIRE_TEXT]; /* why it was refused */
};

/*
 * A shortcut to another card, or its end. Beside the one is a socket to the
 * other machine, of packets too, in which a first one is waiting with the
 * descriptor of a memory file: that has the form of a machine's and its
 * switch's, one of the two machines being in the switch's place.
 */
struct wire_shortcut {
	uint32_t what;	/* WIRE_SHORTCUT, WIRE_NO_SHORTCUT */
	uint32_t above; /* 1: this machine is in the switch's place */
	struct claims own, other;
};

#endif
