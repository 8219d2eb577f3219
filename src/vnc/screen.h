/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture that viewers are shown: a copy of the adapter's, and which
 * tiles of it differ from what was shown before, to the pixel.
 */
#ifndef LODGE_VNC_SCREEN_H
#define LODGE_VNC_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "device/frame.h"

#define VNC_TILE_WIDTH	64u
#define VNC_TILE_HEIGHT 16u
#define VNC_TILE_ROWS	(FRAME_HEIGHT_MAX / VNC_TILE_HEIGHT)

/* A set of tiles: bit x of row y. */
struct vnc_tiles {
	uint64_t row[VNC_TILE_ROWS];
};

_Static_assert(FRAME_WIDTH_MAX == 64 * VNC_TILE_WIDTH, "a word a row");

struct vnc_rect {
	uint32_t x, y, width, height;
};

struct vnc_screen {
	uint32_t *pixels; /* 0x00rrggbb, rows without gaps */
	uint32_t width, height;
	uint64_t seen; /* frame.serial */
};

void vnc_screen_free(struct vnc_screen *screen);

/*
 * Copies what is new in `frame`; sets `changed` to the tiles that it touches,
 * all of them when the size is another one. False: nothing is new. Without memory for another size all stays as it was.
 */
bool vnc_screen_take(struct vnc_screen *screen, const struct frame *frame,
		     struct vnc_tiles *changed);

/* The tiles that cover some of `rect`, which may reach out of any screen. */
void vnc_tiles_cover(struct vnc_tiles *tiles, const struct vnc_rect *rect);

void vnc_tiles_add(struct vnc_tiles *tiles, const struct vnc_tiles *more);
bool vnc_tiles_empty(const struct vnc_tiles *tiles);

/*
 * Takes a rectangle of tiles out of the set, in pixels and cut to a screen of
 * that size. False: the set is empty.
 */
bool vnc_tiles_take(struct vnc_tiles *tiles, uint32_t width, uint32_t height,
		    struct vnc_rect *rect);

#endif
