/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's networks: $XDG_DATA_HOME/lodge/networks/NAME has the record
 * network.json, and beside it what the network's own process keeps there.
 * A folder without a record is none: half made, or half taken away.
 *
 * A machine that uses a network holds the lock (flock) of a file there,
 * use/MACHINE@MAC, for as long as its process lives: so it is known who uses
 * what whenever somebody is killed.
 *
 * Several processes may use the store at once, and each may be killed at any
 * time: who changes it, or asks who uses what, holds the lock of networks/.lock
 * meanwhile, and a record is replaced in one step.
 */
#ifndef LODGE_NET_NETWORK_STORE_H
#define LODGE_NET_NETWORK_STORE_H

#include "host/linux/data.h"
#include "net/network.h"

struct network_store {
	int lock;   /* the file's descriptor */
	int folder; /* networks/ */
	char path[DATA_PATH_MAX]; /* above it */
};

/* Opens the store, made when missing. 0, or -1 with the error. */
int network_store_open(struct network_store *store, struct net_error *error);
void network_store_close(struct network_store *store);

/* 0; 1 with the error: there is none of that name; -1: it is damaged. */
int network_store_find(struct network_store *store, const char *name,
		       struct network *network, struct net_error *error);

/*
 * All networks by the alphabet; free() them. Damaged ones have a name alone
 * (created -1). The number, or -1 with the error.
 */
int network_store_list(struct network_store *store, struct network **list,
		       struct net_error *error);

/*
 * Adds a network that network_complete() has seen; when it has no subnets it
 * is given some. 0, or -1 with the error: the name is taken, its addresses
 * are another network's.
 */
int network_store_add(struct network_store *store, struct network *network,
		      struct net_error *error);

/*
 * Puts another record in the place of that of network->name. 0, or -1 with
 * the error: there is none, a machine uses it, other networks' addresses.
 */
int network_store_replace(struct network_store *store,
			  const struct network *network,
			  struct net_error *error);

/* 0, or -1 with the error: there is none, a machine uses it. */
int network_store_remove(struct network_store *store, const char *name,
			 struct net_error *error);

/* The network's folder, open; -1: there is none. */
int network_store_folder(struct network_store *store, const char *name);

/* A machine's hold on a network. */
struct network_use {
	int fd; /* the locked file's; -1: none */
	int folder; /* the network's */
	char file[NETWORK_NAME_MAX + 24];
};

/*
 * Machine `machine` uses the network with a card of that address from now on.
 * 0, or -1 with the error: there is no such network, or another card of it has
 * the address.
 */
int network_use_begin(struct network_store *store, const char *name,
		      const char *machine, const uint8_t mac[NIC_MAC],
		      struct network *network, struct network_use *use,
		      struct net_error *error);
void network_use_end(struct network_use *use);

/* Calls `tell` for each card that uses the network. */
void network_store_users(struct network_store *store, const char *name,
			 void (*tell)(void *ctx, const char *machine,
				      const char *mac),
			 void *ctx);

#endif
