/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's parts: the handshake and messages (session.c), input
 * (session_input.c), updates (session_update.c).
 */
#ifndef LODGE_VNC_SESSION_IMPL_H
#define LODGE_VNC_SESSION_IMPL_H

#include "chip/key.h"
#include "vnc/bytes.h"
#include "vnc/encode.h"
#include "vnc/pixel.h"
#include "vnc/protocol.h"
#include "vnc/session.h"

enum session_state {
	SESSION_VERSION,
	SESSION_SECURITY,
	SESSION_ANSWER, /* to the challenge */
	SESSION_INIT,
	SESSION_OPEN,
};

struct vnc_session {
	const struct vnc_shared *shared;
	enum session_state state;
	unsigned int minor; /* of the version: 3, 7 or 8 */
	uint8_t challenge[RFB_CHALLENGE_SIZE];

	/* A message's fixed part, and what is taken of the rest. */
	uint8_t in[20];
	unsigned int in_size;
	uint32_t encodings; /* still to come, of a list */
	uint32_t skip;	    /* bytes still to be thrown away */

	/* What the client can do. */
	struct vnc_format format;
	struct vnc_format next_format; /* from the next update on */
	bool new_format;
	struct vnc_zrle *zrle; /* made when first used */
	bool use_zrle, chosen; /* the first encoding that we know counts */
	bool can_resize, can_cursor, can_pointer, can_codes;
	bool told_cursor, told_pointer, told_codes;
	bool absolute; /* the pointer, as last told or taken */

	/* Updates. */
	uint32_t width, height; /* that the client has */
	bool requested;
	struct vnc_tiles wanted;  /* by the request */
	struct vnc_tiles dirty;
	struct vnc_tiles sending; /* of the update under way */
	struct vnc_bytes out;
	size_t sent; /* of `out` */

	/* Input. */
	uint8_t held[(KEY_COUNT + 7) / 8];
	bool caps; /* lock, as far as this client has pressed it */
	bool placed; /* the pointer has been somewhere */
	uint32_t x, y;
	unsigned int buttons; /* as in the last event */
};

/* Whole messages (session_input.c). */
void session_key_event(struct vnc_session *s, const uint8_t *message);
void session_key_code(struct vnc_session *s, const uint8_t *message);
void session_pointer_event(struct vnc_session *s, const uint8_t *message);
void session_let_go(struct vnc_session *s);

/* Updates (session_update.c). */
void session_add_encoding(struct vnc_session *s, int32_t encoding);
void session_request(struct vnc_session *s, bool incremental,
		     const struct vnc_rect *rect);

#endif
