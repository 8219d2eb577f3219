/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VNC viewers on the event loop; see vnc_server.h.
 *
 * Keys go through a queue of their own: a guest's keyboard holds few bytes,
 * and a viewer that pastes text sends it all at once.
 */
#include "vmm/display/vnc_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "board/board.h"
#include "chip/ps2_mouse.h"
#include "vmm/listener.h"
#include "vnc/auth.h"
#include "vnc/protocol.h"
#include "vnc/session.h"

#define MS	     1000000ull
#define NS_PER_S     1000000000ull
#define LIVELY_NS    (25 * MS)	/* between two looks at the picture, */
#define QUIET_NS     (100 * MS) /* and when it has not changed for */
#define LIVELY_FOR   (500 * MS)
#define KEYS_NS	     (3 * MS)  /* between two looks at the keyboard */
#define KEYS_WAIT_NS NS_PER_S  /* a guest that reads nothing is given up */
#define REFUSED_NS   NS_PER_S  /* after a wrong password */
#define KEYS_MAX     1024u
#define UNREAD_MAX   4u /* bytes in the guest's keyboard, and it gets more */
#define READ_MAX     4096u
#define TURNS	     4u /* sends to one viewer before others have theirs */

struct viewer {
	struct vnc_server *server;
	struct vnc_session *session; /* NULL: free */
	int fd;
	bool writing; /* the loop watches for room */
};

struct vnc_server {
	struct listener listener;
	struct loop *loop; /* NULL: not started */
	struct board *board;
	int timer;
	struct vnc_shared shared;
	struct vnc_screen screen;
	char password[VNC_PASSWORD_MAX + 1];
	uint64_t refused_until;
	uint64_t drawn, lively_until; /* host_monotonic_ns() times */
	struct viewer viewer[VNC_CLIENTS_MAX];

	struct {
		uint8_t key;
		bool down;
	} keys[KEYS_MAX];
	unsigned int keys_head, keys_count;
	uint64_t keys_moved; /* when the last one was given to the guest */
};

/* --- keys and pointer ------------------------------------------------------------ */

static void give_keys(struct vnc_server *server)
{
	uint64_t now = host_monotonic_ns();

	while (server->keys_count &&
	       board_keys_unread(server->board) <= UNREAD_MAX) {
		unsigned int at = server->keys_head;

		board_key(server->board, server->keys[at].key,
			  server->keys[at].down);
		server->keys_head = (at + 1) % KEYS_MAX;
		server->keys_count--;
		server->keys_moved = now;
	}
	if (now - server->keys_moved < KEYS_WAIT_NS)
		return;
	/* Nothing stays held in a guest that does not read. */
	for (; server->keys_count; server->keys_count--) {
		unsigned int at = server->keys_head;

		if (!server->keys[at].down)
			board_key(server->board, server->keys[at].key, false);
		server->keys_head = (at + 1) % KEYS_MAX;
	}
}

static void key_moved(void *ctx, unsigned int key, bool down)
{
	struct vnc_server *server = ctx;
	unsigned int at = (server->keys_head + server->keys_count) % KEYS_MAX;

	if (server->keys_count == KEYS_MAX)
		return;
	if (!server->keys_count)
		server->keys_moved = host_monotonic_ns();
	server->keys[at].key = (uint8_t)key;
	server->keys[at].down = down;
	server->keys_count++;
	give_keys(server);
	server->lively_until = host_monotonic_ns() + LIVELY_FOR;
}

/* A tablet is put where the viewer's is; a mouse knows of movement alone. */
static void pointer_moved(void *ctx, const struct vnc_pointer *pointer)
{
	static const struct {
		unsigned int viewer, guest;
	} buttons[] = {
		{ RFB_BUTTON_LEFT, PS2_MOUSE_LEFT },
		{ RFB_BUTTON_MIDDLE, PS2_MOUSE_MIDDLE },
		{ RFB_BUTTON_RIGHT, PS2_MOUSE_RIGHT },
	};
	struct vnc_server *server = ctx;
	unsigned int held = 0;

	for (size_t i = 0; i < sizeof(buttons) / sizeof(buttons[0]); i++)
		if (pointer->buttons & buttons[i].viewer)
			held |= buttons[i].guest;
	if (!board_point(server->board, pointer->x, pointer->y, pointer->width,
			 pointer->height, pointer->wheel, held))
		board_mouse(server->board, pointer->dx, pointer->dy,
			    pointer->wheel, held);
	server->lively_until = host_monotonic_ns() + LIVELY_FOR;
}

/* One wrong password a second, whoever sends them. */
static bool admit(void *ctx, bool right)
{
	struct vnc_server *server = ctx;
	uint64_t now = host_monotonic_ns();

	if (now < server->refused_until)
		return false;
	if (!right)
		server->refused_until = now + REFUSED_NS;
	return right;
}

