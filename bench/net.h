/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network tests of the benchmark program: a guest's card eth0, and a
 * server on the host, which is the same program. Natively the two meet on the
 * host's loopback.
 *
 * The server takes TCP and UDP at one port of 127.0.0.1. A connection's first
 * byte says what it is for: 'g' and 8 bytes, so many bytes are to come; 'p',
 * all that comes is taken, then a byte answers; 'e', each byte comes back; 'c',
 * one byte comes back, and that was it.
 */
#ifndef LODGE_BENCH_NET_H
#define LODGE_BENCH_NET_H

#include <stdint.h>

#include "work.h"

#define NET_PIECE 65536 /* bytes; what get and put count in */

work_fn net_get;  /* TCP, from the host */
work_fn net_put;  /* TCP, to the host */
work_fn net_rr;	  /* a byte there and back */
work_fn net_conn; /* a connection, a byte there and back, its end */
work_fn net_udp;  /* datagrams of 1400 bytes there and back, 32 at a time */

/*
 * Whether `test` can be: it is one of these, and `peer`, the server's
 * "ADDRESS:PORT", is reached. A guest's drivers are loaded first.
 */
int net_there(const char *test, const char *peer);

/*
 * Milliseconds from the loading of the card's driver to the first answer, in a
 * guest; 0: nobody knows.
 */
double net_first(void);

/* Serves at a port of its own of 127.0.0.1, which it prints. */
_Noreturn void net_serve(void);

/* In a guest: its card's address, unless that of the network "user". */
void net_own(const char *address);

/* As a guest: serves at that port of its card's address. */
_Noreturn void net_serve_guest(const char *port);

#endif
