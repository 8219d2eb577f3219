/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a USB device with one HID interface: standard ones (USB 2.0,
 * 9.4), those of the class (HID 1.11, 7), descriptors made of the model's
 * figures. The device runs at full speed; its endpoint is number 1.
 */
#include "device/usb_hid.h"

#include "vm/bytes.h"

#define IDLE_NS	 4000000u /* unit of SET_IDLE */
#define GONE_NS	 500000000u /* so late is no driver that is at work */
#define ENDPOINT 1u

/* Numbers that their owner (pid.codes) leaves to tests. */
#define VENDOR 0x1209u

/* Descriptor types of the class, and its requests */
#define HID_CLASS      0x03
#define HID_DESCRIPTOR 0x21
#define HID_REPORT     0x22
#define HID_GET_REPORT	 1
#define HID_GET_IDLE	 2
#define HID_GET_PROTOCOL 3
#define HID_SET_REPORT	 9
#define HID_SET_IDLE	 10
#define HID_SET_PROTOCOL 11

#define CONFIG_SIZE	34u
#define CONFIG_HID	18u /* where the HID descriptor is in it */
#define HID_SIZE	9u
#define WAKEUP		0x20u
#define STRING_MAX	30u

enum string {
	STRING_LANGUAGES,
	STRING_MAKER,
	STRING_NAME,
	STRING_SERIAL,
};

/* --- descriptors ---------------------------------------------------------------------- */

/* As much as was asked for. */
static int give(const struct usb_setup *setup, uint8_t *data,
		const uint8_t *from, unsigned int size)
{
	unsigned int n = size < setup->length ? size : setup->length;

	memcpy(data, from, n);
	return (int)n;
}

static int give_device(const struct hid_model *model,
		       const struct usb_setup *setup, uint8_t *data)
{
	const uint8_t descriptor[] = {
		18, USB_DEVICE, 0x00, 0x02, 0, 0, 0, USB_PACKET_MAX,
		VENDOR & 0xff, VENDOR >> 8,
		model->product & 0xff, (uint8_t)(model->product >> 8),
		0x00, 0x01, STRING_MAKER, STRING_NAME, STRING_SERIAL,
		1, /* configurations */
	};

	return give(setup, data, descriptor, sizeof(descriptor));
}

static void make_config(const struct hid_model *model, uint8_t *to)
{
	const uint8_t boot = model->boot_keyboard;
	const uint8_t descriptor[CONFIG_SIZE] = {
		9, USB_CONFIG, CONFIG_SIZE, 0, 1, 1, 0, 0x80 | WAKEUP,
		50, /* 100 mA */
		9, USB_INTERFACE, 0, 0, 1, HID_CLASS, boot, boot, 0,
		HID_SIZE, HID_DESCRIPTOR, 0x11, 0x01, 0, 1, HID_REPORT,
		model->report_descriptor_size & 0xff,
		(uint8_t)(model->report_descriptor_size >> 8),
		7, USB_ENDPOINT, USB_TYPE_IN | ENDPOINT, 3 /* interrupt */,
		HID_REPORT_MAX, 0, model->interval,
	};

	memcpy(to, descriptor, sizeof(descriptor));
}

static int give_string(const struct hid_model *model,
		       const struct usb_setup *setup, uint8_t *data)
{
	static const char *const common[] = {
		[STRING_MAKER] = "lodge",
		[STRING_SERIAL] = "1",
	};
	uint8_t descriptor[2 + 2 * STRING_MAX] = { 4, USB_STRING, 0x09, 0x04 };
	unsigned int index = setup->value & 0xff, size = 0;
	const char *text;

	if (index == STRING_LANGUAGES) /* English (US) alone */
		return give(setup, data, descriptor, 4);
	if (index > STRING_SERIAL)
		return USB_STALL;
	text = index == STRING_NAME ? model->name : common[index];
	for (; text[size] && size < STRING_MAX; size++) {
		descriptor[2 + 2 * size] = (uint8_t)text[size];
		descriptor[3 + 2 * size] = 0;
	}
	descriptor[0] = (uint8_t)(2 + 2 * size);
	return give(setup, data, descriptor, descriptor[0]);
}

