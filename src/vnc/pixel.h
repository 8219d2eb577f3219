/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pixels as a client wants them (RFC 6143, 7.4).
 */
#ifndef LODGE_VNC_PIXEL_H
#define LODGE_VNC_PIXEL_H

#include <stdbool.h>
#include <stdint.h>

#define VNC_FORMAT_SIZE 16u /* bytes of a PIXEL_FORMAT */

struct vnc_format {
	uint8_t bytes;	 /* of a pixel: 1, 2 or 4 */
	uint8_t packed;	 /* of a CPIXEL: 3 or the same */
	bool big_endian;
	bool high;	 /* CPIXEL: the upper three bytes */
	bool same;	 /* as our own pixels in memory */
	uint32_t part[3][256]; /* red, green, blue where they belong */
};

/* What a client gets that asks for nothing else. */
extern const uint8_t vnc_format_default[VNC_FORMAT_SIZE];

/* False: no such format, or one with a colour map. */
bool vnc_format_parse(struct vnc_format *format,
		      const uint8_t wire[VNC_FORMAT_SIZE]);

/* Writes `count` pixels; gives where the next would go. */
uint8_t *vnc_pixels_put(const struct vnc_format *format, uint8_t *to,
			const uint32_t *pixels, uint32_t count);

/* The same as CPIXELs (7.7.5, 7.7.6). */
uint8_t *vnc_pixels_pack(const struct vnc_format *format, uint8_t *to,
			 const uint32_t *pixels, uint32_t count);

#endif
