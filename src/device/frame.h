/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a display: what screenshots and remote viewers read. Each
 * change has a number; whoever remembers the last one that it has seen finds
 * what is new since, whatever others look at.
 */
#ifndef LODGE_DEVICE_FRAME_H
#define LODGE_DEVICE_FRAME_H

#include <stdint.h>

#define FRAME_WIDTH_MAX	 4096u
#define FRAME_HEIGHT_MAX 2400u

struct frame {
	uint32_t *pixels; /* 0x00rrggbb, rows without gaps */
	uint32_t width, height;
	uint64_t serial; /* of the last change; 0: never drawn */
	uint64_t changed[FRAME_HEIGHT_MAX]; /* the last change of each row */
};

#define FRAME_CELLS 16384u

/* What a display shows in a text mode, rows without gaps, in code page 437. */
struct frame_text {
	uint32_t columns, rows; /* 0: it shows graphics */
	uint8_t code[FRAME_CELLS];
};

#endif
