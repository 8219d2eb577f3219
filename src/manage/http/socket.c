/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/vms/{vm}/console and /vnc: a machine's serial console and its
 * display (RFC 6143, as it lies) over a WebSocket (RFC 6455), as binary
 * messages whose borders mean nothing. What one side does not take is not read
 * from the other, so each connection needs one chunk each way.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "manage/http/impl.h"
#include "manage/vm/vm.h"
#include "vmm/runtime.h"

#define CHUNK	     16384
#define RECEIVED_MAX 65536 /* what libwebsockets hands over at once */
#define HEADER_SIZE  1024
#define VNC	     "vnc="

struct carry {
	struct lws *wsi;
	struct loop *loop;
	int fd;
	bool ended; /* the machine's side has */
	size_t out_size, in_size, in_done;
	unsigned char out[LWS_PRE + CHUNK]; /* to the client */
	unsigned char in[RECEIVED_MAX];	    /* from it */
};

/* --- the machine's side ------------------------------------------------------------ */

static int connect_to(const struct sockaddr *address, socklen_t size)
{
	int fd = socket(address->sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (!connect(fd, address, size) || errno == EINPROGRESS)
		return fd;
	size = (socklen_t)errno;
	close(fd);
	return -(int)size;
}

static int connect_path(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	return connect_to((const void *)&address, sizeof(address));
}

/* A port of this computer, whatever address its server has. */
static int connect_port(const char *where)
{
	const char *port = strrchr(where, ':');
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port ? port + 1 : where)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	return connect_to((const void *)&address, sizeof(address));
}

static int connect_display(const struct vm *vm)
{
	const char *display = json_string_value(
		json_object_get(vm->config, "display"));
	char path[RUNTIME_PATH_MAX], *end;

	if (!display || !strcmp(display, "none"))
		return -ENODEV;
	if (strncmp(display, VNC, sizeof(VNC) - 1)) {
		runtime_path(path, vm->row.name, "vnc");
		return connect_path(path);
	}
	display += sizeof(VNC) - 1;
	if (strncmp(display, "unix:", 5))
		return connect_port(display);
	snprintf(path, sizeof(path), "%s", display + 5);
	end = strstr(path, ",password-file=");
	if (end)
		*end = '\0';
	return connect_path(path);
}

static int open_machine(const struct vm *vm, const char *what,
			struct problem *problem)
{
	bool display = !strcmp(what, "vnc");
	char path[RUNTIME_PATH_MAX];
	int fd;

	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED &&
	    vm->state != VM_STOPPING)
		return problem_set(problem, 409, "wrong-state", "%s is %s; "
				   "lodge start %s first", vm->row.name,
				   lifecycle_state_name(vm->state),
				   vm->row.name);
	runtime_path(path, vm->row.name, "console");
	fd = display ? connect_display(vm) : connect_path(path);
	if (fd == -ENODEV)
		return problem_set(problem, 409, "no-display", "%s has no "
				   "display; lodge edit %s --display std "
				   "gives it one", vm->row.name, vm->row.name);
	if (fd < 0)
		return problem_set(problem, 503, "not-reached", "the %s of %s "
				   "is not reached: %s",
				   display ? "display" : "console",
				   vm->row.name, strerror(-fd));
	return fd;
}

/* --- the upgrade -------------------------------------------------------------------- */

static void refused(void *ctx)
{
}

/* Writes the whole answer; 1: that is done. */
static int refuse(struct lws *wsi, struct visitor *visitor,
		  struct api_call *call, const struct problem *problem)
{
	unsigned char buffer[LWS_PRE + HEADER_SIZE];
	unsigned char *start = buffer + LWS_PRE, *at = start;
	unsigned char *end = buffer + sizeof(buffer) - 1;
	unsigned char body[LWS_PRE + HEADER_SIZE];
	int size, rc = -1;

	call->answered = refused;
	api_refuse_unread(visitor->http->api, call, problem);
	size = snprintf((char *)body + LWS_PRE, HEADER_SIZE, "%s\n",
			call->text ? call->text : "{}");
	if (size > 0 && size < HEADER_SIZE &&
	    !http_put_head(wsi, call, call->type ? call->type : "", &at,
			   end) &&
	    !lws_add_http_header_content_length(wsi, (lws_filepos_t)size, &at,
						end) &&
	    !lws_finalize_write_http_header(wsi, start, &at, end) &&
	    lws_write(wsi, body + LWS_PRE, (size_t)size,
		      LWS_WRITE_HTTP_FINAL) == size)
		rc = 1;
	json_decref(call->answer);
	free(call->text);
	return rc;
}

static int check_path(const struct api_call *call, struct problem *problem)
{
	const char *what = strrchr(call->path, '/');

	if (!strncmp(call->path, "/v1/vms/", 8) && what > call->path + 7 &&
	    (!strcmp(what, "/console") || !strcmp(what, "/vnc")))
		return 0;
	return problem_set(problem, 404, "no-such-path", "there is no "
			   "WebSocket at %.200s; /v1/vms/NAME/console and vnc "
			   "are", call->path);
}

