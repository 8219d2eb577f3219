/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection by TLS, for lodge on another computer's lodged. It is the
 * extension "tls": the program itself needs no OpenSSL.
 */
#ifndef LODGE_CLI_DAEMON_TLS_H
#define LODGE_CLI_DAEMON_TLS_H

#include <stddef.h>

struct tls_where {
	const char *host, *port;
	const char *ca;		       /* PEM file; NULL: those of the host */
	const char *certificate, *key; /* of the client; NULL: none */
};

/*
 * Connects and checks the server's certificate and name. A descriptor that
 * takes and gives plain bytes (a thread carries them), or -1 with `error`.
 */
typedef int tls_opener(const struct tls_where *where, char *error,
		       size_t size);
int tls_open(const struct tls_where *where, char *error, size_t size);

#endif
