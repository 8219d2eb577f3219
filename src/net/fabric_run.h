/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs, run to their end: nft, and dnsmasq, which goes on by itself.
 */
#ifndef LODGE_NET_FABRIC_RUN_H
#define LODGE_NET_FABRIC_RUN_H

#include <jansson.h>

#include "net/net.h"

/*
 * Runs argv[0], found as a shell finds it and in the folders of system
 * programs, with `input` (NULL: nothing) as its standard input. 0, and *output
 * is what it printed when `output` is not NULL and that is JSON, else NULL; -1
 * with the error, in which the first line of what it complained of is.
 */
int fabric_run(const char *const argv[], const json_t *input, json_t **output,
	       struct net_error *error);

/* `nft -j`: one transaction. */
int fabric_nft(const json_t *transaction, struct net_error *error);

/* `nft -j list WHAT FAMILY TABLE`; NULL: there is no such thing. */
json_t *fabric_nft_list(const char *what, const char *family,
			const char *table);

#endif
