/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From VGA state to a picture: text with fonts out of plane 2, planar,
 * four-colour and 256-colour graphics, and the linear modes of the Bochs
 * interface. Redraws what lies in pages that were written; everything when a
 * register changed that matters. Left out: pixel panning, split screens,
 * preset row scan.
 */
#include "device/vga.h"

#include "vm/bytes.h"
#include "vm/memory_view.h"

#define CR_COLUMNS	1  /* horizontal display end, in characters, less 1 */
#define CR_OVERFLOW	7
#define CR_CELL		9  /* scan lines of a row, less 1; bit 7: doubled */
#define CR_CURSOR_START 10
#define CR_CURSOR_END	11
#define CR_START_HIGH	12
#define CR_START_LOW	13
#define CR_CURSOR_HIGH	14
#define CR_CURSOR_LOW	15
#define CR_LINES	18 /* vertical display end, less 1 */
#define CR_OFFSET	19
#define CR_MODE		23
#define MODE_BYTES	0x40u
#define CURSOR_OFF	0x20u
#define CELL_DOUBLED	0x80u

#define SR_CLOCKING	1
#define SR_FONTS	3
#define CLOCK_8_DOTS	0x01u
#define CLOCK_SCREEN_OFF 0x20u

#define GR_MODE		5
#define GR_MISC		6
#define GR_MODE_FOUR	0x20u /* CGA's four colours */
#define GR_MODE_256	0x40u
#define GR_GRAPHICS	0x01u

#define AR_MODE		16
#define AR_PLANES	18
#define AR_COLOUR	20
#define AR_MODE_BLINK	0x08u
#define AR_MODE_P54	0x80u /* colour select replaces bits 4 and 5 */
#define AR_LINE_GRAPHICS 0x04u

#define BLINK_NS	266000000u /* half a period of text's blinking */
#define TEXT_CELLS	0x8000u

/* An adapter that nobody has set up shows a black screen of common size. */
#define COLUMNS_FEW	20u
#define DARK_WIDTH	640u
#define DARK_HEIGHT	480u

/* A picture being drawn. */
struct drawing {
	struct vga *vga;
	uint32_t *pixels;
	uint32_t width, height;
	uint32_t palette[256];	  /* of the DAC */
};

static uint32_t rgb(unsigned int r, unsigned int g, unsigned int b)
{
	return r << 16 | g << 8 | b;
}

static void load_palette(struct drawing *d)
{
	const struct vga *vga = d->vga;
	bool wide = vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC;

	for (unsigned int i = 0; i < 256; i++) {
		const uint8_t *c = &vga->dac[(i & vga->dac_mask) * 3];
		unsigned int part[3];

		for (unsigned int k = 0; k < 3; k++)
			part[k] = wide ? c[k] :
					 (c[k] & 63u) << 2 | (c[k] & 63u) >> 4;
		d->palette[i] = rgb(part[0], part[1], part[2]);
	}
}

/* DAC index of one of the sixteen attribute colours. */
static unsigned int attribute_colour(const struct vga *vga, unsigned int n)
{
	unsigned int colour = vga->attribute[n & 15] & 0x3f;
	unsigned int select = vga->attribute[AR_COLOUR];

	if (vga->attribute[AR_MODE] & AR_MODE_P54)
		colour = (colour & 0x0f) | (select & 3) << 4;
	return colour | (select & 0x0c) << 4;
}

static bool is_linear(const struct vga *vga)
{
	return vga->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}

static bool is_dark(const struct vga *vga)
{
	return !is_linear(vga) &&
	       (!(vga->attribute_index & 0x20) ||
		(vga->sequencer[SR_CLOCKING] & CLOCK_SCREEN_OFF));
}

static bool page_written(const struct vga *vga, uint32_t at, uint32_t size)
{
	uint32_t last = at + size - 1;

	if (last >= VGA_MEMORY_SIZE)
		last = VGA_MEMORY_SIZE - 1;
	for (uint32_t page = at >> VGA_PAGE_SHIFT;
	     page <= last >> VGA_PAGE_SHIFT; page++)
		if (vga->written[page / 64] >> (page % 64) & 1)
			return true;
	return false;
}

