/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a client says of a key to the key (chip/key.h): X keysyms, which
 * name what is written on it, or codes of the place where it is.
 */
#ifndef LODGE_VNC_KEYS_H
#define LODGE_VNC_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum vnc_shift {
	VNC_SHIFT_ANY,  /* says nothing about the shift keys */
	VNC_SHIFT_CASE, /* a capital: shift, or caps lock */
	VNC_SHIFT_DOWN,
	VNC_SHIFT_UP,
};

/* KEY_NONE: no key of a US keyboard. */
uint8_t vnc_key_of_keysym(uint32_t keysym, enum vnc_shift *shift);

/*
 * Codes of QEMU's extended key events: scan code set 1, with bit 7 set for
 * those that are prefixed with 0xe0. KEY_NONE: no such key.
 */
uint8_t vnc_key_of_code(uint32_t code);

#endif
