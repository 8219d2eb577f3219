/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pixel formats: true colour of 8, 16 and 32 bits. Colour maps are left out.
 */
#include "vnc/pixel.h"

#include <string.h>

#define FORMAT_BITS	  0
#define FORMAT_DEPTH	  1
#define FORMAT_BIG_ENDIAN 2
#define FORMAT_TRUE_COLOUR 3
#define FORMAT_MAX	  4  /* three words */
#define FORMAT_SHIFT	  10 /* three bytes */

const uint8_t vnc_format_default[VNC_FORMAT_SIZE] = {
	32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0,
};

bool vnc_format_parse(struct vnc_format *format,
		      const uint8_t wire[VNC_FORMAT_SIZE])
{
	unsigned int bits = wire[FORMAT_BITS];
	uint32_t used = 0;

	if ((bits != 8 && bits != 16 && bits != 32) ||
	    !wire[FORMAT_TRUE_COLOUR])
		return false;
	*format = (struct vnc_format){
		.bytes = (uint8_t)(bits / 8),
		.packed = (uint8_t)(bits / 8),
		.big_endian = wire[FORMAT_BIG_ENDIAN],
	};
	for (unsigned int i = 0; i < 3; i++) {
		const uint8_t *max = wire + FORMAT_MAX + 2 * i;
		uint32_t top = (uint32_t)max[0] << 8 | max[1];
		unsigned int shift = wire[FORMAT_SHIFT + i];

		if (shift >= bits)
			return false;
		used |= top << shift;
		for (uint32_t c = 0; c < 256; c++)
			format->part[i][c] = (c * top + 127) / 255 << shift;
	}
	if (bits == 32 && wire[FORMAT_DEPTH] <= 24 &&
	    (!(used >> 24) || !(used & 0xff))) {
		format->packed = 3;
		format->high = used >> 24;
	}
	format->same = !format->big_endian &&
		       !memcmp(wire, vnc_format_default, VNC_FORMAT_SIZE - 3);
	return true;
}

static uint32_t value_of(const struct vnc_format *format, uint32_t pixel)
{
	return format->part[0][pixel >> 16 & 0xff] |
	       format->part[1][pixel >> 8 & 0xff] |
	       format->part[2][pixel & 0xff];
}

static uint8_t *put(const struct vnc_format *format, uint8_t *to,
		    uint32_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++) {
		unsigned int at = format->big_endian ? bytes - 1 - i : i;

		*to++ = (uint8_t)(value >> (8 * at));
	}
	return to;
}

uint8_t *vnc_pixels_put(const struct vnc_format *format, uint8_t *to,
			const uint32_t *pixels, uint32_t count)
{
	if (format->same) {
		memcpy(to, pixels, count * sizeof(*pixels));
		return to + count * sizeof(*pixels);
	}
	for (uint32_t i = 0; i < count; i++)
		to = put(format, to, value_of(format, pixels[i]),
			 format->bytes);
	return to;
}

uint8_t *vnc_pixels_pack(const struct vnc_format *format, uint8_t *to,
			 const uint32_t *pixels, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t value = value_of(format, pixels[i]);

		to = put(format, to, format->high ? value >> 8 : value,
			 format->packed);
	}
	return to;
}
