/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB tablet: a pointer that stands where it is put, three buttons, a wheel.
 */
#ifndef LODGE_DEVICE_USB_TABLET_H
#define LODGE_DEVICE_USB_TABLET_H

#include "device/usb_hid.h"

#define USB_TABLET_MAX	   0x7fffu /* the right and lower edge */
#define USB_TABLET_REPORTS 32u	   /* on their way, at most */

#define USB_TABLET_LEFT	  0x01u
#define USB_TABLET_RIGHT  0x02u
#define USB_TABLET_MIDDLE 0x04u

struct usb_tablet {
	struct usb_hid hid;

	/* Saved; the last one of the queue is at head + count - 1. */
	uint16_t x, y; /* now */
	uint8_t buttons;
	uint8_t queue_buttons[USB_TABLET_REPORTS];
	uint8_t queue_wheel[USB_TABLET_REPORTS]; /* signed */
	uint16_t queue_x[USB_TABLET_REPORTS], queue_y[USB_TABLET_REPORTS];
	uint8_t head, count;
};

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int usb_tablet_create(struct usb_tablet **tablet, struct vm *vm);

/*
 * The pointer is at x, y of 0 to USB_TABLET_MAX; the wheel has turned towards
 * the user; these buttons are held.
 */
void usb_tablet_move(struct usb_tablet *tablet, unsigned int x,
		     unsigned int y, int wheel, unsigned int buttons);

extern const struct device_class usb_tablet_class;

#endif
