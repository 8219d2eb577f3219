/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One viewer of a screen by the remote framebuffer protocol (RFC 6143,
 * versions 3.3, 3.7 and 3.8): bytes in, bytes out, no sockets. Whatever comes
 * in, memory and work are bounded: nothing is kept of a message but its fixed
 * part, and an update is made piece by piece as the client takes it.
 *
 * Left out: colour maps, the clipboard, resizing by the client.
 */
#ifndef LODGE_VNC_SESSION_H
#define LODGE_VNC_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vnc/screen.h"

/* Where a viewer's pointer is, and how it came there. */
struct vnc_pointer {
	uint32_t x, y;	       /* on the screen, of */
	uint32_t width, height;
	int dx, dy;	       /* pixels right and down since the last time */
	int wheel;	       /* towards the user */
	unsigned int buttons;  /* RFB_BUTTON_*: held now */
};

/* What all sessions of a screen share; it outlives them. */
struct vnc_shared {
	const char *name;
	const char *password; /* NULL: none is asked for */
	const struct vnc_screen *screen;
	bool absolute; /* the guest's pointer goes where the viewer's is */

	void (*key)(void *ctx, unsigned int key, bool down);
	void (*pointer)(void *ctx, const struct vnc_pointer *pointer);
	/* An answer came, right or wrong; true: the client is let in. */
	bool (*admit)(void *ctx, bool right);
	void *ctx;
};

struct vnc_session;

/* NULL: no memory. */
struct vnc_session *vnc_session_create(const struct vnc_shared *shared);

/* Lets go of what the viewer holds. NULL is fine. */
void vnc_session_destroy(struct vnc_session *session);

/*
 * Takes what the client sent. False: the session is over, after what is to
 * be sent.
 */
bool vnc_session_receive(struct vnc_session *session, const uint8_t *data,
			 size_t size);

/* What changed on the screen, or that it has another size. */
void vnc_session_changed(struct vnc_session *session,
			 const struct vnc_tiles *tiles);

/* The client has said who it is, and sees the screen. */
bool vnc_session_is_open(const struct vnc_session *session);

/* An update is asked for that waits for something to change. */
bool vnc_session_waits(const struct vnc_session *session);

/*
 * Bytes for the client, `*size` of them; makes more of an update when there
 * are few. NULL and 0: none. No memory: NULL and SIZE_MAX, the end.
 */
const uint8_t *vnc_session_output(struct vnc_session *session, size_t *size);

/* `size` of them were sent. */
void vnc_session_sent(struct vnc_session *session, size_t size);

#endif
