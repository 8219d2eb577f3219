/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the devices here have in common (USB 2.0, chapter 9; HID 1.11): one
 * configuration of one HID interface with one interrupt IN endpoint.
 */
#ifndef LODGE_DEVICE_USB_HID_H
#define LODGE_DEVICE_USB_HID_H

#include "device/usb.h"
#include "vm/vm.h"

#define HID_REPORT_MAX 8u

/* Report types of GET_REPORT and SET_REPORT */
#define HID_INPUT  1u
#define HID_OUTPUT 2u

struct usb_hid;

/* What makes a kind of device. */
struct hid_model {
	uint16_t product;    /* number */
	const char *name;    /* in ASCII, 30 characters at most */
	bool boot_keyboard;  /* as firmware knows one */
	uint8_t interval;    /* ms between polls */
	uint8_t idle;	     /* at reset, in 4 ms; 0: only what is new */
	uint8_t report_size; /* of an input report */
	const uint8_t *report; /* the report descriptor */
	uint16_t report_descriptor_size;

	/* The oldest input report that is not sent yet; false: none. */
	bool (*take)(struct usb_hid *hid, uint8_t *report);
	/* How things are now. */
	void (*get)(struct usb_hid *hid, uint8_t *report);
	/* Optional. An output report of one byte. */
	void (*set)(struct usb_hid *hid, uint8_t value);
	/* Forgets what has not been sent. */
	void (*clear)(struct usb_hid *hid);
};

struct usb_hid {
	struct usb_device usb;
	struct vm *vm;
	const struct hid_model *model;

	/* Saved: see HID_FIELDS. */
	uint8_t configuration; /* 0: none */
	bool halted;	       /* the endpoint */
	bool polled;	       /* since it was configured */
	bool waiting;	       /* for the driver: it has a report, or could */
	uint64_t since;	       /* VM time */
	uint8_t protocol;      /* 0: boot, 1: report */
	uint8_t idle;
	struct timer repeat; /* of the last report, after `idle` */
	bool due;	     /* it is */
};

/* `type` has a struct usb_hid `hid`. */
#define HID_FIELDS(type)                             \
	FIELD(type, FIELD_U8, hid.configuration),    \
	FIELD(type, FIELD_BOOL, hid.usb.remote_wakeup), \
	FIELD(type, FIELD_BOOL, hid.halted),         \
	FIELD(type, FIELD_BOOL, hid.polled),         \
	FIELD(type, FIELD_BOOL, hid.waiting),        \
	FIELD(type, FIELD_U64, hid.since),           \
	FIELD(type, FIELD_U8, hid.protocol),         \
	FIELD(type, FIELD_U8, hid.idle),             \
	FIELD(type, FIELD_TIMER, hid.repeat),        \
	FIELD(type, FIELD_BOOL, hid.due)

void usb_hid_init(struct usb_hid *hid, struct vm *vm,
		  const struct hid_model *model);
void usb_hid_fini(struct usb_hid *hid);

/*
 * Whether a driver has configured it and asks for reports. One that does not
 * come back for a while after a report is gone: firmware's drivers just end
 * when a system takes over that has none. Where the driver has set an idle
 * rate, as SeaBIOS does, that is known before somebody types.
 */
bool usb_hid_is_read(const struct usb_hid *hid);

/* There is a report to send. */
void usb_hid_wake(struct usb_hid *hid);

#endif