/* --- the picture ----------------------------------------------------------------- */

/* Held: the device lock. */
static void take_frame(void *ctx, const struct frame *frame)
{
	struct vnc_server *server = ctx;
	struct vnc_tiles changed;

	if (!vnc_screen_take(&server->screen, frame, &changed))
		return;
	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (server->viewer[i].session)
			vnc_session_changed(server->viewer[i].session,
					    &changed);
	server->lively_until = host_monotonic_ns() + LIVELY_FOR;
}

static uint64_t next_look(const struct vnc_server *server)
{
	bool lively = server->drawn < server->lively_until;

	return server->drawn + (lively ? LIVELY_NS : QUIET_NS);
}

/* Looks at the picture unless it did so just now. */
static void look(struct vnc_server *server)
{
	uint64_t now = host_monotonic_ns();

	if (server->drawn && now < server->drawn + LIVELY_NS)
		return;
	server->shared.absolute = board_points(server->board);
	board_draw(server->board, take_frame, server);
	server->drawn = now;
}

/* --- viewers --------------------------------------------------------------------- */

static void drop(struct viewer *viewer)
{
	struct vnc_session *session = viewer->session;

	viewer->session = NULL;
	loop_remove(viewer->server->loop, viewer->fd);
	close(viewer->fd);
	vnc_session_destroy(session);
}

