/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network's switch as a process: the first machine that needs it starts it
 * (connect.h), and it ends after the last one. It holds the lock of
 * switch.lock in the network's folder for as long as it lives.
 */
#ifndef LODGE_NET_SWITCH_SERVE_H
#define LODGE_NET_SWITCH_SERVE_H

#include "net/network_store.h"

/*
 * Serves the network; `ready` is called once machines can connect. 0 at the
 * end, or -1 with the error.
 */
int switch_serve(struct network_store *store, const char *name,
		 void (*ready)(void), struct net_error *error);

#endif
