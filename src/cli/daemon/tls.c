/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSAL_MS 2000
#define CHUNK 16384

struct pump {
	SSL *ssl;
	int outer, inner; /* the server's socket, ours of the pair */
	char up[CHUNK], down[CHUNK];
	size_t up_used, down_used;
};

/* --- carrying ------------------------------------------------------------------- */

/* Whether OpenSSL waits for this; false: it is over. */
static bool waits(struct pump *pump, int rc, short *events)
{
	int why = SSL_get_error(pump->ssl, rc);

	if (why == SSL_ERROR_WANT_READ)
		*events |= POLLIN;
	else if (why == SSL_ERROR_WANT_WRITE)
		*events |= POLLOUT;
	else
		return false;
	return true;
}

static void shift(char *data, size_t *used, size_t gone)
{
	*used -= gone;
	memmove(data, data + gone, *used);
}

/* To the server. */
static bool move_up(struct pump *pump, short *outer, short *inner)
{
	ssize_t n;
	int rc;

	if (!pump->up_used) {
		n = recv(pump->inner, pump->up, CHUNK, MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN))
			return false;
		pump->up_used = n > 0 ? (size_t)n : 0;
	}
	while (pump->up_used) {
		rc = SSL_write(pump->ssl, pump->up, (int)pump->up_used);
		if (rc <= 0)
			return waits(pump, rc, outer);
		shift(pump->up, &pump->up_used, (size_t)rc);
	}
	*inner |= POLLIN;
	return true;
}

static bool move_down(struct pump *pump, short *outer, short *inner)
{
	ssize_t n;
	int rc;

	for (;;) {
		while (pump->down_used) {
			n = send(pump->inner, pump->down, pump->down_used,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno == EAGAIN) {
				*inner |= POLLOUT;
				return true;
			}
			if (n <= 0)
				return false;
			shift(pump->down, &pump->down_used, (size_t)n);
		}
		rc = SSL_read(pump->ssl, pump->down, CHUNK);
		if (rc <= 0)
			return waits(pump, rc, outer);
		pump->down_used = (size_t)rc;
	}
}

static void *carry(void *ctx)
{
	struct pump *pump = ctx;

	for (;;) {
		struct pollfd fds[2] = { { .fd = pump->outer },
					 { .fd = pump->inner } };

		if (!move_down(pump, &fds[0].events, &fds[1].events) ||
		    !move_up(pump, &fds[0].events, &fds[1].events))
			break;
		poll(fds, 2, -1);
	}
	SSL_shutdown(pump->ssl);
	SSL_free(pump->ssl);
	close(pump->outer);
	close(pump->inner);
	free(pump);
	return NULL;
}

/* --- connecting ------------------------------------------------------------------- */

static int fail(const struct tls_where *where, char *error, size_t size,
		const char *why)
{
	unsigned long code = ERR_get_error();

	if (!why)
		why = code ? ERR_reason_error_string(code) : "out of memory";
	snprintf(error, size, "%s port %s: %s", where->host, where->port,
		 why ? why : "TLS failed");
	return -1;
}

static int connect_server(const struct tls_where *where, char *error,
			  size_t size)
{
	const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *at;
	int fd = -1, err;

	err = getaddrinfo(where->host, where->port, &wanted, &list);
	if (err)
		return fail(where, error, size, gai_strerror(err));
	for (at = list; at; at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && !connect(fd, at->ai_addr, at->ai_addrlen))
			break;
		err = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd >= 0 ? fd : fail(where, error, size, strerror(err));
}

/* Called when the server asks for one and none was given. */
static int have_no_certificate(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
	static char asked;

	SSL_set_app_data(ssl, &asked);
	return 0;
}

static SSL_CTX *make_context(const struct tls_where *where)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool good = context &&
		    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);

	if (good && where->ca)
		good = SSL_CTX_load_verify_locations(context, where->ca, NULL);
	else if (good)
		good = SSL_CTX_set_default_verify_paths(context);
	if (good && where->certificate)
		good = SSL_CTX_use_certificate_chain_file(
			       context, where->certificate) == 1 &&
		       SSL_CTX_use_PrivateKey_file(context, where->key,
						   SSL_FILETYPE_PEM) == 1;
	if (good) {
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_client_cert_cb(context, have_no_certificate);
		return context;
	}
	SSL_CTX_free(context);
	return NULL;
}

/*
 * By TLS 1.3 a client is done before the server has looked at what it has: one
 * that asked for a certificate and got none may still refuse, at once.
 */
static bool is_taken(SSL *ssl, int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char byte;
	int rc;

	if (!SSL_get_app_data(ssl))
		return true;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	poll(&poll_fd, 1, REFUSAL_MS);
	rc = SSL_peek(ssl, &byte, 1);
	return rc > 0 || SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ;
}

/* What an error of its certificate says, and the mend of the usual one. */
static void fail_verify(const struct tls_where *where, char *error, size_t size,
			long why)
{
	bool unknown = why == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
		       why == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
		       why == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
		       why == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
	char text[200];

	snprintf(text, sizeof(text), "%s%s",
		 X509_verify_cert_error_string(why),
		 unknown ? "; --ca FILE names an authority to trust" : "");
	fail(where, error, size, text);
}

static SSL *shake_hands(const struct tls_where *where, int fd, char *error,
			size_t size)
{
	SSL_CTX *context = make_context(where);
	SSL *ssl = context ? SSL_new(context) : NULL;
	X509_VERIFY_PARAM *param = ssl ? SSL_get0_param(ssl) : NULL;
	long why;

	SSL_CTX_free(context);
	/* An address, or else a name. */
	if (!ssl || !SSL_set_fd(ssl, fd) ||
	    (!X509_VERIFY_PARAM_set1_ip_asc(param, where->host) &&
	     (!SSL_set1_host(ssl, where->host) ||
	      !SSL_set_tlsext_host_name(ssl, where->host)))) {
		fail(where, error, size, NULL);
	} else if (SSL_connect(ssl) == 1 && is_taken(ssl, fd)) {
		return ssl;
	} else if ((why = SSL_get_verify_result(ssl)) != X509_V_OK) {
		fail_verify(where, error, size, why);
	} else {
		fail(where, error, size,
		     SSL_get_app_data(ssl) ?
			     "takes clients with a certificate alone; --cert "
			     "FILE and --key FILE are yours" : NULL);
	}
	SSL_free(ssl);
	return NULL;
}

int tls_open(const struct tls_where *where, char *error, size_t size)
{
	struct pump *pump = calloc(1, sizeof(*pump));
	int pair[2] = { -1, -1 };
	pthread_t thread;

	if (!pump)
		return fail(where, error, size, "out of memory");
	pump->outer = connect_server(where, error, size);
	if (pump->outer >= 0)
		pump->ssl = shake_hands(where, pump->outer, error, size);
	if (pump->ssl && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair))
		fail(where, error, size, strerror(errno));
	pump->inner = pair[1];
	if (pair[0] >= 0) {
		fcntl(pump->outer, F_SETFL, O_NONBLOCK);
		SSL_set_mode(pump->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
						SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		if (!pthread_create(&thread, NULL, carry, pump)) {
			pthread_detach(thread);
			return pair[0];
		}
		fail(where, error, size, "no thread");
		close(pair[0]);
		close(pair[1]);
	}
	SSL_free(pump->ssl);
	if (pump->outer >= 0)
		close(pump->outer);
	free(pump);
	return -1;
}