static void rows_changed(struct drawing *d, uint32_t row, uint32_t count)
{
	struct frame *frame = &d->vga->frame;

	while (count--)
		frame->changed[row++] = frame->serial;
}

/* --- linear modes ----------------------------------------------------------- */

static uint32_t linear_pixel(const struct drawing *d, const uint8_t *p,
			     unsigned int depth)
{
	unsigned int v;

	switch (depth) {
	case 8:
		return d->palette[p[0]];
	case 15:
		v = p[0] | (unsigned int)p[1] << 8;
		return rgb((v >> 10 & 31) << 3 | (v >> 12 & 7),
			   (v >> 5 & 31) << 3 | (v >> 7 & 7),
			   (v & 31) << 3 | (v >> 2 & 7));
	case 16:
		v = p[0] | (unsigned int)p[1] << 8;
		return rgb((v >> 11 & 31) << 3 | (v >> 13 & 7),
			   (v >> 5 & 63) << 2 | (v >> 9 & 3),
			   (v & 31) << 3 | (v >> 2 & 7));
	default:
		return rgb(p[2], p[1], p[0]);
	}
}

static void draw_linear(struct drawing *d)
{
	const struct vga *vga = d->vga;
	const uint16_t *r = vga->dispi;
	unsigned int depth = r[DISPI_DEPTH];
	unsigned int step = depth == 15 ? 2 : (depth + 7) / 8;
	uint64_t pitch = (uint64_t)r[DISPI_VIRTUAL_X] * step;

	for (uint32_t y = 0; y < d->height; y++) {
		uint64_t at = (y + (uint64_t)r[DISPI_OFFSET_Y]) * pitch +
			      (uint64_t)r[DISPI_OFFSET_X] * step;
		uint32_t *to = d->pixels + (size_t)y * d->width;
		uint32_t bytes = d->width * step;

		if (at + bytes > VGA_MEMORY_SIZE) {
			memset(to, 0, d->width * sizeof(*to));
			continue;
		}
		if (!vga->stale && !page_written(vga, (uint32_t)at, bytes))
			continue;
		if (depth == 32)
			memcpy(to, vga->memory + at, bytes);
		for (uint32_t x = 0; x < d->width; x++)
			to[x] = depth == 32 ? to[x] & 0xffffff :
					      linear_pixel(d, vga->memory +
								      at +
								      x * step,
							   depth);
		rows_changed(d, y, 1);
	}
}

/* --- the CRT controller's geometry ------------------------------------------- */

static uint32_t start_address(const struct vga *vga)
{
	return (uint32_t)vga->crtc[CR_START_HIGH] << 8 |
	       vga->crtc[CR_START_LOW];
}

static uint32_t scan_lines(const struct vga *vga)
{
	unsigned int overflow = vga->crtc[CR_OVERFLOW];

	return (vga->crtc[CR_LINES] | (overflow & 2) << 7 |
		(overflow & 0x40) << 3) + 1u;
}

/* CGA's modes: the lines of a character cell are lines of the picture. */
static bool is_interleaved(const struct vga *vga)
{
	return (vga->crtc[CR_MODE] & 1) == 0;
}

/* Times that each line of memory is shown. */
static uint32_t line_repeat(const struct vga *vga)
{
	unsigned int cell = vga->crtc[CR_CELL];

	return (is_interleaved(vga) ? 1 : (cell & 31) + 1) *
	       (cell & CELL_DOUBLED ? 2 : 1);
}

static bool is_text(const struct vga *vga)
{
	return !(vga->graphics[GR_MISC] & GR_GRAPHICS);
}

static uint32_t cell_width(const struct vga *vga)
{
	return vga->sequencer[SR_CLOCKING] & CLOCK_8_DOTS ? 8 : 9;
}

