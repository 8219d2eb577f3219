/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VGA (IBM VGA registers and memory as every adapter since has them) with
 * the Bochs display interface for larger and deeper modes. The adapter's PCI
 * side is in vga_pci.h.
 *
 * Display memory is interleaved: byte `plane` of word `n` holds cell n of
 * that plane, so that linear modes are linear in it.
 */
#ifndef LODGE_DEVICE_VGA_H
#define LODGE_DEVICE_VGA_H

#include "device/frame.h"
#include "vm/vm.h"

#define VGA_MEMORY_SIZE	  (16u << 20)
#define VGA_WINDOW	  0xa0000ull
#define VGA_WINDOW_SIZE	  0x20000u
#define VGA_PORTS	  0x3b0u /* to 0x3df */
#define VGA_PORT_COUNT	  0x30u
#define VGA_DISPI_PORT	  0x1ceu
#define VGA_PAGE_SHIFT	  12
#define VGA_PAGES	  (VGA_MEMORY_SIZE >> VGA_PAGE_SHIFT)
#define VGA_CELLS	  16384u /* of text, remembered as drawn */

#define VGA_SEQUENCER  5
#define VGA_GRAPHICS   9
#define VGA_ATTRIBUTES 21
#define VGA_CRTC       25

/* Registers of the Bochs display interface. */
enum vga_dispi {
	DISPI_ID,
	DISPI_X,
	DISPI_Y,
	DISPI_DEPTH,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRTUAL_X,
	DISPI_VIRTUAL_Y,
	DISPI_OFFSET_X,
	DISPI_OFFSET_Y,
	DISPI_MEMORY,
	DISPI_COUNT,
};

#define DISPI_ENABLED	0x01u
#define DISPI_GET_LIMITS 0x02u
#define DISPI_8BIT_DAC	0x20u
#define DISPI_LINEAR	0x40u
#define DISPI_KEEP	0x80u /* do not clear memory */

struct vga {
	struct vm *vm;
	uint8_t *memory; /* VGA_MEMORY_SIZE bytes that may have a view */
	unsigned int window; /* the legacy window's view */

	/* Saved. */
	uint8_t misc;
	uint8_t sequencer_index, sequencer[VGA_SEQUENCER];
	uint8_t graphics_index, graphics[VGA_GRAPHICS];
	uint8_t attribute_index, attribute[VGA_ATTRIBUTES];
	bool attribute_data; /* 0x3c0 takes data next, no index */
	uint8_t crtc_index, crtc[VGA_CRTC];
	uint8_t dac_mask, dac_read, dac_write, dac_part;
	bool dac_reading;
	uint8_t dac[256 * 3];
	uint32_t latch;
	uint16_t dispi_index, dispi[DISPI_COUNT];

	/* What the picture was drawn from. */
	struct frame frame;
	uint32_t frame_room; /* pixels allocated */
	uint64_t written[VGA_PAGES / 64]; /* pages since the last picture */
	bool stale;	     /* everything has to be drawn */
	bool fonts;	     /* plane 2 was written, where text has its fonts */
	bool blink;	     /* phase of cursor and blinking text, as drawn */
	bool moved;	     /* the cursor's shape or place */
	uint32_t cursor_at;  /* cell of the text cursor, as drawn */
	uint32_t drawn[VGA_CELLS];
};

extern const struct device_class vga_class;

/*
 * Claims the legacy window and ports and those of the Bochs interface.
 * -ENOMEM, -ENOSPC.
 */
int vga_init(struct vga *vga, struct vm *vm);

/* Legacy port `port` of VGA_PORTS, and the Bochs interface's registers. */
uint8_t vga_port_read(struct vga *vga, unsigned int port);
void vga_port_write(struct vga *vga, unsigned int port, uint8_t value);
uint16_t vga_dispi_read(const struct vga *vga, unsigned int index);
void vga_dispi_write(struct vga *vga, unsigned int index, uint16_t value);

/* The legacy window (vga_memory.c); `at` from VGA_WINDOW, one byte. */
uint8_t vga_window_read(struct vga *vga, uint32_t at);
void vga_window_write(struct vga *vga, uint32_t at, uint8_t value);

/*
 * Makes the window a view of display memory where that is what it is: a bank
 * of a linear mode, or 256 colours in a chain. To be called when a register
 * has changed that it depends on.
 */
void vga_window_show(struct vga *vga);

/* Notes that `size` bytes of display memory at `at` were written. */
void vga_note(struct vga *vga, uint32_t at, uint32_t size);

/*
 * Brings the picture up to date (vga_draw.c). Held: the device lock. NULL
 * when there is no memory for it; else it is valid until the next call.
 */
const struct frame *vga_draw(struct vga *vga);

/* What it shows as text (vga_draw.c). Held: the device lock. */
void vga_text(const struct vga *vga, struct frame_text *text);

#endif
