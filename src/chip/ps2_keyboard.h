/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PS/2 keyboard, 102 keys, scan code set 2 (IBM PS/2 hardware interface
 * technical reference, keyboard 101/102). The controller translates to set 1
 * where the system wants that.
 */
#ifndef LODGE_CHIP_PS2_KEYBOARD_H
#define LODGE_CHIP_PS2_KEYBOARD_H

#include "chip/key.h"
#include "chip/ps2.h"
#include "vm/vm.h"

struct ps2_keyboard {
	struct ps2_device device;
	struct ps2_queue queue;
	uint8_t pending; /* command that waits for its byte, or 0 */
	uint8_t leds;	 /* bit 0: scroll lock, 1: num lock, 2: caps lock */
	uint8_t rate;	 /* typematic, as written */
	bool scanning;
	uint8_t down[(KEY_COUNT + 7) / 8]; /* keys held, a bit each */
};

extern const struct device_class ps2_keyboard_class;

int ps2_keyboard_init(struct ps2_keyboard *kbd, struct vm *vm);

/*
 * A key goes down or up. Down again while it is held repeats it. Keys that
 * no PS/2 keyboard has, and those for which there is no room, are dropped.
 */
void ps2_keyboard_key(struct ps2_keyboard *kbd, unsigned int key, bool down);

#endif
