/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The viewers' picture and sets of its tiles.
 */
#include "vnc/screen.h"

#include <stdlib.h>
#include <string.h>

#define RECT_ROWS 4u /* of tiles at most: bounds what is encoded at once */

void vnc_screen_free(struct vnc_screen *screen)
{
	free(screen->pixels);
	*screen = (struct vnc_screen){ 0 };
}

static bool resize(struct vnc_screen *screen, const struct frame *frame)
{
	uint32_t *pixels = calloc((size_t)frame->width * frame->height,
				  sizeof(*pixels));

	if (!pixels)
		return false;
	free(screen->pixels);
	screen->pixels = pixels;
	screen->width = frame->width;
	screen->height = frame->height;
	screen->seen = 0;
	return true;
}

/* Bits of the tiles in which the two rows differ; they are equal then. */
static uint64_t copy_row(uint32_t *to, const uint32_t *from, uint32_t width)
{
	uint64_t bits = 0;

	for (uint32_t x = 0; x < width; x += VNC_TILE_WIDTH) {
		uint32_t n = width - x;
		size_t size;

		n = n < VNC_TILE_WIDTH ? n : VNC_TILE_WIDTH;
		size = n * sizeof(*to);
		if (!memcmp(to + x, from + x, size))
			continue;
		memcpy(to + x, from + x, size);
		bits |= 1ull << (x / VNC_TILE_WIDTH);
	}
	return bits;
}

bool vnc_screen_take(struct vnc_screen *screen, const struct frame *frame,
		     struct vnc_tiles *changed)
{
	bool any = false;

	memset(changed, 0, sizeof(*changed));
	if (screen->pixels && screen->seen == frame->serial &&
	    screen->width == frame->width && screen->height == frame->height)
		return false;
	if (frame->width > FRAME_WIDTH_MAX ||
	    frame->height > FRAME_HEIGHT_MAX)
		return false;
	if (!screen->pixels || screen->width != frame->width ||
	    screen->height != frame->height) {
		if (!resize(screen, frame))
			return false;
		memset(changed, 0xff, sizeof(*changed));
		any = true;
	}
	for (uint32_t y = 0; y < frame->height; y++) {
		size_t at = (size_t)y * frame->width;
		uint64_t bits;

		if (frame->changed[y] <= screen->seen)
			continue;
		bits = copy_row(screen->pixels + at, frame->pixels + at,
				frame->width);
		changed->row[y / VNC_TILE_HEIGHT] |= bits;
		any |= bits;
	}
	screen->seen = frame->serial;
	return any;
}

/* Bits [first, last] of a word. */
static uint64_t run(uint32_t first, uint32_t last)
{
	return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

void vnc_tiles_cover(struct vnc_tiles *tiles, const struct vnc_rect *rect)
{
	uint64_t right = (uint64_t)rect->x + rect->width;
	uint64_t bottom = (uint64_t)rect->y + rect->height;
	uint64_t bits;

	memset(tiles, 0, sizeof(*tiles));
	right = right < FRAME_WIDTH_MAX ? right : FRAME_WIDTH_MAX;
	bottom = bottom < FRAME_HEIGHT_MAX ? bottom : FRAME_HEIGHT_MAX;
	if (rect->x >= right || rect->y >= bottom)
		return;
	bits = run(rect->x / VNC_TILE_WIDTH,
		   (uint32_t)((right - 1) / VNC_TILE_WIDTH));
	for (uint32_t y = rect->y / VNC_TILE_HEIGHT;
	     y <= (bottom - 1) / VNC_TILE_HEIGHT; y++)
		tiles->row[y] = bits;
}

void vnc_tiles_add(struct vnc_tiles *tiles, const struct vnc_tiles *more)
{
	for (uint32_t y = 0; y < VNC_TILE_ROWS; y++)
		tiles->row[y] |= more->row[y];
}

bool vnc_tiles_empty(const struct vnc_tiles *tiles)
{
	for (uint32_t y = 0; y < VNC_TILE_ROWS; y++)
		if (tiles->row[y])
			return false;
	return true;
}

/* The next rectangle, in tiles. */
static bool take_run(struct vnc_tiles *tiles, struct vnc_rect *rect)
{
	uint64_t bits, rest;
	uint32_t y = 0;

	while (y < VNC_TILE_ROWS && !tiles->row[y])
		y++;
	if (y == VNC_TILE_ROWS)
		return false;
	rect->x = (uint32_t)__builtin_ctzll(tiles->row[y]);
	rest = ~(tiles->row[y] >> rect->x);
	rect->width = rest ? (uint32_t)__builtin_ctzll(rest) : 64;
	bits = run(rect->x, rect->x + rect->width - 1);
	rect->y = y;
	while (y < VNC_TILE_ROWS && y < rect->y + RECT_ROWS &&
	       (tiles->row[y] & bits) == bits)
		tiles->row[y++] &= ~bits;
	rect->height = y - rect->y;
	return true;
}

static uint32_t cut(uint32_t at, uint32_t size, uint32_t end)
{
	return size < end - at ? size : end - at;
}

bool vnc_tiles_take(struct vnc_tiles *tiles, uint32_t width, uint32_t height,
		    struct vnc_rect *rect)
{
	while (take_run(tiles, rect)) {
		rect->x *= VNC_TILE_WIDTH;
		rect->y *= VNC_TILE_HEIGHT;
		if (rect->x >= width || rect->y >= height)
			continue;
		rect->width = cut(rect->x, rect->width * VNC_TILE_WIDTH, width);
		rect->height =
			cut(rect->y, rect->height * VNC_TILE_HEIGHT, height);
		return true;
	}
	return false;
}