static void geometry(const struct vga *vga, uint32_t *width, uint32_t *height)
{
	uint32_t columns = vga->crtc[CR_COLUMNS] + 1u;

	if (is_linear(vga)) {
		*width = vga->dispi[DISPI_X];
		*height = vga->dispi[DISPI_Y];
		return;
	}
	if (is_dark(vga) && columns < COLUMNS_FEW) {
		*width = DARK_WIDTH;
		*height = DARK_HEIGHT;
		return;
	}
	*height = scan_lines(vga);
	if (is_text(vga)) {
		*width = columns * cell_width(vga);
		*height -= *height % ((vga->crtc[CR_CELL] & 31) + 1u);
	} else if (vga->graphics[GR_MODE] & GR_MODE_256) {
		*width = columns * 4;
		*height /= line_repeat(vga);
	} else {
		*width = columns * 8;
		*height /= line_repeat(vga);
	}
	if (!*height)
		*height = 1;
}

/* --- text ---------------------------------------------------------------------- */

/* Where the two fonts lie in plane 2, in cells (sequencer register 3). */
static uint32_t font_at(const struct vga *vga, bool second)
{
	unsigned int v = vga->sequencer[SR_FONTS];
	unsigned int n = second ? (v >> 2 & 3) | (v >> 3 & 4) :
				  (v & 3) | (v >> 2 & 4);

	return (n & 3) * 0x4000u + (n & 4 ? 0x2000u : 0);
}

struct cell {
	uint8_t code, attribute;
	bool cursor;
};

static void draw_cell(struct drawing *d, uint32_t x, uint32_t y,
		      const struct cell *cell)
{
	const struct vga *vga = d->vga;
	uint32_t wide = cell_width(vga);
	uint32_t high = (vga->crtc[CR_CELL] & 31) + 1u;
	bool blinks = vga->attribute[AR_MODE] & AR_MODE_BLINK;
	unsigned int back = cell->attribute >> 4;
	uint32_t ink = d->palette[attribute_colour(vga, cell->attribute & 15)];
	uint32_t paper = d->palette[attribute_colour(
		vga, blinks ? back & 7 : back)];
	uint32_t font = font_at(vga, cell->attribute & 8) +
			cell->code * 32u;
	bool extend = (vga->attribute[AR_MODE] & AR_LINE_GRAPHICS) &&
		      cell->code >= 0xc0 && cell->code <= 0xdf;
	unsigned int first = vga->crtc[CR_CURSOR_START] & 31;
	unsigned int last = vga->crtc[CR_CURSOR_END] & 31;

	if (blinks && (back & 8) && vga->blink)
		ink = paper;
	for (uint32_t line = 0; line < high; line++) {
		uint32_t *to = d->pixels + (size_t)(y + line) * d->width + x;
		unsigned int bits = vga->memory[(font + line) * 4 + 2];

		if (cell->cursor && line >= first && line <= last)
			bits = 0x1ff;
		else
			bits = bits << 1 | (extend ? bits & 1 : 0);
		for (uint32_t i = 0; i < wide; i++)
			to[i] = bits >> (8 - i) & 1 ? ink : paper;
	}
}

static uint32_t cursor_cell(const struct vga *vga)
{
	if ((vga->crtc[CR_CURSOR_START] & CURSOR_OFF) || vga->blink)
		return UINT32_MAX;
	return ((uint32_t)vga->crtc[CR_CURSOR_HIGH] << 8 |
		vga->crtc[CR_CURSOR_LOW]) &
	       (TEXT_CELLS - 1);
}

/* What a cell looks like, but for fonts and palette. */
static uint32_t look(const struct vga *vga, const struct cell *cell)
{
	bool blinks = (vga->attribute[AR_MODE] & AR_MODE_BLINK) &&
		      (cell->attribute & 0x80) && vga->blink;

	return cell->code | (uint32_t)cell->attribute << 8 |
	       (cell->cursor ? 1u << 16 : 0) | (blinks ? 1u << 17 : 0);
}

