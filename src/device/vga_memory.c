/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VGA's legacy window onto display memory: odd/even, chained and planar
 * addressing, latches, the write and read modes (IBM VGA technical
 * reference, graphics controller). With a Bochs mode on it is a bank of
 * linear memory.
 */
#include "device/vga.h"

#include "vm/bytes.h"
#include "vm/memory_view.h"

#define BANK_SIZE 0x10000u
#define FONT_PLANE 0x00ff0000u /* of a word of cells */

/* Graphics controller registers */
enum {
	GR_SET_RESET,
	GR_ENABLE_SET_RESET,
	GR_COMPARE,
	GR_ROTATE,
	GR_READ_MAP,
	GR_MODE,
	GR_MISC,
	GR_DONT_CARE,
	GR_BIT_MASK,
};

#define MODE_WRITE    0x03u
#define MODE_READ     0x08u
#define MODE_ODD_EVEN 0x10u

#define SR_MAP_MASK 2
#define ALL_PLANES  0x0fu
#define SR_MEMORY   4
#define SR_SEQUENTIAL 0x04u /* not odd/even */
#define SR_CHAIN4   0x08u

/* A byte for each plane of a mask of four bits. */
static uint32_t planes(unsigned int mask)
{
	return (mask & 1 ? 0xffu : 0) | (mask & 2 ? 0xff00u : 0) |
	       (mask & 4 ? 0xff0000u : 0) | (mask & 8 ? 0xff000000u : 0);
}

static uint32_t repeat(uint8_t value)
{
	return value * 0x01010101u;
}

/* A part of the window. */
struct part {
	uint32_t base, size;
};

/* The one that answers. */
static const struct part *window_part(const struct vga *vga)
{
	static const struct part parts[4] = {
		{ 0, 0x20000 },
		{ 0, 0x10000 },
		{ 0x10000, 0x8000 },
		{ 0x18000, 0x8000 },
	};

	return &parts[vga->graphics[GR_MISC] >> 2 & 3];
}

/* False: not this address. */
static bool map_window(const struct vga *vga, uint32_t *at)
{
	const struct part *part = window_part(vga);

	if (*at < part->base || *at - part->base >= part->size)
		return false;
	*at -= part->base;
	return true;
}

static bool is_banked(const struct vga *vga)
{
	return vga->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}

/* Linear address behind the window in a Bochs mode. */
static bool map_bank(const struct vga *vga, uint32_t *at)
{
	if (*at >= BANK_SIZE)
		return false;
	*at += vga->dispi[DISPI_BANK] * BANK_SIZE;
	return *at < VGA_MEMORY_SIZE;
}

static uint32_t load_word(const struct vga *vga, uint32_t cell)
{
	uint32_t word;

	memcpy(&word, vga->memory + cell * 4, sizeof(word));
	return word;
}

void vga_note(struct vga *vga, uint32_t at, uint32_t size)
{
	uint32_t last = (at + size - 1) >> VGA_PAGE_SHIFT;

	for (uint32_t page = at >> VGA_PAGE_SHIFT; page <= last; page++)
		vga->written[page / 64] |= 1ull << (page % 64);
}

static uint8_t read_planar(struct vga *vga, uint32_t cell)
{
	const uint8_t *gr = vga->graphics;
	uint32_t differ;

	vga->latch = load_word(vga, cell);
	if (!(gr[GR_MODE] & MODE_READ))
		return (uint8_t)(vga->latch >> (gr[GR_READ_MAP] & 3) * 8);
	/* A bit is set where all planes that matter have the colour. */
	differ = (vga->latch ^ planes(gr[GR_COMPARE])) &
		 planes(gr[GR_DONT_CARE]);
	return (uint8_t)~(differ | differ >> 8 | differ >> 16 | differ >> 24);
}