int http_upgrade(struct lws *wsi, struct visitor *visitor)
{
	struct api *api = visitor->http->api;
	char path[API_PATH_MAX] = "?";
	struct problem problem;
	struct api_call call;
	struct vm *vm = NULL;
	int fd = -1, length;

	if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) < 0)
		strcpy(path, "?");
	length = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI);
	http_take_head(wsi, visitor, path, &call);
	/* Answers to others may have to wait, for which there is no place. */
	if (strcmp(call.method, "GET"))
		return -1;
	if (!http_check_line(wsi, path, (size_t)length, &problem) &&
	    !http_check_origin(wsi, &problem) && !check_path(&call, &problem))
		vm = api_admit(api, &call, ROLE_OPERATOR, &problem);
	if (vm)
		fd = open_machine(vm, call.part[3], &problem);
	if (fd < 0)
		return refuse(wsi, visitor, &call, &problem);
	call.status = 101;
	api_note(api, &call);
	visitor->carried = fd;
	return 0;
}

/* --- carrying ------------------------------------------------------------------------ */

static void watch(struct carry *carry)
{
	loop_change(carry->loop, carry->fd,
		    (carry->out_size || carry->ended ? 0 : LOOP_READ) |
			    (carry->in_done < carry->in_size ? LOOP_WRITE :
							       0));
}

static bool retries(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void end(struct carry *carry)
{
	carry->ended = true;
	loop_remove(carry->loop, carry->fd);
	lws_callback_on_writable(carry->wsi);
}

/* To the machine; when it has all, more comes. */
static bool push(struct carry *carry)
{
	ssize_t n = send(carry->fd, carry->in + carry->in_done,
			 carry->in_size - carry->in_done,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return retries(n);
	carry->in_done += (size_t)n;
	if (carry->in_done < carry->in_size)
		return true;
	carry->in_done = carry->in_size = 0;
	lws_rx_flow_control(carry->wsi, 1);
	return true;
}

static void machine_ready(void *ctx, uint32_t events)
{
	struct carry *carry = ctx;
	ssize_t n;

	if (carry->in_done < carry->in_size && !push(carry)) {
		end(carry);
		return;
	}
	if (!carry->out_size && events & (LOOP_READ | LOOP_HUP)) {
		n = recv(carry->fd, carry->out + LWS_PRE, CHUNK, MSG_DONTWAIT);
		if (!n || (n < 0 && !retries(n))) {
			end(carry);
			return;
		}
		carry->out_size = n > 0 ? (size_t)n : 0;
		if (carry->out_size)
			lws_callback_on_writable(carry->wsi);
	} else if (events & LOOP_HUP && carry->out_size) {
		/* What it said last is read when this is sent. */
		loop_change(carry->loop, carry->fd, 0);
		return;
	}
	watch(carry);
}

static int established(struct lws *wsi, struct session *session)
{
	struct visitor *visitor = lws_get_opaque_user_data(wsi);
	struct carry *carry = calloc(1, sizeof(*carry));

	if (!carry || !visitor || visitor->carried < 0) {
		free(carry);
		return -1;
	}
	session->carry = carry;
	session->visitor = visitor;
	carry->wsi = wsi;
	carry->loop = visitor->http->loop;
	carry->fd = visitor->carried;
	visitor->http->api->clients++;
	return loop_add(carry->loop, carry->fd, LOOP_READ, machine_ready,
			carry);
}

static int received(struct carry *carry, const void *data, size_t size)
{
	if (carry->ended)
		return 0;
	if (size > sizeof(carry->in) - carry->in_size)
		return -1;
	memcpy(carry->in + carry->in_size, data, size);
	carry->in_size += size;
	lws_rx_flow_control(carry->wsi, 0);
	if (!push(carry))
		end(carry);
	else
		watch(carry);
	return 0;
}

static int writable(struct carry *carry)
{
	size_t size = carry->out_size;

	carry->out_size = 0;
	if (size && lws_write(carry->wsi, carry->out + LWS_PRE, size,
			      LWS_WRITE_BINARY) < 0)
		return -1;
	if (carry->ended) {
		lws_close_reason(carry->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
		return -1;
	}
	watch(carry);
	return 0;
}

static void closed(struct session *session)
{
	struct carry *carry = session->carry;

	if (!carry)
		return;
	session->visitor->http->api->clients--;
	if (!carry->ended)
		loop_remove(carry->loop, carry->fd);
	free(carry);
	session->carry = NULL;
}

int http_socket_take(struct lws *wsi, enum lws_callback_reasons reason,
		     struct session *session, void *in, size_t size)
{
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		return established(wsi, session);
	case LWS_CALLBACK_RECEIVE:
		return session->carry ? received(session->carry, in, size) :
					-1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return session->carry ? writable(session->carry) : -1;
	case LWS_CALLBACK_CLOSED:
		closed(session);
		return 0;
	default:
		return 0;
	}
}