/* True unless the cell is known to look so already. */
static bool cell_changed(struct vga *vga, uint32_t index, uint32_t now)
{
	bool same;

	if (index >= VGA_CELLS)
		return true;
	same = !vga->stale && !vga->fonts && vga->drawn[index] == now;
	vga->drawn[index] = now;
	return !same;
}

static void draw_text(struct drawing *d)
{
	struct vga *vga = d->vga;
	uint32_t high = (vga->crtc[CR_CELL] & 31) + 1u;
	uint32_t columns = vga->crtc[CR_COLUMNS] + 1u;
	uint32_t pitch = vga->crtc[CR_OFFSET] * 2u;

	for (uint32_t row = 0; row < d->height / high; row++) {
		uint32_t at = start_address(vga) + row * pitch;
		bool changed = false;

		for (uint32_t i = 0; i < columns; i++) {
			uint32_t n = (at + i) & (TEXT_CELLS - 1);
			const uint8_t *p = vga->memory + n * 4;
			const struct cell cell = { p[0], p[1],
						   n == vga->cursor_at };

			if (!cell_changed(vga, row * columns + i,
					  look(vga, &cell)))
				continue;
			draw_cell(d, i * cell_width(vga), row * high, &cell);
			changed = true;
		}
		if (changed)
			rows_changed(d, row * high, high);
	}
}

void vga_text(const struct vga *vga, struct frame_text *text)
{
	uint32_t pitch = vga->crtc[CR_OFFSET] * 2u;
	uint32_t width, height;

	text->columns = 0;
	text->rows = 0;
	if (is_linear(vga) || !is_text(vga) || is_dark(vga))
		return;
	geometry(vga, &width, &height);
	text->columns = width / cell_width(vga);
	text->rows = height / ((vga->crtc[CR_CELL] & 31) + 1u);
	if (text->rows > FRAME_CELLS / text->columns)
		text->rows = FRAME_CELLS / text->columns;
	for (uint32_t i = 0; i < text->rows * text->columns; i++) {
		uint32_t n = start_address(vga) + i / text->columns * pitch +
			     i % text->columns;

		text->code[i] = vga->memory[(n & (TEXT_CELLS - 1)) * 4];
	}
}

/* Blinking changes the picture without a write. */
static void update_blink(struct vga *vga)
{
	bool blink = clock_now(&vga->vm->clock) / BLINK_NS & 1;
	uint32_t cursor;

	if (is_linear(vga) || !is_text(vga))
		return;
	if (blink != vga->blink) {
		vga->blink = blink;
		vga->moved |= !!(vga->attribute[AR_MODE] & AR_MODE_BLINK);
	}
	cursor = cursor_cell(vga);
	vga->moved |= cursor != vga->cursor_at;
	vga->cursor_at = cursor;
}

/* --- graphics --------------------------------------------------------------------- */

/*
 * Cell that a line begins with. In CGA's and Hercules' modes the line within
 * a character cell gives address bits 13 and 14; in word mode half of that.
 */
static uint32_t line_address(const struct vga *vga, uint32_t y)
{
	unsigned int mode = vga->crtc[CR_MODE];
	uint32_t cell = (vga->crtc[CR_CELL] & 31) + 1u;
	uint32_t row = is_interleaved(vga) ? y / cell : y;
	uint32_t at = start_address(vga) + row * vga->crtc[CR_OFFSET] * 2u;

	if (is_interleaved(vga) && (y % cell & 1))
		at |= mode & MODE_BYTES ? 0x2000 : 0x1000;
	if (!(mode & 2) && (y % cell & 2))
		at |= 0x2000;
	return at;
}

