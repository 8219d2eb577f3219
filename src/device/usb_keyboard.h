/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB keyboard with 104 keys and five lights, in the boot protocol's reports
 * (HID 1.11, appendix B), which are those of the report protocol too.
 */
#ifndef LODGE_DEVICE_USB_KEYBOARD_H
#define LODGE_DEVICE_USB_KEYBOARD_H

#include "chip/key.h"
#include "device/usb_hid.h"

#define USB_KEYBOARD_REPORTS 64u /* on their way, at most */

struct usb_keyboard {
	struct usb_hid hid;

	/* Saved. */
	uint8_t down[(KEY_COUNT + 7) / 8]; /* keys held, a bit each */
	uint8_t report[USB_KEYBOARD_REPORTS * HID_REPORT_MAX];
	uint8_t head, count; /* reports */
	bool lost; /* one had no room: how things are follows the others */
	uint8_t leds;
};

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int usb_keyboard_create(struct usb_keyboard **keyboard, struct vm *vm);

/* A key goes down or up; the rest is nothing new. */
void usb_keyboard_key(struct usb_keyboard *keyboard, unsigned int key,
		      bool down);

/* Reports that have not been taken. */
unsigned int usb_keyboard_unread(const struct usb_keyboard *keyboard);

extern const struct device_class usb_keyboard_class;

#endif
