/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake (RFC 6143, 7.1 to 7.3) and the client's messages (7.5).
 */
#include "vnc/session_impl.h"

#include <stdlib.h>
#include <string.h>

#include "vm/host.h"
#include "vnc/auth.h"

static uint32_t half(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t word(const uint8_t *p)
{
	return half(p) << 16 | half(p + 2);
}

struct vnc_session *vnc_session_create(const struct vnc_shared *shared)
{
	struct vnc_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->shared = shared;
	vnc_format_parse(&s->format, vnc_format_default);
	vnc_bytes_put(&s->out, RFB_VERSION, RFB_VERSION_SIZE);
	return s;
}

void vnc_session_destroy(struct vnc_session *s)
{
	if (!s)
		return;
	session_let_go(s);
	vnc_zrle_destroy(s->zrle);
	vnc_bytes_free(&s->out);
	free(s);
}

bool vnc_session_is_open(const struct vnc_session *s)
{
	return s->state == SESSION_OPEN;
}

/* --- handshake ----------------------------------------------------------------- */

static void send_challenge(struct vnc_session *s)
{
	host_random(s->challenge, sizeof(s->challenge));
	vnc_bytes_put(&s->out, s->challenge, sizeof(s->challenge));
	s->state = SESSION_ANSWER;
}

static bool take_version(struct vnc_session *s)
{
	unsigned int type = s->shared->password ? RFB_SECURITY_VNC :
						  RFB_SECURITY_NONE;

	/* "RFB 003.00x"; some call later revisions of the same 003.889. */
	if (memcmp(s->in, "RFB 003.", 8) || s->in[11] != '\n')
		return false;
	if (!memcmp(s->in + 8, "007", 3))
		s->minor = 7;
	else
		s->minor = memcmp(s->in + 8, "008", 3) < 0 ? 3 : 8;
	if (s->minor > 3) {
		vnc_bytes_put8(&s->out, 1);
		vnc_bytes_put8(&s->out, type);
		s->state = SESSION_SECURITY;
		return true;
	}
	vnc_bytes_put32(&s->out, type);
	s->state = SESSION_INIT;
	if (type == RFB_SECURITY_VNC)
		send_challenge(s);
	return true;
}

static bool refuse(struct vnc_session *s, const char *why)
{
	vnc_bytes_put32(&s->out, RFB_RESULT_FAILED);
	if (s->minor < 8)
		return false;
	vnc_bytes_put32(&s->out, (uint32_t)strlen(why));
	vnc_bytes_put(&s->out, why, strlen(why));
	return false;
}

static bool take_security(struct vnc_session *s)
{
	if (s->in[0] != (s->shared->password ? RFB_SECURITY_VNC :
					       RFB_SECURITY_NONE))
		return refuse(s, "that kind of security was not offered");
	if (s->shared->password) {
		send_challenge(s);
		return true;
	}
	if (s->minor >= 8)
		vnc_bytes_put32(&s->out, RFB_RESULT_OK);
	s->state = SESSION_INIT;
	return true;
}

static bool take_answer(struct vnc_session *s)
{
	uint8_t want[RFB_CHALLENGE_SIZE];
	bool right;

	vnc_auth_answer(s->shared->password, s->challenge, want);
	right = vnc_auth_same(want, s->in);
	if (!s->shared->admit(s->shared->ctx, right))
		return refuse(s, right ? "too many wrong passwords, try again" :
					 "wrong password");
	vnc_bytes_put32(&s->out, RFB_RESULT_OK);
	s->state = SESSION_INIT;
	return true;
}

/* Sharing is always granted, and nobody is thrown out for another. */
static bool take_init(struct vnc_session *s)
{
	const struct vnc_screen *screen = s->shared->screen;
	size_t length = strlen(s->shared->name);

	s->width = screen->width ? screen->width : 1;
	s->height = screen->height ? screen->height : 1;
	vnc_bytes_put16(&s->out, s->width);
	vnc_bytes_put16(&s->out, s->height);
	vnc_bytes_put(&s->out, vnc_format_default, VNC_FORMAT_SIZE);
	vnc_bytes_put32(&s->out, (uint32_t)length);
	vnc_bytes_put(&s->out, s->shared->name, length);
	s->state = SESSION_OPEN;
	return true;
}

/* --- messages -------------------------------------------------------------------- */

static bool take_format(struct vnc_session *s)
{
	s->new_format = vnc_format_parse(&s->next_format, s->in + 4);
	return s->new_format;
}

static bool take_encodings(struct vnc_session *s)
{
	s->encodings = half(s->in + 2);
	s->chosen = s->use_zrle = false;
	s->can_resize = s->can_cursor = false;
	s->can_pointer = s->can_codes = false;
	return true;
}

static bool take_request(struct vnc_session *s)
{
	const struct vnc_rect rect = {
		half(s->in + 2), half(s->in + 4), half(s->in + 6),
		half(s->in + 8),
	};

	session_request(s, s->in[1], &rect);
	return true;
}

static bool take_key(struct vnc_session *s)
{
	session_key_event(s, s->in);
	return true;
}

static bool take_pointer(struct vnc_session *s)
{
	session_pointer_event(s, s->in);
	return true;
}

static bool take_cut_text(struct vnc_session *s)
{
	s->skip = word(s->in + 4);
	return true;
}

static bool take_qemu(struct vnc_session *s)
{
	if (s->in[1] != RFB_QEMU_KEY)
		return false;
	session_key_code(s, s->in);
	return true;
}

struct message {
	unsigned int size;
	bool (*take)(struct vnc_session *s);
};

static const struct message *expected(const struct vnc_session *s)
{
	static const struct message handshake[] = {
		[SESSION_VERSION] = { RFB_VERSION_SIZE, take_version },
		[SESSION_SECURITY] = { 1, take_security },
		[SESSION_ANSWER] = { RFB_CHALLENGE_SIZE, take_answer },
		[SESSION_INIT] = { 1, take_init },
	};
	static const struct message messages[256] = {
		[RFB_SET_PIXEL_FORMAT] = { RFB_SET_PIXEL_FORMAT_SIZE,
					   take_format },
		[RFB_SET_ENCODINGS] = { RFB_SET_ENCODINGS_SIZE,
					take_encodings },
		[RFB_UPDATE_REQUEST] = { RFB_UPDATE_REQUEST_SIZE,
					 take_request },
		[RFB_KEY_EVENT] = { RFB_KEY_EVENT_SIZE, take_key },
		[RFB_POINTER_EVENT] = { RFB_POINTER_EVENT_SIZE, take_pointer },
		[RFB_CUT_TEXT] = { RFB_CUT_TEXT_SIZE, take_cut_text },
		[RFB_QEMU] = { RFB_QEMU_KEY_SIZE, take_qemu },
	};

	return s->state == SESSION_OPEN ? &messages[s->in[0]] :
					  &handshake[s->state];
}

/* One byte of a message. */
static bool take_byte(struct vnc_session *s, uint8_t byte)
{
	const struct message *message;

	s->in[s->in_size++] = byte;
	if (s->encodings) {
		if (s->in_size < 4)
			return true;
		s->in_size = 0;
		s->encodings--;
		session_add_encoding(s, (int32_t)word(s->in));
		return true;
	}
	message = expected(s);
	if (!message->take)
		return false;
	if (s->in_size < message->size)
		return true;
	s->in_size = 0;
	return message->take(s);
}

bool vnc_session_receive(struct vnc_session *s, const uint8_t *data,
			 size_t size)
{
	while (size) {
		size_t part = size < s->skip ? size : s->skip;

		if (!part && !take_byte(s, *data))
			return false;
		s->skip -= (uint32_t)part;
		data += part ? part : 1;
		size -= part ? part : 1;
	}
	return true;
}
