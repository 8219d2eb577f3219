/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often each client may ask: a bucket of requests that fills with time
 * and that each of them empties. Clients are told by a text: a token's name,
 * an address. Those that have asked for nothing for long are forgotten.
 */
#ifndef LODGE_MANAGE_CLIENT_H
#define LODGE_MANAGE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_KEY_MAX 95
#define CLIENTS_KEPT   512

struct client {
	char key[CLIENT_KEY_MAX + 1]; /* "": a free place */
	double left;  /* requests */
	uint64_t seen; /* host_monotonic_ns() */
};

struct clients {
	struct client client[CLIENTS_KEPT];
};

/*
 * Takes one request of `key`, which may make `burst` at once and `rate` a
 * second. False: it has to wait; *seconds says how long.
 */
bool clients_take(struct clients *clients, const char *key, double rate,
		  double burst, uint64_t now, unsigned int *seconds);

#endif