static void watch(struct viewer *viewer, bool writing)
{
	if (viewer->writing == writing)
		return;
	viewer->writing = writing;
	loop_change(viewer->server->loop, viewer->fd,
		    writing ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* Sends what there is, as far as the socket takes it. */
static void serve(struct viewer *viewer)
{
	bool full = false;
	size_t size = 0;

	for (unsigned int turn = 0; turn < TURNS && !full; turn++) {
		const uint8_t *data =
			vnc_session_output(viewer->session, &size);
		ssize_t n;

		if (!data)
			break;
		n = send(viewer->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			vnc_session_sent(viewer->session, (size_t)n);
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			size = SIZE_MAX;
		full = n != (ssize_t)size;
	}
	if (size == SIZE_MAX)
		drop(viewer);
	else
		watch(viewer, size);
}

/* When there is something to do without a viewer's word. */
static void arm(struct vnc_server *server)
{
	uint64_t when = UINT64_MAX, now = host_monotonic_ns();
	struct itimerspec timer = { 0 };

	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (server->viewer[i].session &&
		    vnc_session_waits(server->viewer[i].session))
			when = next_look(server);
	if (server->keys_count && when > now + KEYS_NS)
		when = now + KEYS_NS;
	if (when != UINT64_MAX) {
		timer.it_value.tv_sec = (time_t)(when / NS_PER_S);
		timer.it_value.tv_nsec = (long)(when % NS_PER_S);
	}
	timerfd_settime(server->timer, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void timer_passed(void *ctx, uint32_t events)
{
	struct vnc_server *server = ctx;
	uint64_t count;

	if (read(server->timer, &count, sizeof(count)) != sizeof(count))
		return;
	give_keys(server);
	look(server);
	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (server->viewer[i].session &&
		    vnc_session_waits(server->viewer[i].session))
			serve(&server->viewer[i]);
	arm(server);
}

/* False: it is gone. */
static bool receive(struct viewer *viewer)
{
	uint8_t data[READ_MAX];
	const uint8_t *rest;
	size_t size;
	ssize_t n = recv(viewer->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n > 0 && vnc_session_receive(viewer->session, data, (size_t)n))
		return true;
	/* Why it was refused, if that fits. */
	rest = n > 0 ? vnc_session_output(viewer->session, &size) : NULL;
	if (rest)
		n = send(viewer->fd, rest, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	drop(viewer);
	return false;
}

static void viewer_ready(void *ctx, uint32_t events)
{
	struct viewer *viewer = ctx;
	struct vnc_server *server = viewer->server;
	bool stays = true;

	if (events & LOOP_READ) {
		stays = receive(viewer);
	} else if (events & LOOP_HUP) {
		drop(viewer);
		stays = false;
	}
	if (stays) {
		if (vnc_session_waits(viewer->session))
			look(server);
		serve(viewer);
	}
	arm(server);
}

/* A free place, or that of somebody who has not said who he is. */
static struct viewer *find_place(struct vnc_server *server)
{
	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (!server->viewer[i].session)
			return &server->viewer[i];
	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (!vnc_session_is_open(server->viewer[i].session)) {
			drop(&server->viewer[i]);
			return &server->viewer[i];
		}
	return NULL;
}

static void viewer_came(void *ctx, uint32_t events)
{
	struct vnc_server *server = ctx;
	struct viewer *viewer;
	int one = 1;
	int fd = accept4(server->listener.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	/* What it asks for is drawn by then: a screen has a size. */
	look(server);
	viewer = find_place(server);
	if (!viewer || !server->screen.pixels) {
		close(fd);
		return;
	}
	*viewer = (struct viewer){ .server = server, .fd = fd };
	viewer->session = vnc_session_create(&server->shared);
	if (!viewer->session ||
	    loop_add(server->loop, fd, LOOP_READ, viewer_ready, viewer)) {
		vnc_session_destroy(viewer->session);
		viewer->session = NULL;
		close(fd);
		return;
	}
	/* Both fail for Unix sockets, which need neither. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	serve(viewer);
}

/* --- opening and closing --------------------------------------------------------- */

/* The password, out of `text`, which is what the file begins with. */
static int take_password(struct vnc_server *server, const char *path,
			 const char *text, struct vmm_error *error)
{
	size_t length = strcspn(text, "\r\n");

	if (!length || length > VNC_PASSWORD_MAX)
		return vmm_error_set(error, "vnc password file %s: its first "
				     "line has to have 1 to %d characters",
				     path, VNC_PASSWORD_MAX);
	memcpy(server->password, text, length);
	server->shared.password = server->password;
	return 0;
}

static int read_password(struct vnc_server *server, const char *path,
			 struct vmm_error *error)
{
	char text[VNC_PASSWORD_MAX + 2] = "";
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n;
	int rc;

	if (fd < 0 || fstat(fd, &status)) {
		rc = vmm_error_set(error, "vnc password file %s: %s", path,
				   strerror(errno));
	} else if (!S_ISREG(status.st_mode)) {
		rc = vmm_error_set(error, "vnc password file %s: is no "
				   "regular file", path);
	} else if (status.st_mode & 077) {
		rc = vmm_error_set(error, "vnc password file %s: others may "
				   "use it; chmod 600 %s", path, path);
	} else {
		n = read(fd, text, sizeof(text) - 1);
		rc = n < 0 ? vmm_error_set(error, "vnc password file %s: %s",
					   path, strerror(errno)) :
			     take_password(server, path, text, error);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

int vnc_server_open(struct vnc_server **out, const struct vnc_config *config,
		    struct vmm_error *error)
{
	struct vnc_server *server = calloc(1, sizeof(*server));
	int rc = 0;

	*out = server;
	if (!server)
		return vmm_error_set(error, "vnc: out of memory");
	server->listener = (struct listener)LISTENER_NONE;
	server->timer = -1;
	server->shared = (struct vnc_shared){
		.screen = &server->screen,
		.key = key_moved,
		.pointer = pointer_moved,
		.admit = admit,
		.ctx = server,
	};
	if (config->password_file)
		rc = read_password(server, config->password_file, error);
	if (!rc)
		rc = listener_open(&server->listener, "vnc", config->where,
				   VNC_CLIENTS_MAX, error);
	if (!rc && !server->shared.password &&
	    !listener_is_local(&server->listener))
		rc = vmm_error_set(error, "vnc port %s: other computers reach "
				   "it; add ,password-file=PATH, or give a "
				   "port of this computer and use ssh -L",
				   config->where);
	if (rc) {
		vnc_server_close(server);
		*out = NULL;
	}
	return rc;
}

int vnc_server_start(struct vnc_server *server, struct loop *loop,
		     struct board *board, const char *name,
		     struct vmm_error *error)
{
	char where[LISTENER_NAME_MAX];
	int rc;

	server->board = board;
	server->shared.name = name;
	server->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->timer < 0)
		return vmm_error_set(error, "vnc: %s", strerror(errno));
	rc = loop_add(loop, server->timer, LOOP_READ, timer_passed, server);
	if (!rc)
		rc = loop_add(loop, server->listener.fd, LOOP_READ,
			      viewer_came, server);
	if (rc)
		return vmm_error_set(error, "vnc: %s", strerror(-rc));
	server->loop = loop;
	listener_name(&server->listener, where);
	fprintf(stderr, "lodge: vnc: %s\n", where);
	return 0;
}

void vnc_server_close(struct vnc_server *server)
{
	if (!server)
		return;
	for (unsigned int i = 0; i < VNC_CLIENTS_MAX; i++)
		if (server->viewer[i].session)
			drop(&server->viewer[i]);
	if (server->loop) {
		loop_remove(server->loop, server->listener.fd);
		loop_remove(server->loop, server->timer);
	}
	listener_close(&server->listener);
	if (server->timer >= 0)
		close(server->timer);
	vnc_screen_free(&server->screen);
	explicit_bzero(server->password, sizeof(server->password));
	free(server);
}
