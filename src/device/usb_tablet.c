/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB tablet; see usb_tablet.h. Places that a slow reader has not taken are
 * replaced by later ones while the buttons stay as they are, so that no press
 * is lost and none is old.
 */
#include "device/usb_tablet.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define BUTTONS	    0x07u
#define REPORT_SIZE 6u
#define WHEEL_MAX   127

static const uint8_t report_descriptor[] = {
	0x05, 0x01, /* usage page: generic desktop */
	0x09, 0x02, /* usage: mouse */
	0xa1, 0x01, /* collection: application */
	0x09, 0x01, /*   usage: pointer */
	0xa1, 0x00, /*   collection: physical */
	0x05, 0x09, /*     usage page: buttons */
	0x19, 0x01, 0x29, 0x03, /* 1 to 3 */
	0x15, 0x00, 0x25, 0x01, /* 0 to 1 */
	0x75, 0x01, 0x95, 0x03, /* 3 of 1 bit */
	0x81, 0x02, /*     input */
	0x75, 0x05, 0x95, 0x01, /* 1 of 5 bits */
	0x81, 0x01, /*     input: constant */
	0x05, 0x01, /*     usage page: generic desktop */
	0x09, 0x30, 0x09, 0x31, /* x, y */
	0x15, 0x00, 0x26, 0xff, 0x7f, /* 0 to 32767 */
	0x35, 0x00, 0x46, 0xff, 0x7f, /* and so in physical units */
	0x75, 0x10, 0x95, 0x02, /* 2 of 16 bits */
	0x81, 0x02, /*     input: absolute */
	0x09, 0x38, /*     wheel */
	0x15, 0x81, 0x25, 0x7f, /* -127 to 127 */
	0x35, 0x00, 0x45, 0x00, /* no physical units */
	0x75, 0x08, 0x95, 0x01, /* 1 of 8 bits */
	0x81, 0x06, /*     input: relative */
	0xc0, 0xc0,
};

static struct usb_tablet *tablet_of(struct usb_hid *hid)
{
	return (struct usb_tablet *)((uint8_t *)hid -
				     offsetof(struct usb_tablet, hid));
}

/* --- reports ---------------------------------------------------------------------------- */

static void put_report(uint8_t *report, unsigned int buttons, unsigned int x,
		       unsigned int y, uint8_t wheel)
{
	report[0] = (uint8_t)buttons;
	report[1] = x & 0xff;
	report[2] = (uint8_t)(x >> 8);
	report[3] = y & 0xff;
	report[4] = (uint8_t)(y >> 8);
	report[5] = wheel;
}

static void get(struct usb_hid *hid, uint8_t *report)
{
	const struct usb_tablet *t = tablet_of(hid);

	put_report(report, t->buttons, t->x, t->y, 0);
}

static bool take(struct usb_hid *hid, uint8_t *report)
{
	struct usb_tablet *t = tablet_of(hid);
	unsigned int at = t->head;

	if (!t->count)
		return false;
	put_report(report, t->queue_buttons[at], t->queue_x[at],
		   t->queue_y[at], t->queue_wheel[at]);
	t->head = (uint8_t)((at + 1) % USB_TABLET_REPORTS);
	t->count--;
	return true;
}

static void clear(struct usb_hid *hid)
{
	struct usb_tablet *t = tablet_of(hid);

	t->head = t->count = t->buttons = 0;
}

/* HID counts away from the user. */
static uint8_t turned(uint8_t before, int wheel)
{
	int sum = (int8_t)before - wheel;

	sum = sum > WHEEL_MAX ? WHEEL_MAX : sum;
	return (uint8_t)(sum < -WHEEL_MAX ? -WHEEL_MAX : sum);
}

void usb_tablet_move(struct usb_tablet *t, unsigned int x, unsigned int y,
		     int wheel, unsigned int buttons)
{
	unsigned int last = (t->head + t->count + USB_TABLET_REPORTS - 1) %
			    USB_TABLET_REPORTS;
	uint8_t before = 0;

	t->x = (uint16_t)(x < USB_TABLET_MAX ? x : USB_TABLET_MAX);
	t->y = (uint16_t)(y < USB_TABLET_MAX ? y : USB_TABLET_MAX);
	t->buttons = buttons & BUTTONS;
	wheel = wheel > WHEEL_MAX ? WHEEL_MAX : wheel;
	wheel = wheel < -WHEEL_MAX ? -WHEEL_MAX : wheel;
	if (t->count && (t->queue_buttons[last] == t->buttons ||
			 t->count == USB_TABLET_REPORTS)) {
		before = t->queue_wheel[last];
	} else {
		last = (last + 1) % USB_TABLET_REPORTS;
		t->count++;
	}
	t->queue_buttons[last] = t->buttons;
	t->queue_x[last] = t->x;
	t->queue_y[last] = t->y;
	t->queue_wheel[last] = turned(before, wheel);
	usb_hid_wake(&t->hid);
}

/* --- making one, saved state ---------------------------------------------------------------- */

static const struct hid_model model = {
	.product = 0x0002,
	.name = "tablet",
	.interval = 4,
	.report_size = REPORT_SIZE,
	.report = report_descriptor,
	.report_descriptor_size = sizeof(report_descriptor),
	.take = take,
	.get = get,
	.clear = clear,
};

static void tablet_reset(void *object)
{
	struct usb_tablet *t = object;

	t->hid.usb.ops->reset(&t->hid.usb);
	t->x = t->y = 0;
}

static void tablet_fini(void *object)
{
	struct usb_tablet *t = object;

	usb_hid_fini(&t->hid);
	host_free(t);
}

static int tablet_check(const void *object)
{
	const struct usb_tablet *t = object;

	return t->head < USB_TABLET_REPORTS && t->count <= USB_TABLET_REPORTS
		       ? 0
		       : -VM_EBADMSG;
}

#define QUEUE(kind_, member_) \
	FIELD_ARRAY(struct usb_tablet, kind_, member_, USB_TABLET_REPORTS)

static const struct field tablet_fields[] = {
	HID_FIELDS(struct usb_tablet),
	FIELD(struct usb_tablet, FIELD_U16, x),
	FIELD(struct usb_tablet, FIELD_U16, y),
	FIELD(struct usb_tablet, FIELD_U8, buttons),
	QUEUE(FIELD_U8, queue_buttons),
	QUEUE(FIELD_U8, queue_wheel),
	QUEUE(FIELD_U16, queue_x),
	QUEUE(FIELD_U16, queue_y),
	FIELD(struct usb_tablet, FIELD_U8, head),
	FIELD(struct usb_tablet, FIELD_U8, count),
};

static const struct state_class tablet_state = {
	.name = "usb-tablet",
	.version = 1,
	.size = sizeof(struct usb_tablet),
	.fields = tablet_fields,
	.field_count = sizeof(tablet_fields) / sizeof(tablet_fields[0]),
	.check = tablet_check,
};

const struct device_class usb_tablet_class = {
	.name = "usb-tablet",
	.reset = tablet_reset,
	.fini = tablet_fini,
	.state = &tablet_state,
};

int usb_tablet_create(struct usb_tablet **out, struct vm *vm)
{
	struct usb_tablet *t = host_alloc(sizeof(*t));
	int err;

	if (!t)
		return -VM_ENOMEM;
	usb_hid_init(&t->hid, vm, &model);
	err = vm_add_device(vm, &usb_tablet_class, t);
	if (err)
		host_free(t);
	else
		*out = t;
	return err;
}
