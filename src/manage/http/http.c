/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libwebsockets. A client may be slow, wrong or hostile: headers and
 * bodies are bounded, connections are counted, and one that neither sends nor
 * takes is dropped. Those of others than our own user have a part of the
 * places only, so that they cannot lock us out; where all places are taken, the
 * connection goes that has rested longest, so that nobody can by many of them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "manage/http/impl.h"
#include "vm/host.h"

#define CLIENTS_MAX   256
#define STRANGERS_MAX 192
#define PLACES	      (2 * CLIENTS_MAX) /* with those that are about to go */
#define HEADER_MAX    8192
#define IDLE_SECONDS  120
#define SLOW_SECONDS  30

/* --- who comes ---------------------------------------------------------------------- */

static void leave_place(const struct visitor *visitor)
{
	visitor->http->count--;
	visitor->http->strangers -= visitor->stranger;
}

static void forget_visitor(struct visitor *visitor)
{
	struct visitor **at = &visitor->http->visitors;

	while (*at != visitor)
		at = &(*at)->next;
	*at = visitor->next;
	if (visitor->leaving)
		visitor->http->leaving--;
	else
		leave_place(visitor);
	if (visitor->carried >= 0)
		close(visitor->carried);
	free(visitor);
}

/*
 * Nothing of it is under way: no request, stream or WebSocket. An answer that
 * it does not take is nothing.
 */
static bool rests(const struct visitor *visitor)
{
	const struct session *session = lws_wsi_user(visitor->wsi);

	return !visitor->leaving &&
	       (!session || (!session->under_way && !session->streams &&
			     !session->carry));
}

/* Of strangers alone, or of all. False: none rests. */
static bool drop_one(struct http *http, bool strangers)
{
	struct visitor *oldest = NULL;

	for (struct visitor *at = http->visitors; at; at = at->next)
		if (rests(at) && (at->stranger || !strangers) &&
		    (!oldest || at->since < oldest->since))
			oldest = at;
	if (!oldest)
		return false;
	oldest->leaving = true;
	http->leaving++;
	leave_place(oldest);
	/* What it has not taken would be waited for. */
	shutdown(lws_get_socket_fd(oldest->wsi), SHUT_RDWR);
	lws_set_timeout(oldest->wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE,
			LWS_TO_KILL_ASYNC);
	return true;
}

/* Whether there is a place for one more. */
static bool has_place(struct http *http, bool stranger)
{
	if (http->count + http->leaving >= PLACES)
		return false;
	if (stranger && http->strangers >= STRANGERS_MAX)
		return drop_one(http, true);
	return http->count < CLIENTS_MAX || drop_one(http, false);
}

static void adopt(struct http *http, struct lws_vhost *vhost, int fd,
		  const struct peer *peer, bool stranger)
{
	struct visitor *visitor = NULL;
	struct lws *wsi;

	if (has_place(http, stranger))
		visitor = malloc(sizeof(*visitor));
	if (!visitor) {
		close(fd);
		return;
	}
	/* It closes the socket when it fails. */
	wsi = lws_adopt_socket_vhost(vhost, fd);
	if (!wsi) {
		free(visitor);
		return;
	}
	*visitor = (struct visitor){ .http = http, .next = http->visitors,
				     .wsi = wsi, .peer = *peer,
				     .since = host_monotonic_ns(),
				     .stranger = stranger, .carried = -1 };
	http->visitors = visitor;
	http->count++;
	http->strangers += stranger;
	lws_set_opaque_user_data(wsi, visitor);
}

static void neighbour_came(void *ctx, uint32_t events)
{
	struct http *http = ctx;
	struct peer peer = { .local = true };
	struct ucred who;
	socklen_t size = sizeof(who);
	int fd = accept4(http->listener, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size)) {
		close(fd);
		return;
	}
	peer.uid = who.uid;
	adopt(http, http->vhost, fd, &peer,
	      who.uid && who.uid != geteuid());
}

static void name_address(const struct sockaddr_storage *address,
			 struct peer *peer)
{
	const struct sockaddr_in *four = (const void *)address;
	const struct sockaddr_in6 *six = (const void *)address;

	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, peer->address,
			  sizeof(peer->address));
	else if (address->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, peer->address,
			  sizeof(peer->address));
}

