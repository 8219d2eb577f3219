/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw and ZRLE. Of ZRLE's tile types those are sent that text and windows
 * need: one colour, packed palettes, and plain pixels; the stream's zlib
 * finds the runs.
 */
#include "vnc/encode.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define TILE	    64u
#define PALETTE_MAX 16u
#define LEVEL	    2 /* of zlib: close to the fastest */

/* Tile types (7.7.6) */
#define TILE_RAW   0u
#define TILE_SOLID 1u /* 2 to 16: packed palette of that size */

struct vnc_zrle {
	z_stream stream;
	struct vnc_bytes plain; /* a rectangle before compression */
};

struct tile {
	uint32_t width, height, count;
	uint32_t pixel[TILE * TILE];
	uint8_t index[TILE * TILE];
	uint32_t palette[PALETTE_MAX];
	unsigned int colours; /* PALETTE_MAX + 1: more than that */
};

/* `count` pixels of line y from x on. */
static void load_line(const struct vnc_screen *screen, uint32_t x, uint32_t y,
		      uint32_t *to, uint32_t count)
{
	uint32_t n = 0;

	if (y < screen->height && x < screen->width)
		n = screen->width - x < count ? screen->width - x : count;
	if (n)
		memcpy(to, screen->pixels + (size_t)y * screen->width + x,
		       n * sizeof(*to));
	memset(to + n, 0, (count - n) * sizeof(*to));
}

void vnc_encode_raw(struct vnc_bytes *to, const struct vnc_format *format,
		    const struct vnc_screen *screen,
		    const struct vnc_rect *rect)
{
	size_t size = (size_t)rect->width * rect->height * format->bytes;
	uint8_t *out = vnc_bytes_reserve(to, size);
	uint32_t line[TILE];

	if (!out)
		return;
	for (uint32_t y = 0; y < rect->height; y++)
		for (uint32_t x = 0, n; x < rect->width; x += n) {
			n = rect->width - x < TILE ? rect->width - x : TILE;
			load_line(screen, rect->x + x, rect->y + y, line, n);
			out = vnc_pixels_put(format, out, line, n);
		}
	to->size += size;
}

/* --- ZRLE ------------------------------------------------------------------- */

struct vnc_zrle *vnc_zrle_create(void)
{
	struct vnc_zrle *zrle = calloc(1, sizeof(*zrle));

	if (zrle && deflateInit(&zrle->stream, LEVEL) != Z_OK) {
		free(zrle);
		return NULL;
	}
	return zrle;
}

void vnc_zrle_destroy(struct vnc_zrle *zrle)
{
	if (!zrle)
		return;
	deflateEnd(&zrle->stream);
	vnc_bytes_free(&zrle->plain);
	free(zrle);
}

static void load_tile(struct tile *tile, const struct vnc_screen *screen,
		      uint32_t x, uint32_t y)
{
	for (uint32_t i = 0; i < tile->height; i++)
		load_line(screen, x, y + i, tile->pixel + i * tile->width,
			  tile->width);
	tile->count = tile->width * tile->height;
}

/* Finds the colours, up to one more than a palette has. */
static void count_colours(struct tile *tile)
{
	unsigned int last = 0;

	tile->palette[0] = tile->pixel[0];
	tile->colours = 1;
	for (uint32_t i = 0; i < tile->count; i++) {
		if (tile->pixel[i] != tile->palette[last]) {
			last = 0;
			while (last < tile->colours &&
			       tile->pixel[i] != tile->palette[last])
				last++;
			if (last == PALETTE_MAX) {
				tile->colours = PALETTE_MAX + 1;
				return;
			}
			if (last == tile->colours)
				tile->palette[tile->colours++] =
					tile->pixel[i];
		}
		tile->index[i] = (uint8_t)last;
	}
}

/* Indexes of 1, 2 or 4 bits; each line begins with a new byte. */
static uint8_t *pack_indexes(const struct tile *tile, uint8_t *out)
{
	unsigned int bits = tile->colours <= 2 ? 1 : tile->colours <= 4 ? 2 : 4;

	for (uint32_t y = 0; y < tile->height; y++) {
		const uint8_t *index = tile->index + y * tile->width;
		unsigned int left = 8;

		*out = 0;
		for (uint32_t x = 0; x < tile->width; x++) {
			if (!left) {
				*++out = 0;
				left = 8;
			}
			left -= bits;
			*out |= (uint8_t)(index[x] << left);
		}
		out++;
	}
	return out;
}

static void put_tile(struct vnc_bytes *to, const struct vnc_format *format,
		     struct tile *tile)
{
	uint8_t *begin = vnc_bytes_reserve(to, 1 + sizeof(tile->pixel));
	uint8_t *out = begin;

	if (!begin)
		return;
	count_colours(tile);
	if (tile->colours > PALETTE_MAX) {
		*out++ = TILE_RAW;
		out = vnc_pixels_pack(format, out, tile->pixel, tile->count);
	} else {
		*out++ = (uint8_t)tile->colours;
		out = vnc_pixels_pack(format, out, tile->palette,
				      tile->colours);
		if (tile->colours > TILE_SOLID)
			out = pack_indexes(tile, out);
	}
	to->size += (size_t)(out - begin);
}

/* The plain bytes through the stream, to a point where they all are out. */
static void squeeze(struct vnc_zrle *zrle, struct vnc_bytes *to)
{
	z_stream *z = &zrle->stream;
	uint8_t *out;

	z->next_in = zrle->plain.data;
	z->avail_in = (uInt)zrle->plain.size;
	do {
		const uInt room = 16384;

		out = vnc_bytes_reserve(to, room);
		if (!out)
			return;
		z->next_out = out;
		z->avail_out = room;
		if (deflate(z, Z_SYNC_FLUSH) == Z_STREAM_ERROR)
			to->broken = true;
		to->size += room - z->avail_out;
	} while (!z->avail_out && !to->broken);
}

void vnc_encode_zrle(struct vnc_zrle *zrle, struct vnc_bytes *to,
		     const struct vnc_format *format,
		     const struct vnc_screen *screen,
		     const struct vnc_rect *rect)
{
	size_t length_at = to->size, size;
	struct tile tile;

	vnc_bytes_put32(to, 0);
	zrle->plain.size = 0;
	for (uint32_t y = 0; y < rect->height; y += TILE)
		for (uint32_t x = 0; x < rect->width; x += TILE) {
			tile.width = rect->width - x;
			tile.height = rect->height - y;
			if (tile.width > TILE)
				tile.width = TILE;
			if (tile.height > TILE)
				tile.height = TILE;
			load_tile(&tile, screen, rect->x + x, rect->y + y);
			put_tile(&zrle->plain, format, &tile);
		}
	to->broken |= zrle->plain.broken;
	squeeze(zrle, to);
	if (to->broken)
		return;
	size = to->size - length_at - 4;
	for (unsigned int i = 0; i < 4; i++)
		to->data[length_at + i] = (uint8_t)(size >> (24 - 8 * i));
}
