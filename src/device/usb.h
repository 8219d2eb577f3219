/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between a USB host controller and a device on one of its ports (USB
 * 2.0, chapters 8 and 9): control requests, interrupt IN endpoints, the
 * device's word that it has something. Left out, as no device here has them:
 * bulk and isochronous endpoints, interrupt OUT, alternate settings, hubs.
 *
 * Everything here is called with the VM's device lock held.
 */
#ifndef LODGE_DEVICE_USB_H
#define LODGE_DEVICE_USB_H

#include <stdbool.h>
#include <stdint.h>

#define USB_CONTROL_MAX 256u /* bytes of a control request's data */
#define USB_PACKET_MAX	64u  /* of an interrupt endpoint, at full speed */

/* Instead of a count of bytes */
#define USB_STALL (-1)
#define USB_NAK	  (-2) /* nothing to send now: wake() tells when there is */

/* bmRequestType (table 9-2) */
#define USB_TYPE_IN	   0x80u
#define USB_TYPE_KIND	   0x60u
#define USB_TYPE_STANDARD  0x00u
#define USB_TYPE_CLASS	   0x20u
#define USB_TYPE_RECIPIENT 0x1fu
#define USB_TO_DEVICE	   0x00u
#define USB_TO_INTERFACE   0x01u
#define USB_TO_ENDPOINT	   0x02u

/* bRequest (table 9-4) */
enum usb_request {
	USB_GET_STATUS = 0,
	USB_CLEAR_FEATURE = 1,
	USB_SET_FEATURE = 3,
	USB_GET_DESCRIPTOR = 6,
	USB_GET_CONFIGURATION = 8,
	USB_SET_CONFIGURATION = 9,
	USB_GET_INTERFACE = 10,
	USB_SET_INTERFACE = 11,
};

/* Descriptor types (table 9-5) */
#define USB_DEVICE    1
#define USB_CONFIG    2
#define USB_STRING    3
#define USB_INTERFACE 4
#define USB_ENDPOINT  5

/* Features (table 9-6) */
#define USB_ENDPOINT_HALT 0
#define USB_REMOTE_WAKEUP 1

/* Speeds as xHCI numbers them (7.2.2.1.1) */
enum usb_speed {
	USB_FULL_SPEED = 1,
	USB_LOW_SPEED = 2,
	USB_HIGH_SPEED = 3,
};

struct usb_setup {
	uint8_t type; /* bmRequestType */
	uint8_t request;
	uint16_t value, index, length;
};

struct usb_device;

struct usb_device_ops {
	/* The bus is reset: no address, no configuration. */
	void (*reset)(struct usb_device *usb);
	/*
	 * A control request; `data` has room for setup->length bytes, at most
	 * USB_CONTROL_MAX, and holds them when they go to the device. How
	 * many come from it, 0 when none do; or USB_STALL.
	 */
	int (*control)(struct usb_device *usb, const struct usb_setup *setup,
		       uint8_t *data);
	/*
	 * A packet from interrupt endpoint `endpoint`; `data` has room for
	 * USB_PACKET_MAX. Its bytes, USB_NAK or USB_STALL.
	 */
	int (*in)(struct usb_device *usb, unsigned int endpoint,
		  uint8_t *data);
};

struct usb_device {
	const struct usb_device_ops *ops;
	enum usb_speed speed;
	bool remote_wakeup; /* it may wake a suspended bus; saved by its owner */

	/*
	 * The controller's, NULL while on no port: there is something to
	 * send, for which a suspended bus is to be woken or not.
	 */
	void (*wake)(void *ctx, unsigned int port, bool resume);
	void *wake_ctx;
	unsigned int port;
};

static inline void usb_wake(struct usb_device *usb, bool resume)
{
	if (usb->wake)
		usb->wake(usb->wake_ctx, usb->port, resume);
}

#endif
