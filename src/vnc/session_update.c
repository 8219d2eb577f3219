/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of a viewer (RFC 6143, 7.6.1). One is under way at a time. Its
 * rectangles are counted when it begins and made when the client has taken
 * those before, from the screen as it is then: what changed meanwhile is
 * dirty again.
 */
#include "vnc/session_impl.h"

#include <string.h>

#define OUT_FEW (256u * 1024u) /* bytes unsent that are enough for now */

#define CURSOR_WIDTH  8u
#define CURSOR_HEIGHT 12u

/* An arrow; bits of its outline, and of what is white within. */
static const uint8_t cursor_shape[CURSOR_HEIGHT] = {
	0x80, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xfe, 0xff, 0xfc, 0xec, 0x86, 0x06,
};
static const uint8_t cursor_white[CURSOR_HEIGHT] = {
	0x00, 0x00, 0x40, 0x60, 0x70, 0x78, 0x7c, 0x70, 0x58, 0x08, 0x04, 0x00,
};

void session_add_encoding(struct vnc_session *s, int32_t encoding)
{
	switch (encoding) {
	case RFB_RAW:
	case RFB_ZRLE:
		s->use_zrle = s->chosen ? s->use_zrle : encoding == RFB_ZRLE;
		s->chosen = true;
		break;
	case RFB_DESKTOP_SIZE:
		s->can_resize = true;
		break;
	case RFB_CURSOR:
		s->can_cursor = true;
		break;
	case RFB_POINTER_CHANGE:
		s->can_pointer = true;
		break;
	case RFB_KEY_CODES:
		s->can_codes = true;
		break;
	}
}

static void cover_all(struct vnc_tiles *tiles)
{
	memset(tiles, 0xff, sizeof(*tiles));
}

void session_request(struct vnc_session *s, bool incremental,
		     const struct vnc_rect *rect)
{
	struct vnc_tiles tiles;

	vnc_tiles_cover(&tiles, rect);
	if (!s->requested)
		memset(&s->wanted, 0, sizeof(s->wanted));
	vnc_tiles_add(&s->wanted, &tiles);
	if (!incremental)
		vnc_tiles_add(&s->dirty, &tiles);
	s->requested = true;
}

void vnc_session_changed(struct vnc_session *s, const struct vnc_tiles *tiles)
{
	vnc_tiles_add(&s->dirty, tiles);
}

bool vnc_session_waits(const struct vnc_session *s)
{
	return s->requested && !s->out.size && vnc_tiles_empty(&s->sending);
}

/* --- rectangles that are not pixels -------------------------------------------- */

static void put_rect(struct vnc_session *s, const struct vnc_rect *rect,
		     int encoding)
{
	vnc_bytes_put16(&s->out, rect->x);
	vnc_bytes_put16(&s->out, rect->y);
	vnc_bytes_put16(&s->out, rect->width);
	vnc_bytes_put16(&s->out, rect->height);
	vnc_bytes_put32(&s->out, (uint32_t)encoding);
}

static void put_update(struct vnc_session *s, unsigned int rects)
{
	vnc_bytes_put8(&s->out, RFB_UPDATE);
	vnc_bytes_put8(&s->out, 0);
	vnc_bytes_put16(&s->out, rects);
}

static bool has_other_size(const struct vnc_session *s)
{
	const struct vnc_screen *screen = s->shared->screen;

	return s->can_resize && screen->pixels &&
	       (s->width != screen->width || s->height != screen->height);
}

/* An update of its own: no pixels may follow in it. */
static void put_size(struct vnc_session *s)
{
	const struct vnc_rect size = {
		.width = s->shared->screen->width,
		.height = s->shared->screen->height,
	};

	put_update(s, 1);
	put_rect(s, &size, RFB_DESKTOP_SIZE);
	s->width = size.width;
	s->height = size.height;
	cover_all(&s->dirty);
	s->requested = false;
}

