/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a display: what screenshots and remote viewers read.
 */
#ifndef LODGE_DEVICE_FRAME_H
#define LODGE_DEVICE_FRAME_H

#include <stdint.h>

#define FRAME_WIDTH_MAX	 4096u
#define FRAME_HEIGHT_MAX 2400u

struct frame {
	uint32_t *pixels; /* 0x00rrggbb, rows without gaps */
	uint32_t width, height;
};

/* A part of it; `width` 0: none. */
struct frame_rect {
	uint32_t x, y, width, height;
};

#endif
