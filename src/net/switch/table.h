/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where MAC addresses are: learned from frames, forgotten when they were not
 * seen for five minutes, so many a port at most.
 */
#ifndef LODGE_NET_SWITCH_TABLE_H
#define LODGE_NET_SWITCH_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/nic.h"

#define TABLE_SIZE     1024u
#define TABLE_PORTS    64u
#define TABLE_PORT_MAX 64u /* addresses of one port */
#define TABLE_AGE      300000u /* ms */
#define TABLE_NOWHERE  TABLE_PORTS

struct table_entry {
	uint8_t mac[NIC_MAC];
	bool used;
	uint8_t port;
	uint64_t seen; /* ms */
};

struct table {
	struct table_entry entry[TABLE_SIZE];
	unsigned int of_port[TABLE_PORTS];
};

/* The address is at the port. Too many of them are not learned. */
void table_learn(struct table *table, const uint8_t mac[NIC_MAC],
		 unsigned int port, uint64_t now);

/* The port; TABLE_NOWHERE: not known. */
unsigned int table_find(const struct table *table, const uint8_t mac[NIC_MAC],
			uint64_t now);

/* The port is gone. */
void table_forget(struct table *table, unsigned int port);

#endif