static void draw_planar_line(struct drawing *d, uint32_t *to, uint32_t at)
{
	const struct vga *vga = d->vga;
	unsigned int mask = vga->attribute[AR_PLANES] & 15;

	for (uint32_t x = 0; x < d->width; x++) {
		const uint8_t *p = vga->memory + ((at + x / 8) & 0xffff) * 4;
		unsigned int bit = 7 - x % 8, n = 0;

		for (unsigned int plane = 0; plane < 4; plane++)
			n |= (unsigned int)(p[plane] >> bit & 1) << plane;
		to[x] = d->palette[attribute_colour(vga, n & mask)];
	}
}

/* Four colours, two bits each, in bytes of planes 0 and 1 in turn. */
static void draw_four_line(struct drawing *d, uint32_t *to, uint32_t at)
{
	const struct vga *vga = d->vga;
	unsigned int mask = vga->attribute[AR_PLANES] & 15;

	for (uint32_t x = 0; x < d->width; x++) {
		uint32_t byte = x / 4;
		const uint8_t *p = vga->memory + ((at + byte / 2) & 0xffff) * 4;
		unsigned int n = p[byte & 1] >> (6 - x % 4 * 2) & 3;

		to[x] = d->palette[attribute_colour(vga, n & mask)];
	}
}

static void draw_256_line(struct drawing *d, uint32_t *to, uint32_t at)
{
	const struct vga *vga = d->vga;

	for (uint32_t x = 0; x < d->width; x++)
		to[x] = d->palette[vga->memory[(at * 4 + x) &
					       (VGA_MEMORY_SIZE - 1)]];
}

static void draw_graphics(struct drawing *d)
{
	const struct vga *vga = d->vga;
	unsigned int mode = vga->graphics[GR_MODE];

	for (uint32_t y = 0; y < d->height; y++) {
		uint32_t *to = d->pixels + (size_t)y * d->width;
		uint32_t at = line_address(vga, y);

		if (mode & GR_MODE_256)
			draw_256_line(d, to, at);
		else if (mode & GR_MODE_FOUR)
			draw_four_line(d, to, at);
		else
			draw_planar_line(d, to, at);
	}
	rows_changed(d, 0, d->height);
}

/* --- the picture -------------------------------------------------------------------- */

static bool resize(struct vga *vga, uint32_t width, uint32_t height)
{
	uint32_t count = width * height;

	if (vga->frame.pixels && vga->frame.width == width &&
	    vga->frame.height == height)
		return true;
	if (count > vga->frame_room) {
		host_free(vga->frame.pixels);
		vga->frame.pixels =
			host_alloc(count * sizeof(*vga->frame.pixels));
		vga->frame_room = vga->frame.pixels ? count : 0;
	}
	vga->frame.width = width;
	vga->frame.height = height;
	vga->stale = true;
	return vga->frame.pixels;
}

static bool anything_written(const struct vga *vga)
{
	for (unsigned int i = 0; i < VGA_PAGES / 64; i++)
		if (vga->written[i])
			return true;
	return false;
}

static void draw(struct drawing *d)
{
	load_palette(d);
	if (is_linear(d->vga)) {
		draw_linear(d);
	} else if (is_dark(d->vga)) {
		memset(d->pixels, 0,
		       (size_t)d->width * d->height * sizeof(*d->pixels));
		rows_changed(d, 0, d->height);
	} else if (is_text(d->vga)) {
		draw_text(d);
	} else {
		draw_graphics(d);
	}
}

const struct frame *vga_draw(struct vga *vga)
{
	struct drawing d = { .vga = vga };

	geometry(vga, &d.width, &d.height);
	if (!resize(vga, d.width, d.height))
		return NULL;
	update_blink(vga);
	if (memory_device_written(&vga->vm->memory, vga->memory,
				  VGA_MEMORY_SIZE, vga->written))
		vga->fonts = true;
	if (!vga->stale && !vga->moved && !anything_written(vga))
		return &vga->frame;
	d.pixels = vga->frame.pixels;
	vga->frame.serial++;
	draw(&d);
	vga->stale = false;
	vga->fonts = false;
	vga->moved = false;
	memset(vga->written, 0, sizeof(vga->written));
	return &vga->frame;
}
