/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and pointer of a viewer. Keys by code are passed on. A keysym names a
 * character: where the shift keys that the viewer holds would type another
 * one on a US keyboard, they are moved for the moment of the stroke.
 */
#include "vnc/session_impl.h"
#include "vnc/keys.h"

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static bool is_held(const struct vnc_session *s, unsigned int key)
{
	return s->held[key / 8] >> key % 8 & 1;
}

static void tell_key(struct vnc_session *s, unsigned int key, bool down)
{
	s->shared->key(s->shared->ctx, key, down);
}

static void move_key(struct vnc_session *s, unsigned int key, bool down)
{
	uint8_t bit = (uint8_t)(1u << key % 8);

	if (key == KEY_NONE)
		return;
	/* What another viewer holds is not this one's to release. */
	if (!down && !is_held(s, key))
		return;
	if (down)
		s->held[key / 8] |= bit;
	else
		s->held[key / 8] &= (uint8_t)~bit;
	tell_key(s, key, down);
}

static void stroke_shifted(struct vnc_session *s, unsigned int key)
{
	tell_key(s, KEY_LEFT_SHIFT, true);
	move_key(s, key, true);
	tell_key(s, KEY_LEFT_SHIFT, false);
}

static void stroke_plain(struct vnc_session *s, unsigned int key)
{
	bool left = is_held(s, KEY_LEFT_SHIFT);
	bool right = is_held(s, KEY_RIGHT_SHIFT);

	if (left)
		tell_key(s, KEY_LEFT_SHIFT, false);
	if (right)
		tell_key(s, KEY_RIGHT_SHIFT, false);
	move_key(s, key, true);
	if (left)
		tell_key(s, KEY_LEFT_SHIFT, true);
	if (right)
		tell_key(s, KEY_RIGHT_SHIFT, true);
}

void session_key_event(struct vnc_session *s, const uint8_t *message)
{
	bool down = message[1];
	enum vnc_shift shift;
	unsigned int key = vnc_key_of_keysym(word(message + 4), &shift);
	bool shifted = is_held(s, KEY_LEFT_SHIFT) ||
		       is_held(s, KEY_RIGHT_SHIFT);

	if (key == KEY_CAPS_LOCK && down && !is_held(s, key))
		s->caps = !s->caps;
	if (down && !shifted &&
	    (shift == VNC_SHIFT_DOWN || (shift == VNC_SHIFT_CASE && !s->caps)))
		stroke_shifted(s, key);
	else if (down && shifted && shift == VNC_SHIFT_UP)
		stroke_plain(s, key);
	else
		move_key(s, key, down);
}

void session_key_code(struct vnc_session *s, const uint8_t *message)
{
	move_key(s, vnc_key_of_code(word(message + 8)), message[3]);
}

/* A wheel turns when its button goes down. */
static int wheel_of(unsigned int before, unsigned int now)
{
	unsigned int down = now & ~before;

	return (down & RFB_WHEEL_DOWN ? 1 : 0) - (down & RFB_WHEEL_UP ? 1 : 0);
}

static uint32_t moved(uint32_t at, int by, uint32_t size)
{
	int64_t to = (int64_t)at + by;

	if (to < 0)
		return 0;
	return to < size ? (uint32_t)to : size - 1;
}

void session_pointer_event(struct vnc_session *s, const uint8_t *message)
{
	unsigned int buttons = message[1];
	uint32_t x = (uint32_t)message[2] << 8 | message[3];
	uint32_t y = (uint32_t)message[4] << 8 | message[5];
	struct vnc_pointer pointer = {
		.width = s->width,
		.height = s->height,
		.wheel = wheel_of(s->buttons, buttons),
		.buttons = buttons & (RFB_BUTTON_LEFT | RFB_BUTTON_MIDDLE |
				      RFB_BUTTON_RIGHT),
	};

	if (s->told_pointer && !s->absolute) {
		pointer.dx = (int)x - RFB_POINTER_MIDDLE;
		pointer.dy = (int)y - RFB_POINTER_MIDDLE;
		s->x = moved(s->x, pointer.dx, s->width);
		s->y = moved(s->y, pointer.dy, s->height);
	} else {
		x = x < s->width ? x : s->width - 1;
		y = y < s->height ? y : s->height - 1;
		if (s->placed) {
			pointer.dx = (int)x - (int)s->x;
			pointer.dy = (int)y - (int)s->y;
		}
		s->placed = true;
		s->x = x;
		s->y = y;
	}
	pointer.x = s->x;
	pointer.y = s->y;
	s->buttons = buttons;
	s->shared->pointer(s->shared->ctx, &pointer);
}

void session_let_go(struct vnc_session *s)
{
	const struct vnc_pointer pointer = {
		.x = s->x,
		.y = s->y,
		.width = s->width,
		.height = s->height,
	};

	for (unsigned int key = 0; key < KEY_COUNT; key++)
		if (is_held(s, key))
			move_key(s, key, false);
	if (s->buttons)
		s->shared->pointer(s->shared->ctx, &pointer);
	s->buttons = 0;
}