/* Where the guest draws a pointer at the viewer's own, that one is hidden. */
static void put_cursor(struct vnc_session *s)
{
	const struct vnc_rect none = { 0 };
	const struct vnc_rect arrow = { 0, 0, CURSOR_WIDTH, CURSOR_HEIGHT };
	uint32_t line[CURSOR_WIDTH];
	uint8_t *to;

	put_rect(s, s->shared->absolute ? &none : &arrow, RFB_CURSOR);
	if (s->shared->absolute)
		return;
	for (unsigned int y = 0; y < CURSOR_HEIGHT; y++) {
		for (unsigned int x = 0; x < CURSOR_WIDTH; x++)
			line[x] = cursor_white[y] >> (7 - x) & 1 ? 0xffffff : 0;
		to = vnc_bytes_reserve(&s->out, sizeof(line));
		if (!to)
			return;
		s->out.size += (size_t)(
			vnc_pixels_put(&s->format, to, line, CURSOR_WIDTH) -
			to);
	}
	vnc_bytes_put(&s->out, cursor_shape, sizeof(cursor_shape));
}

static unsigned int count_news(const struct vnc_session *s)
{
	return (s->can_cursor && !s->told_cursor) +
	       (s->can_pointer && !s->told_pointer) +
	       (s->can_codes && !s->told_codes);
}

static void put_news(struct vnc_session *s)
{
	const struct vnc_rect none = { 0 };
	const struct vnc_rect pointer = { .x = s->shared->absolute };

	if (s->can_cursor && !s->told_cursor)
		put_cursor(s);
	if (s->can_pointer && !s->told_pointer)
		put_rect(s, &pointer, RFB_POINTER_CHANGE);
	if (s->can_codes && !s->told_codes)
		put_rect(s, &none, RFB_KEY_CODES);
	s->told_cursor |= s->can_cursor;
	s->told_pointer |= s->can_pointer;
	s->told_codes |= s->can_codes;
}

/* --- pixels ---------------------------------------------------------------------- */

static unsigned int count_rects(const struct vnc_session *s)
{
	struct vnc_tiles tiles = s->sending;
	struct vnc_rect rect;
	unsigned int count = 0;

	while (vnc_tiles_take(&tiles, s->width, s->height, &rect))
		count++;
	return count;
}

/* The guest has another kind of pointer: shape and kind are told again. */
static void check_pointer(struct vnc_session *s)
{
	if (s->absolute == s->shared->absolute)
		return;
	s->absolute = s->shared->absolute;
	s->told_cursor = s->told_pointer = false;
}

/* Begins an update if one is asked for and there is something to tell. */
static void begin(struct vnc_session *s)
{
	unsigned int rects;

	if (s->new_format) {
		s->format = s->next_format;
		s->new_format = false;
		s->told_cursor = false;
	}
	if (has_other_size(s)) {
		put_size(s);
		return;
	}
	check_pointer(s);
	for (uint32_t y = 0; y < VNC_TILE_ROWS; y++) {
		s->sending.row[y] = s->dirty.row[y] & s->wanted.row[y];
		s->dirty.row[y] &= ~s->sending.row[y];
	}
	rects = count_rects(s);
	if (!rects)
		memset(&s->sending, 0, sizeof(s->sending));
	if (!rects && !count_news(s))
		return;
	put_update(s, rects + count_news(s));
	put_news(s);
	s->requested = false;
}

static void put_pixels(struct vnc_session *s, const struct vnc_rect *rect)
{
	const struct vnc_screen *screen = s->shared->screen;

	if (s->use_zrle && !s->zrle)
		s->zrle = vnc_zrle_create();
	if (s->use_zrle && !s->zrle)
		s->out.broken = true;
	put_rect(s, rect, s->use_zrle ? RFB_ZRLE : RFB_RAW);
	if (s->use_zrle && s->zrle)
		vnc_encode_zrle(s->zrle, &s->out, &s->format, screen, rect);
	else
		vnc_encode_raw(&s->out, &s->format, screen, rect);
}

const uint8_t *vnc_session_output(struct vnc_session *s, size_t *size)
{
	struct vnc_rect rect;

	if (s->state == SESSION_OPEN && vnc_session_waits(s))
		begin(s);
	while (s->out.size - s->sent < OUT_FEW && !s->out.broken &&
	       vnc_tiles_take(&s->sending, s->width, s->height, &rect))
		put_pixels(s, &rect);
	*size = s->out.broken ? SIZE_MAX : s->out.size - s->sent;
	return s->out.broken || !*size ? NULL : s->out.data + s->sent;
}

void vnc_session_sent(struct vnc_session *s, size_t size)
{
	s->sent += size;
	if (s->sent < s->out.size && s->sent < OUT_FEW)
		return;
	vnc_bytes_drop(&s->out, s->sent);
	s->sent = 0;
}