static int get_descriptor(const struct usb_hid *hid,
			  const struct usb_setup *setup, uint8_t *data)
{
	uint8_t config[CONFIG_SIZE];

	make_config(hid->model, config);
	switch (setup->value >> 8) {
	case USB_DEVICE:
		return give_device(hid->model, setup, data);
	case USB_CONFIG:
		return give(setup, data, config, sizeof(config));
	case USB_STRING:
		return give_string(hid->model, setup, data);
	case HID_DESCRIPTOR:
		return give(setup, data, config + CONFIG_HID, HID_SIZE);
	case HID_REPORT:
		return give(setup, data, hid->model->report,
			    hid->model->report_descriptor_size);
	default:
		return USB_STALL; /* no other speed, for one */
	}
}

/* --- standard requests ------------------------------------------------------------------ */

static void stop_repeat(struct usb_hid *hid)
{
	timer_cancel(&hid->vm->clock, &hid->repeat);
	hid->due = false;
}

static int configure(struct usb_hid *hid, unsigned int value)
{
	if (value > 1)
		return USB_STALL;
	hid->configuration = (uint8_t)value;
	hid->halted = hid->polled = hid->waiting = false;
	stop_repeat(hid);
	hid->model->clear(hid);
	return 0;
}

static int get_status(const struct usb_hid *hid, const struct usb_setup *setup,
		      uint8_t *data)
{
	uint8_t status[2] = { 0 };

	switch (setup->type & USB_TYPE_RECIPIENT) {
	case USB_TO_DEVICE:
		status[0] = hid->usb.remote_wakeup ? 2 : 0;
		break;
	case USB_TO_ENDPOINT:
		status[0] = (setup->index & 0xf) && hid->halted;
		break;
	}
	return give(setup, data, status, sizeof(status));
}

static int set_feature(struct usb_hid *hid, const struct usb_setup *setup,
		       bool on)
{
	unsigned int to = setup->type & USB_TYPE_RECIPIENT;

	if (to == USB_TO_DEVICE && setup->value == USB_REMOTE_WAKEUP)
		hid->usb.remote_wakeup = on;
	else if (to == USB_TO_ENDPOINT && setup->value == USB_ENDPOINT_HALT &&
		 setup->index == (USB_TYPE_IN | ENDPOINT))
		hid->halted = on;
	else
		return USB_STALL;
	return 0;
}

static int standard(struct usb_hid *hid, const struct usb_setup *setup,
		    uint8_t *data)
{
	const uint8_t zero = 0;

	switch (setup->request) {
	case USB_GET_STATUS:
		return get_status(hid, setup, data);
	case USB_CLEAR_FEATURE:
		return set_feature(hid, setup, false);
	case USB_SET_FEATURE:
		return set_feature(hid, setup, true);
	case USB_GET_DESCRIPTOR:
		return get_descriptor(hid, setup, data);
	case USB_GET_CONFIGURATION:
		return give(setup, data, &hid->configuration, 1);
	case USB_SET_CONFIGURATION:
		return configure(hid, setup->value);
	case USB_GET_INTERFACE:
		return give(setup, data, &zero, 1);
	case USB_SET_INTERFACE:
		return setup->value || setup->index ? USB_STALL : 0;
	default:
		return USB_STALL;
	}
}

/* --- requests of the class ---------------------------------------------------------------- */

static int get_report(struct usb_hid *hid, const struct usb_setup *setup,
		      uint8_t *data)
{
	uint8_t report[HID_REPORT_MAX] = { 0 };

	if (setup->value >> 8 != HID_INPUT)
		return USB_STALL;
	hid->model->get(hid, report);
	return give(setup, data, report, hid->model->report_size);
}

static int set_report(struct usb_hid *hid, const struct usb_setup *setup,
		      const uint8_t *data)
{
	if (setup->value >> 8 != HID_OUTPUT || !hid->model->set ||
	    !setup->length)
		return USB_STALL;
	hid->model->set(hid, data[0]);
	return 0;
}