static void stranger_came(void *ctx, uint32_t events)
{
	struct http *http = ctx;
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	struct peer peer = { .local = false };
	int fd = accept4(http->tls_listener, (struct sockaddr *)&address,
			 &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	name_address(&address, &peer);
	adopt(http, http->tls, fd, &peer, true);
}

/* A client's certificate was checked in the handshake. */
static void take_certificate(struct lws *wsi)
{
	struct visitor *visitor = lws_get_opaque_user_data(wsi);
	union lws_tls_cert_info_results found;

	if (!visitor || visitor->peer.local || !lws_is_ssl(wsi) ||
	    *visitor->peer.certificate ||
	    lws_tls_peer_cert_info(wsi, LWS_TLS_CERT_INFO_VERIFIED, &found,
				   0) ||
	    !found.verified ||
	    lws_tls_peer_cert_info(wsi, LWS_TLS_CERT_INFO_COMMON_NAME, &found,
				   sizeof(found.ns.name)) ||
	    found.ns.len <= 0 ||
	    (size_t)found.ns.len >= sizeof(visitor->peer.certificate) ||
	    memchr(found.ns.name, 0, (size_t)found.ns.len))
		return;
	memcpy(visitor->peer.certificate, found.ns.name, (size_t)found.ns.len);
	visitor->peer.certificate[found.ns.len] = '\0';
}

/* --- what libwebsockets tells ----------------------------------------------------------- */

static int on_http(struct lws *wsi, enum lws_callback_reasons reason,
		   void *user, void *in, size_t size)
{
	struct visitor *visitor;

	switch (reason) {
	case LWS_CALLBACK_WSI_DESTROY:
		visitor = lws_get_opaque_user_data(wsi);
		if (visitor)
			forget_visitor(visitor);
		lws_set_opaque_user_data(wsi, NULL);
		return 0;
	case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
		/* Its chain was checked: size tells how that went. */
		return !size;
	case LWS_CALLBACK_HTTP:
		take_certificate(wsi);
		return http_take(wsi, reason, user, in, size);
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		visitor = lws_get_opaque_user_data(wsi);
		take_certificate(wsi);
		return visitor && !strcmp(in, "websocket") ?
			       http_upgrade(wsi, visitor) :
			       -1;
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLOSED:
		return http_socket_take(wsi, reason, user, in, size);
	default:
		return http_take(wsi, reason, user, in, size);
	}
}

/* The inner loop has work. */
static int on_inner(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t size)
{
	struct http *http = lws_context_user(lws_get_context(wsi));

	if (reason == LWS_CALLBACK_RAW_RX_FILE)
		loop_step(http->loop);
	return 0;
}

static const struct lws_protocols protocols[] = {
	{ "http", on_http, sizeof(struct session), 0, 0, NULL, 0 },
	{ "binary", on_http, sizeof(struct session), 0, 0, NULL, 0 },
	{ "inner", on_inner, 0, 0, 0, NULL, 0 },
	{ NULL, NULL, 0, 0, 0, NULL, 0 },
};

/* --- opening ------------------------------------------------------------------------------ */

static void log_line(int level, const char *line)
{
	size_t length = strlen(line);

	host_log(HOST_LOG_WARN, "http: %.*s", (int)(length ? length - 1 : 0),
		 line);
}

static int open_tls(struct http *http,
		    const struct lws_context_creation_info *info,
		    const struct http_tls *tls)
{
	struct lws_context_creation_info more = *info;

	more.vhost_name = "lodged-tls";
	more.ssl_cert_filepath = tls->certificate;
	more.ssl_private_key_filepath = tls->key;
	more.ssl_ca_filepath = tls->client_ca;
	more.ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 |
			       SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
	more.alpn = "http/1.1";
	if (tls->client_ca)
		more.options |=
			LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
	http->tls = lws_create_vhost(http->context, &more);
	return http->tls ? loop_add(http->loop, http->tls_listener, LOOP_READ,
				    stranger_came, http) :
			   -1;
}

static int open_inner(struct http *http)
{
	lws_sock_file_fd_type inner = { .filefd = dup(loop_descriptor(
						http->loop)) };

	return inner.filefd >= 0 &&
			       lws_adopt_descriptor_vhost(
				       http->vhost, LWS_ADOPT_RAW_FILE_DESC,
				       inner, "inner", NULL) ?
		       0 :
		       -1;
}

struct http *http_open(struct loop *loop, struct api *api, int listener,
		       const struct http_tls *tls)
{
	struct http *http = calloc(1, sizeof(*http));
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.user = http,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   (tls->listener >= 0 ?
				    LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT :
				    0),
		.fd_limit_per_thread = PLACES + 16,
		.max_http_header_data = HEADER_MAX,
		.max_http_header_pool = PLACES,
		.keepalive_timeout = IDLE_SECONDS,
		.timeout_secs = SLOW_SECONDS,
		.vhost_name = "lodged",
	};

	if (!http)
		return NULL;
	http->loop = loop;
	http->api = api;
	http->listener = listener;
	http->tls_listener = tls->listener;
	lws_set_log_level(LLL_ERR, log_line);
	http->context = lws_create_context(&info);
	if (http->context)
		http->vhost = lws_create_vhost(http->context, &info);
	if (http->vhost && !open_inner(http) &&
	    !loop_add(loop, listener, LOOP_READ, neighbour_came, http) &&
	    (tls->listener < 0 || !open_tls(http, &info, tls)))
		return http;
	http_close(http);
	return NULL;
}

void http_run(struct http *http)
{
	while (!http->stop && lws_service(http->context, 0) >= 0)
		;
}

void http_stop(struct http *http)
{
	http->stop = true;
	lws_cancel_service(http->context);
}

void http_close(struct http *http)
{
	if (!http)
		return;
	loop_remove(http->loop, http->listener);
	if (http->tls_listener >= 0)
		loop_remove(http->loop, http->tls_listener);
	if (http->context)
		lws_context_destroy(http->context);
	free(http);
}