uint8_t vga_window_read(struct vga *vga, uint32_t at)
{
	if (is_banked(vga))
		return map_bank(vga, &at) ? vga->memory[at] : 0xff;
	if (!map_window(vga, &at))
		return 0xff;
	if (vga->sequencer[SR_MEMORY] & SR_CHAIN4)
		return vga->memory[at];
	if (vga->graphics[GR_MODE] & MODE_ODD_EVEN)
		return vga->memory[(at & ~1u) << 1 |
				   (vga->graphics[GR_READ_MAP] & 2) |
				   (at & 1)];
	return read_planar(vga, at);
}

static uint8_t rotate(const struct vga *vga, uint8_t value)
{
	unsigned int by = vga->graphics[GR_ROTATE] & 7;

	return (uint8_t)(value >> by | value << (8 - by));
}

/* AND, OR or XOR with the latches. */
static uint32_t combine(const struct vga *vga, uint32_t value)
{
	switch (vga->graphics[GR_ROTATE] >> 3 & 3) {
	case 1:
		return value & vga->latch;
	case 2:
		return value | vga->latch;
	case 3:
		return value ^ vga->latch;
	default:
		return value;
	}
}

/* What a byte written by the processor becomes in the four planes. */
static uint32_t write_value(const struct vga *vga, uint8_t value)
{
	const uint8_t *gr = vga->graphics;
	uint32_t mask = repeat(gr[GR_BIT_MASK]);
	uint32_t enable = planes(gr[GR_ENABLE_SET_RESET]);
	uint32_t set = planes(gr[GR_SET_RESET]), word;

	switch (gr[GR_MODE] & MODE_WRITE) {
	case 0:
		word = repeat(rotate(vga, value));
		word = (word & ~enable) | (set & enable);
		break;
	case 1:
		return vga->latch;
	case 2:
		word = planes(value);
		break;
	default:
		mask &= repeat(rotate(vga, value));
		word = set;
		break;
	}
	return (combine(vga, word) & mask) | (vga->latch & ~mask);
}

static void write_planar(struct vga *vga, uint32_t cell, uint8_t value)
{
	uint32_t mask = planes(vga->sequencer[SR_MAP_MASK]);
	uint32_t word = write_value(vga, value);

	word = (load_word(vga, cell) & ~mask) | (word & mask);
	memcpy(vga->memory + cell * 4, &word, sizeof(word));
	vga_note(vga, cell * 4, 4);
	vga->fonts |= !!(mask & FONT_PLANE);
}

static void write_linear(struct vga *vga, uint32_t at, uint8_t value)
{
	vga->memory[at] = value;
	vga_note(vga, at, 1);
	vga->fonts |= (at & 3) == 2;
}

void vga_window_write(struct vga *vga, uint32_t at, uint8_t value)
{
	unsigned int plane;

	if (is_banked(vga)) {
		if (map_bank(vga, &at))
			write_linear(vga, at, value);
		return;
	}
	if (!map_window(vga, &at))
		return;
	if (vga->sequencer[SR_MEMORY] & SR_CHAIN4) {
		if (vga->sequencer[SR_MAP_MASK] >> (at & 3) & 1)
			write_linear(vga, at, value);
	} else if (!(vga->sequencer[SR_MEMORY] & SR_SEQUENTIAL)) {
		plane = (vga->graphics[GR_READ_MAP] & 2) | (at & 1);
		if (vga->sequencer[SR_MAP_MASK] >> plane & 1)
			write_linear(vga, (at & ~1u) << 1 | plane, value);
	} else {
		write_planar(vga, at, value);
	}
}

void vga_window_show(struct vga *vga)
{
	struct memory *mem = &vga->vm->memory;
	const struct part *part = window_part(vga);

	if (is_banked(vga))
		memory_view_map(mem, vga->window, gpa(VGA_WINDOW),
				vga->memory + vga->dispi[DISPI_BANK] * BANK_SIZE,
				BANK_SIZE);
	else if (vga->sequencer[SR_MEMORY] & SR_CHAIN4 &&
		 (vga->sequencer[SR_MAP_MASK] & ALL_PLANES) == ALL_PLANES)
		memory_view_map(mem, vga->window, gpa(VGA_WINDOW + part->base),
				vga->memory, part->size);
	else
		memory_view_unmap(mem, vga->window);
}