static int class_request(struct usb_hid *hid, const struct usb_setup *setup,
			 uint8_t *data)
{
	if ((setup->type & USB_TYPE_RECIPIENT) != USB_TO_INTERFACE ||
	    setup->index)
		return USB_STALL;
	switch (setup->request) {
	case HID_GET_REPORT:
		return get_report(hid, setup, data);
	case HID_SET_REPORT:
		return set_report(hid, setup, data);
	case HID_GET_IDLE:
		return give(setup, data, &hid->idle, 1);
	case HID_SET_IDLE:
		hid->idle = (uint8_t)(setup->value >> 8);
		stop_repeat(hid);
		return 0;
	case HID_GET_PROTOCOL:
		return hid->model->boot_keyboard ?
			       give(setup, data, &hid->protocol, 1) :
			       USB_STALL;
	case HID_SET_PROTOCOL:
		if (!hid->model->boot_keyboard || setup->value > 1)
			return USB_STALL;
		hid->protocol = (uint8_t)setup->value;
		return 0;
	default:
		return USB_STALL;
	}
}

/* --- the device's side ----------------------------------------------------------------------- */

static struct usb_hid *hid_of(struct usb_device *usb)
{
	return (struct usb_hid *)((uint8_t *)usb -
				  offsetof(struct usb_hid, usb));
}

static int control(struct usb_device *usb, const struct usb_setup *setup,
		   uint8_t *data)
{
	struct usb_hid *hid = hid_of(usb);

	switch (setup->type & USB_TYPE_KIND) {
	case USB_TYPE_STANDARD:
		return standard(hid, setup, data);
	case USB_TYPE_CLASS:
		return class_request(hid, setup, data);
	default:
		return USB_STALL;
	}
}

/* A report; with an idle rate the last one again when it is due. */
static int in(struct usb_device *usb, unsigned int endpoint, uint8_t *data)
{
	struct usb_hid *hid = hid_of(usb);
	struct clock *clock = &hid->vm->clock;

	if (endpoint != ENDPOINT || !hid->configuration || hid->halted)
		return USB_STALL;
	hid->polled = true;
	if (!hid->model->take(hid, data)) {
		hid->waiting = false;
		if (!hid->due) {
			if (hid->idle && !hid->repeat.armed)
				timer_arm(clock, &hid->repeat,
					  clock_now(clock) +
						  hid->idle * IDLE_NS);
			return USB_NAK;
		}
		hid->model->get(hid, data);
	}
	stop_repeat(hid);
	hid->waiting = true;
	hid->since = clock_now(clock);
	return hid->model->report_size;
}

static void repeat(void *ctx)
{
	struct usb_hid *hid = ctx;

	hid->due = true;
	usb_wake(&hid->usb, false);
}

static void reset(struct usb_device *usb)
{
	struct usb_hid *hid = hid_of(usb);

	configure(hid, 0);
	usb->remote_wakeup = false;
	hid->protocol = 1;
	hid->idle = hid->model->idle;
}

bool usb_hid_is_read(const struct usb_hid *hid)
{
	return hid->polled &&
	       (!hid->waiting ||
		clock_now(&hid->vm->clock) - hid->since < GONE_NS);
}

void usb_hid_wake(struct usb_hid *hid)
{
	if (!hid->waiting)
		hid->since = clock_now(&hid->vm->clock);
	hid->waiting = true;
	usb_wake(&hid->usb, true);
}

void usb_hid_init(struct usb_hid *hid, struct vm *vm,
		  const struct hid_model *model)
{
	static const struct usb_device_ops ops = {
		.reset = reset,
		.control = control,
		.in = in,
	};

	hid->usb.ops = &ops;
	hid->usb.speed = USB_FULL_SPEED;
	hid->vm = vm;
	hid->model = model;
	timer_init(&hid->repeat, repeat, hid);
	reset(&hid->usb);
}

void usb_hid_fini(struct usb_hid *hid)
{
	timer_cancel(&hid->vm->clock, &hid->repeat);
}
