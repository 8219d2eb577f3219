/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB keyboard; see usb_keyboard.h. A report has the modifiers and up to six
 * other keys, whose usages (HID Usage Tables, page 7) are our names of keys.
 */
#include "device/usb_keyboard.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define KEYS	  6u
#define ROLL_OVER 0x01 /* more keys than that are held */

static const uint8_t report_descriptor[] = {
	0x05, 0x01,	  /* usage page: generic desktop */
	0x09, 0x06,	  /* usage: keyboard */
	0xa1, 0x01,	  /* collection: application */
	0x05, 0x07,	  /*   usage page: keyboard */
	0x19, 0xe0,	  /*   usages: left control */
	0x29, 0xe7,	  /*     to right GUI */
	0x15, 0x00, 0x25, 0x01, /* 0 to 1 */
	0x75, 0x01, 0x95, 0x08, /* 8 of 1 bit */
	0x81, 0x02,	  /*   input: modifiers */
	0x75, 0x08, 0x95, 0x01, /* 1 of 8 bits */
	0x81, 0x01,	  /*   input: constant */
	0x05, 0x08,	  /*   usage page: lights */
	0x19, 0x01, 0x29, 0x05, /* num lock to kana */
	0x75, 0x01, 0x95, 0x05, /* 5 of 1 bit */
	0x91, 0x02,	  /*   output: lights */
	0x75, 0x03, 0x95, 0x01, /* 1 of 3 bits */
	0x91, 0x01,	  /*   output: constant */
	0x05, 0x07,	  /*   usage page: keyboard */
	0x19, 0x00, 0x2a, 0xff, 0x00, /* all usages */
	0x15, 0x00, 0x26, 0xff, 0x00, /* 0 to 255 */
	0x75, 0x08, 0x95, 0x06, /* 6 of 8 bits */
	0x81, 0x00,	  /*   input: keys held */
	0xc0,
};

static struct usb_keyboard *keyboard_of(struct usb_hid *hid)
{
	return (struct usb_keyboard *)((uint8_t *)hid -
				       offsetof(struct usb_keyboard, hid));
}

static bool is_down(const struct usb_keyboard *kbd, unsigned int key)
{
	return kbd->down[key / 8] >> key % 8 & 1;
}

/* --- reports ---------------------------------------------------------------------------- */

static void get(struct usb_hid *hid, uint8_t *report)
{
	const struct usb_keyboard *kbd = keyboard_of(hid);
	unsigned int count = 0;

	memset(report, 0, HID_REPORT_MAX);
	report[0] = kbd->down[KEY_LEFT_CTRL / 8];
	for (unsigned int key = 0; key < KEY_LEFT_CTRL; key++) {
		if (!is_down(kbd, key))
			continue;
		if (count < KEYS)
			report[2 + count] = (uint8_t)key;
		count++;
	}
	if (count > KEYS)
		memset(report + 2, ROLL_OVER, KEYS);
}

static bool take(struct usb_hid *hid, uint8_t *report)
{
	struct usb_keyboard *kbd = keyboard_of(hid);

	if (kbd->count) {
		memcpy(report, kbd->report + kbd->head * HID_REPORT_MAX,
		       HID_REPORT_MAX);
		kbd->head = (kbd->head + 1) % USB_KEYBOARD_REPORTS;
		kbd->count--;
		return true;
	}
	if (!kbd->lost)
		return false;
	kbd->lost = false;
	get(hid, report);
	return true;
}

static void set(struct usb_hid *hid, uint8_t value)
{
	keyboard_of(hid)->leds = value & 0x1f;
}

static void clear(struct usb_hid *hid)
{
	struct usb_keyboard *kbd = keyboard_of(hid);

	memset(kbd->down, 0, sizeof(kbd->down));
	kbd->head = kbd->count = kbd->leds = 0;
	kbd->lost = false;
}

void usb_keyboard_key(struct usb_keyboard *kbd, unsigned int key, bool down)
{
	unsigned int at = (kbd->head + kbd->count) % USB_KEYBOARD_REPORTS;
	uint8_t bit = (uint8_t)(1u << key % 8);

	if (key <= KEY_NONE + 3 || key >= KEY_COUNT ||
	    is_down(kbd, key) == down)
		return;
	kbd->down[key / 8] ^= bit;
	if (kbd->count < USB_KEYBOARD_REPORTS && !kbd->lost) {
		get(&kbd->hid, kbd->report + at * HID_REPORT_MAX);
		kbd->count++;
	} else {
		kbd->lost = true;
	}
	usb_hid_wake(&kbd->hid);
}

unsigned int usb_keyboard_unread(const struct usb_keyboard *kbd)
{
	return kbd->count;
}

/* --- making one, saved state ---------------------------------------------------------------- */

static const struct hid_model model = {
	.product = 0x0001,
	.name = "keyboard",
	.boot_keyboard = true,
	.interval = 8,
	.idle = 125, /* half a second (7.2.4) */
	.report_size = HID_REPORT_MAX,
	.report = report_descriptor,
	.report_descriptor_size = sizeof(report_descriptor),
	.take = take,
	.get = get,
	.set = set,
	.clear = clear,
};

static void keyboard_reset(void *object)
{
	struct usb_keyboard *kbd = object;

	kbd->hid.usb.ops->reset(&kbd->hid.usb);
}

static void keyboard_fini(void *object)
{
	struct usb_keyboard *kbd = object;

	usb_hid_fini(&kbd->hid);
	host_free(kbd);
}

static int keyboard_check(const void *object)
{
	const struct usb_keyboard *kbd = object;

	return kbd->head < USB_KEYBOARD_REPORTS &&
			       kbd->count <= USB_KEYBOARD_REPORTS
		       ? 0
		       : -VM_EBADMSG;
}

static const struct field keyboard_fields[] = {
	HID_FIELDS(struct usb_keyboard),
	FIELD_ARRAY(struct usb_keyboard, FIELD_U8, down, (KEY_COUNT + 7) / 8),
	FIELD_ARRAY(struct usb_keyboard, FIELD_U8, report,
		    USB_KEYBOARD_REPORTS * HID_REPORT_MAX),
	FIELD(struct usb_keyboard, FIELD_U8, head),
	FIELD(struct usb_keyboard, FIELD_U8, count),
	FIELD(struct usb_keyboard, FIELD_BOOL, lost),
	FIELD(struct usb_keyboard, FIELD_U8, leds),
};

static const struct state_class keyboard_state = {
	.name = "usb-keyboard",
	.version = 1,
	.size = sizeof(struct usb_keyboard),
	.fields = keyboard_fields,
	.field_count = sizeof(keyboard_fields) / sizeof(keyboard_fields[0]),
	.check = keyboard_check,
};

const struct device_class usb_keyboard_class = {
	.name = "usb-keyboard",
	.reset = keyboard_reset,
	.fini = keyboard_fini,
	.state = &keyboard_state,
};

int usb_keyboard_create(struct usb_keyboard **out, struct vm *vm)
{
	struct usb_keyboard *kbd = host_alloc(sizeof(*kbd));
	int err;

	if (!kbd)
		return -VM_ENOMEM;
	usb_hid_init(&kbd->hid, vm, &model);
	err = vm_add_device(vm, &usb_keyboard_class, kbd);
	if (err)
		host_free(kbd);
	else
		*out = kbd;
	return err;
}
