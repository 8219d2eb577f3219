/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PS/2 mouse with three buttons, and a wheel and two more buttons for
 * drivers that ask for them (IBM PS/2 mouse; Microsoft's IntelliMouse
 * extension by a sequence of sample rates).
 */
#ifndef LODGE_CHIP_PS2_MOUSE_H
#define LODGE_CHIP_PS2_MOUSE_H

#include "chip/ps2.h"
#include "vm/vm.h"

#define PS2_MOUSE_LEFT	 0x01u
#define PS2_MOUSE_RIGHT	 0x02u
#define PS2_MOUSE_MIDDLE 0x04u
#define PS2_MOUSE_SIDE	 0x08u
#define PS2_MOUSE_EXTRA	 0x10u

struct ps2_mouse {
	struct ps2_device device;
	struct ps2_queue queue;
	uint8_t pending; /* command that waits for its byte, or 0 */
	uint8_t id;	 /* 0: three buttons, 3: and wheel, 4: five buttons */
	uint8_t rates[3]; /* sample rates as set, the last one first */
	uint8_t resolution;
	bool scale_2to1, reporting, remote, wrap;
	uint8_t buttons;
	bool changed;	   /* buttons, since the last packet */
	int32_t x, y, wheel; /* movement not reported yet; y: up */
};

extern const struct device_class ps2_mouse_class;

int ps2_mouse_init(struct ps2_mouse *mouse, struct vm *vm);

/*
 * Movement in counts (right, down; wheel: towards the user) and the buttons
 * that are held now.
 */
void ps2_mouse_move(struct ps2_mouse *mouse, int x, int y, int wheel,
		    unsigned int buttons);

#endif
