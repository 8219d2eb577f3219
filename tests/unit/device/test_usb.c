/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers of the xHCI controller, and what is at their other end: the USB
 * keyboard and the USB tablet. Saved state of all three.
 */
#include "xhci_rig.h"

#define IN_DEVICE     0x80u
#define IN_INTERFACE  0x81u
#define OUT_CLASS     0x21u
#define IN_CLASS      0xa1u
#define GET_REPORT    1
#define GET_IDLE      2
#define GET_PROTOCOL  3
#define SET_REPORT    9
#define SET_IDLE      10
#define SET_PROTOCOL  11

static uint8_t data[512];

/* --- control transfers ------------------------------------------------------------- */

static void get_descriptor(unsigned int slot, unsigned int type,
			   unsigned int index, unsigned int length)
{
	assert_int_equal(control(slot, IN_DEVICE, USB_GET_DESCRIPTOR,
				 type << 8 | index, 0, length), XHCI_SUCCESS);
	peek(DATA, data, sizeof(data));
}

static void descriptors(void **state)
{
	unsigned int slot = address(KEYBOARD);

	get_descriptor(slot, USB_DEVICE, 0, 8);
	assert_int_equal(moved, 8);
	get_descriptor(slot, USB_DEVICE, 0, 64);
	assert_int_equal(moved, 18);
	assert_int_equal(data[0], 18);
	assert_int_equal(data[7], 64);
	get_descriptor(slot, USB_CONFIG, 0, 255);
	assert_int_equal(moved, 34);
	assert_int_equal(data[2], 34);
	assert_memory_equal(data + 14, "\3\1\1", 3); /* HID, boot, keyboard */
	assert_int_equal(data[34 - 7 + 2], 0x81);
	assert_int_equal(control(slot, IN_INTERFACE, USB_GET_DESCRIPTOR,
				 0x2200, 0, 255), XHCI_SUCCESS);
	assert_int_equal(moved, data[25] | data[26] << 8);
	for (unsigned int i = 0; i < 4; i++) {
		get_descriptor(slot, USB_STRING, i, 255);
		assert_int_equal(moved, data[0]);
		assert_int_equal(data[1], USB_STRING);
	}
	get_descriptor(slot, USB_STRING, 2, 255);
	assert_memory_equal(data + 2, "k\0e\0y\0", 6);
}

static uint32_t ep_state(unsigned int slot, unsigned int index)
{
	return peek32(CONTEXT(slot) + index * XHCI_CONTEXT) & XHCI_EP_STATE;
}

/* Out of the halt, behind what was not understood. */
static void recover(unsigned int slot, unsigned int index)
{
	struct ring *ring = &rig.ring[slot][index];
	uint32_t to = slot << 24 | index << 16;

	assert_int_equal(ep_state(slot, index), XHCI_EP_HALTED);
	assert_int_equal(command(XHCI_RESET_ENDPOINT, 0, to), XHCI_SUCCESS);
	assert_int_equal(command(XHCI_SET_DEQUEUE,
				 (ring->base + ring->at * XHCI_TRB) |
					 ring->cycle, to), XHCI_SUCCESS);
}

static void stalls(void **state)
{
	static const uint16_t bad[][4] = {
		{ IN_DEVICE, USB_GET_DESCRIPTOR, 0x0600, 10 }, /* qualifier */
		{ IN_DEVICE, USB_GET_DESCRIPTOR, 0x0304, 255 },
		{ 0, 5, 1, 0 }, /* its address is the controller's to set */
		{ 0, USB_SET_CONFIGURATION, 2, 0 },
		{ OUT_CLASS, SET_PROTOCOL, 2, 0 },
		{ IN_CLASS, GET_REPORT, 0x0200, 8 },
		{ 0xc0, 1, 0, 8 }, /* a vendor's */
		{ OUT_CLASS, SET_REPORT, 0x0200, 500 },
	};
	unsigned int slot = configure(KEYBOARD);

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(control(slot, bad[i][0], bad[i][1], bad[i][2],
					 0, bad[i][3]), XHCI_STALL);
		ring_doorbell(slot, 1); /* stays so */
		expect_none();
		recover(slot, 1);
		get_descriptor(slot, USB_DEVICE, 0, 18);
	}
}

/* Stages that do not come in their order. */
static void bad_stages(void **state)
{
	static const uint32_t first[] = {
		XHCI_TRB_IS(XHCI_DATA) | XHCI_TRB_IN,
		XHCI_TRB_IS(XHCI_STATUS),
		XHCI_TRB_IS(XHCI_SETUP), /* not in the TRB itself */
		XHCI_TRB_IS(XHCI_NORMAL),
		XHCI_TRB_IS(XHCI_ISOCH),
		XHCI_TRB_IS(40),
	};

	for (unsigned int i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		unsigned int slot = address(KEYBOARD);

		put(&rig.ring[slot][1], DATA, 8, first[i]);
		ring_doorbell(slot, 1);
		expect(XHCI_TRANSFER_EVENT, XHCI_TRB_ERROR, NULL);
		assert_int_equal(ep_state(slot, 1), XHCI_EP_ERROR);
		assert_int_equal(command(XHCI_DISABLE_SLOT, 0, slot << 24),
				 XHCI_SUCCESS);
	}
}

/* Stages one at a time; data in pieces, with event data behind them. */
static void stages(void **state)
{
	unsigned int slot = address(KEYBOARD);
	struct ring *ring = &rig.ring[slot][1];
	struct event which;

	put(ring, IN_DEVICE | USB_GET_DESCRIPTOR << 8 | 0x0100 << 16 |
	    (uint64_t)64 << 48, 8, XHCI_TRB_IS(XHCI_SETUP) | XHCI_TRB_IDT |
	    XHCI_TRB_IOC);
	ring_doorbell(slot, 1);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	put(ring, DATA, 10, XHCI_TRB_IS(XHCI_DATA) | XHCI_TRB_IN |
	    XHCI_TRB_CHAIN);
	ring_doorbell(slot, 1); /* the rest is not there yet */
	expect_none();
	put(ring, DATA + 100, 4, XHCI_TRB_IS(XHCI_NORMAL) | XHCI_TRB_CHAIN |
	    XHCI_TRB_IOC);
	put(ring, DATA + 200, 50, XHCI_TRB_IS(XHCI_NORMAL) | XHCI_TRB_CHAIN |
	    XHCI_TRB_ISP);
	put(ring, 0x1234567890, 0, XHCI_TRB_IS(XHCI_EVENT_TRB) |
	    XHCI_TRB_IOC);
	ring_doorbell(slot, 1);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, &which);
	assert_int_equal(which.status & 0xffffff, 0);
	expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, &which);
	assert_int_equal(which.status & 0xffffff, 46);
	expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, &which);
	assert_int_equal(which.parameter, 0x1234567890);
	assert_int_equal(which.status & 0xffffff, 18);
	assert_true(which.control & XHCI_EVENT_DATA);
	peek(DATA, data, 300);
	assert_int_equal(data[0], 18);
	assert_int_equal(data[103], data[200 - 200 + 103]);
	assert_int_equal(data[203], 1); /* configurations */
	put(ring, 0, 0, XHCI_TRB_IS(XHCI_STATUS) | XHCI_TRB_IOC);
	ring_doorbell(slot, 1);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
}

static void data_outside_of_memory(void **state)
{
	unsigned int slot = address(KEYBOARD);
	struct ring *ring = &rig.ring[slot][1];

	put(ring, IN_DEVICE | USB_GET_DESCRIPTOR << 8 | 0x0100 << 16 |
	    (uint64_t)64 << 48, 8, XHCI_TRB_IS(XHCI_SETUP) | XHCI_TRB_IDT);
	put(ring, 0xfffff, 64, XHCI_TRB_IS(XHCI_DATA) | XHCI_TRB_IN);
	ring_doorbell(slot, 1);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HSE);
	expect_none();
}

/* --- requests ------------------------------------------------------------------------ */

static void features(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	control(slot, 0, USB_SET_FEATURE, USB_REMOTE_WAKEUP, 0, 0);
	control(slot, IN_DEVICE, USB_GET_STATUS, 0, 0, 2);
	peek(DATA, data, 2);
	assert_memory_equal(data, "\2\0", 2);
	control(slot, 0, USB_CLEAR_FEATURE, USB_REMOTE_WAKEUP, 0, 0);
	assert_false(rig.keyboard->hid.usb.remote_wakeup);
	/* A halted endpoint, by the system's own wish. */
	control(slot, 2, USB_SET_FEATURE, USB_ENDPOINT_HALT, 0x81, 0);
	control(slot, 0x82, USB_GET_STATUS, 0, 0x81, 2);
	peek(DATA, data, 2);
	assert_memory_equal(data, "\1\0", 2);
	poll(slot, 8);
	expect(XHCI_TRANSFER_EVENT, XHCI_STALL, NULL);
	control(slot, 2, USB_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0x81, 0);
	recover(slot, 3);
	poll(slot, 8);
	expect_none();
	control(slot, IN_DEVICE, USB_GET_CONFIGURATION, 0, 0, 1);
	assert_int_equal(peek32(DATA) & 0xff, 1);
}

static void class_requests(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	usb_keyboard_key(rig.keyboard, KEY_A + 1, true);
	assert_int_equal(control(slot, IN_CLASS, GET_REPORT, 0x0100, 0, 8),
			 XHCI_SUCCESS);
	peek(DATA, data, 8);
	assert_memory_equal(data, "\0\0\5\0\0\0\0\0", 8);
	poke(DATA, "\3", 1);
	assert_int_equal(control(slot, OUT_CLASS, SET_REPORT, 0x0200, 0, 1),
			 XHCI_SUCCESS);
	assert_int_equal(rig.keyboard->leds, 3);
	control(slot, IN_CLASS, GET_PROTOCOL, 0, 0, 1);
	assert_int_equal(peek32(DATA) & 0xff, 1);
	control(slot, OUT_CLASS, SET_PROTOCOL, 0, 0, 0);
	control(slot, IN_CLASS, GET_PROTOCOL, 0, 0, 1);
	assert_int_equal(peek32(DATA) & 0xff, 0);
	control(slot, OUT_CLASS, SET_IDLE, 0x1400, 0, 0);
	control(slot, IN_CLASS, GET_IDLE, 0, 0, 1);
	assert_int_equal(peek32(DATA) & 0xff, 0x14);
	/* A reset of the bus forgets it all. */
	set_port(KEYBOARD, XHCI_PORT_PP | XHCI_PORT_PR);
	assert_int_equal(rig.keyboard->hid.protocol, 1);
	assert_int_equal(rig.keyboard->hid.idle, 125);
	assert_int_equal(rig.keyboard->leds, 0);
}

/* --- the keyboard ---------------------------------------------------------------------- */

static void no_idle(unsigned int slot)
{
	assert_int_equal(control(slot, OUT_CLASS, SET_IDLE, 0, 0, 0),
			 XHCI_SUCCESS);
}

static void keys(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	no_idle(slot);
	assert_false(usb_hid_is_read(&rig.keyboard->hid));
	poll(slot, 8);
	assert_true(usb_hid_is_read(&rig.keyboard->hid));
	expect_none(); /* nothing has happened yet */
	usb_keyboard_key(rig.keyboard, KEY_LEFT_SHIFT, true);
	expect_report((const uint8_t[8]){ 2 }, 8);
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	usb_keyboard_key(rig.keyboard, KEY_A, true); /* is down already */
	usb_keyboard_key(rig.keyboard, KEY_Z, true);
	usb_keyboard_key(rig.keyboard, KEY_A, false);
	assert_int_equal(usb_keyboard_unread(rig.keyboard), 3);
	poll(slot, 8);
	expect_report((const uint8_t[8]){ 2, 0, KEY_A }, 8);
	poll(slot, 8);
	expect_report((const uint8_t[8]){ 2, 0, KEY_A, KEY_Z }, 8);
	poll(slot, 8);
	expect_report((const uint8_t[8]){ 2, 0, KEY_Z }, 8);
	poll(slot, 8);
	expect_none();
	usb_keyboard_key(rig.keyboard, KEY_NONE, true);
	usb_keyboard_key(rig.keyboard, KEY_COUNT, true);
	usb_keyboard_key(rig.keyboard, UINT32_MAX, false);
	expect_none();
}

/* A driver that does not come back is gone, until it does. */
static void gone(void **state)
{
	unsigned int slot = configure(KEYBOARD);
	const struct usb_hid *hid = &rig.keyboard->hid;

	no_idle(slot);
	poll(slot, 8);
	rig_run(&rig.pci.rig, 10 * SECOND);
	assert_true(usb_hid_is_read(hid)); /* nothing has happened */
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	expect_report((const uint8_t[8]){ 0, 0, KEY_A }, 8);
	rig_run(&rig.pci.rig, 400 * MS);
	assert_true(usb_hid_is_read(hid));
	usb_keyboard_key(rig.keyboard, KEY_A, false);
	rig_run(&rig.pci.rig, 200 * MS);
	assert_false(usb_hid_is_read(hid));
	poll(slot, 8);
	assert_true(usb_hid_is_read(hid));
	expect_report((const uint8_t[8]){ 0 }, 8);
	poll(slot, 8);
	rig_run(&rig.pci.rig, 10 * SECOND);
	assert_true(usb_hid_is_read(hid));
	/* With an idle rate no key is needed to know. */
	control(slot, OUT_CLASS, SET_IDLE, 8 << 8, 0, 0);
	ring_doorbell(slot, 3);
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	for (unsigned int i = 0; i < 50; i++) {
		poll(slot, 8);
		rig_run(&rig.pci.rig, 40 * MS);
		expect_report((const uint8_t[8]){ 0, 0, KEY_A }, 8);
		assert_true(usb_hid_is_read(hid));
	}
	rig_run(&rig.pci.rig, 600 * MS);
	assert_false(usb_hid_is_read(hid));
}

/* More than six: which ones cannot be told. */
static void roll_over(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	no_idle(slot);
	for (unsigned int i = 0; i < 7; i++) {
		usb_keyboard_key(rig.keyboard, KEY_A + i, true);
		poll(slot, 8);
		if (i < 6)
			expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	}
	expect_report((const uint8_t[8]){ 0, 0, 1, 1, 1, 1, 1, 1 }, 8);
	usb_keyboard_key(rig.keyboard, KEY_A + 3, false);
	poll(slot, 8);
	expect_report((const uint8_t[8]){ 0, 0, 4, 5, 6, 8, 9, 10 }, 8);
}

/* Without room: how things are in the end is told all the same. */
static void lost_keys(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	no_idle(slot);
	for (unsigned int i = 0; i < 101; i++)
		usb_keyboard_key(rig.keyboard, KEY_A, !(i & 1));
	for (unsigned int i = 0; i <= USB_KEYBOARD_REPORTS; i++) {
		poll(slot, 8);
		expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	}
	peek(DATA, data, 8);
	assert_memory_equal(data, "\0\0\4\0\0\0\0\0", 8);
	poll(slot, 8);
	expect_none();
}

static void idle(void **state)
{
	unsigned int slot = configure(KEYBOARD);

	control(slot, OUT_CLASS, SET_IDLE, 8 << 8, 0, 0); /* 32 ms */
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	poll(slot, 8);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	poll(slot, 8);
	rig_run(&rig.pci.rig, 31 * MS);
	expect_none();
	rig_run(&rig.pci.rig, 2 * MS);
	expect_report((const uint8_t[8]){ 0, 0, KEY_A }, 8);
	/* Nobody asks: nothing is kept for later. */
	rig_run(&rig.pci.rig, 500 * MS);
	no_idle(slot);
	poll(slot, 8);
	rig_run(&rig.pci.rig, 500 * MS);
	expect_none();
}

/* --- the tablet ------------------------------------------------------------------------ */

static void expect_place(unsigned int slot, const uint8_t *report)
{
	struct event which;

	poll(slot, 8);
	expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, &which);
	assert_int_equal(which.status & 0xffffff, 2);
	peek(DATA, data, 6);
	assert_memory_equal(data, report, 6);
}

static void places(void **state)
{
	unsigned int slot = configure(TABLET);

	usb_tablet_move(rig.tablet, 0x1234, 0x5678, 0, 0);
	expect_place(slot, (const uint8_t[]){ 0, 0x34, 0x12, 0x78, 0x56, 0 });
	/* The latest of places alone; presses all. */
	usb_tablet_move(rig.tablet, 1, 1, 1, 0);
	usb_tablet_move(rig.tablet, 2, 2, 1, 0);
	usb_tablet_move(rig.tablet, 2, 2, 0, USB_TABLET_LEFT);
	usb_tablet_move(rig.tablet, 99999, 3, 0,
			USB_TABLET_MIDDLE | USB_TABLET_RIGHT | 0x80);
	expect_place(slot, (const uint8_t[]){ 0, 2, 0, 2, 0, 0xfe });
	expect_place(slot, (const uint8_t[]){ 1, 2, 0, 2, 0, 0 });
	expect_place(slot, (const uint8_t[]){ 6, 0xff, 0x7f, 3, 0, 0 });
	poll(slot, 8);
	expect_none();
	for (unsigned int i = 0; i < 5; i++)
		usb_tablet_move(rig.tablet, 1, 1, -1000000000, 0);
	expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, NULL);
	peek(DATA, data, 6);
	assert_int_equal(data[5], 127);
}

static void lost_places(void **state)
{
	unsigned int slot = configure(TABLET);

	for (unsigned int i = 0; i < 99; i++)
		usb_tablet_move(rig.tablet, i, i, 0, i & 1);
	for (unsigned int i = 0; i < USB_TABLET_REPORTS; i++) {
		poll(slot, 8);
		expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, NULL);
	}
	peek(DATA, data, 6);
	assert_memory_equal(data, "\0\x62\0\x62\0\0", 6);
	poll(slot, 8);
	expect_none();
}

/* A TD for two packets, and one of two TRBs. */
static void long_transfers(void **state)
{
	unsigned int slot = configure(KEYBOARD);
	struct ring *ring = &rig.ring[slot][3];
	struct event which;

	no_idle(slot);
	poll(slot, 16);
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	expect_none(); /* a whole packet: another one may follow */
	usb_keyboard_key(rig.keyboard, KEY_A, false);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, &which);
	peek(DATA, data, 16);
	assert_memory_equal(data, "\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	put(ring, DATA, 3, XHCI_TRB_IS(XHCI_NORMAL) | XHCI_TRB_CHAIN);
	put(ring, DATA + 100, 5, XHCI_TRB_IS(XHCI_NORMAL) | XHCI_TRB_IOC);
	ring_doorbell(slot, 3);
	usb_keyboard_key(rig.keyboard, KEY_A + 2, true);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, &which);
	assert_int_equal(which.parameter, rig.last);
	peek(DATA, data, 108);
	assert_memory_equal(data, "\0\0\6", 3);
	assert_memory_equal(data + 100, "\0\0\0\0\0", 5);
}

/* --- saved state ------------------------------------------------------------------------ */

/* Save and load while the driver waits for a key, and half a TD is there. */
static void saved_in_mid_operation(void **state)
{
	const struct state_item items[] = {
		{ xhci_class.state, rig.xhci, 0 },
		{ usb_keyboard_class.state, rig.keyboard, 0 },
		{ usb_tablet_class.state, rig.tablet, 0 },
	};
	unsigned int slot = configure(KEYBOARD), other = configure(TABLET);
	struct clock *clock = &rig.pci.rig.vm.clock;
	struct state_buffer buffer = { 0 };
	struct state_error error;

	no_idle(slot);
	poll(slot, 16);
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	usb_tablet_move(rig.tablet, 7, 8, 0, USB_TABLET_LEFT);
	assert_int_equal(state_save(items, 3, &buffer), 0);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESET); /* all is forgotten */
	assert_int_equal(state_load(items, 3, buffer.data, buffer.size, clock,
				    &error), 0);
	host_free(buffer.data);
	assert_true(xhci_listens(rig.xhci, KEYBOARD));
	usb_keyboard_key(rig.keyboard, KEY_A, false);
	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	peek(DATA, data, 16);
	assert_memory_equal(data, "\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	expect_place(other, (const uint8_t[]){ 1, 7, 0, 8, 0, 0 });
	assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0), XHCI_SUCCESS);
}

static void valid(void *object)
{
	struct xhci *x = object;

	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++) {
		x->event_size[i] = 16 + x->event_size[i] % 100;
		x->event_at[i] %= 16;
		x->kept_size[i] = 16 + x->kept_size[i] % 100;
		x->kept_at[i] %= 16;
	}
	for (unsigned int i = 0; i <= XHCI_SLOTS; i++) {
		x->slot_state[i] %= 4;
		x->slot_port[i] %= XHCI_PORTS;
		x->slot_stage[i] %= 3;
	}
	for (unsigned int i = 0; i < XHCI_EPS; i++) {
		x->ep_state[i] %= 5;
		x->ep_type[i] %= 8;
	}
}

static void valid_keyboard(void *object)
{
	struct usb_keyboard *kbd = object;

	kbd->head %= USB_KEYBOARD_REPORTS;
	kbd->count %= USB_KEYBOARD_REPORTS;
}

static void valid_tablet(void *object)
{
	struct usb_tablet *tablet = object;

	tablet->head %= USB_TABLET_REPORTS;
	tablet->count %= USB_TABLET_REPORTS;
}

static void roundtrip(void **state)
{
	roundtrip_check(xhci_class.state, rig.xhci, valid);
	roundtrip_check(usb_keyboard_class.state, rig.keyboard,
			valid_keyboard);
	roundtrip_check(usb_tablet_class.state, rig.tablet, valid_tablet);
	pci_device_reset(xhci_pci(rig.xhci));
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, xhci_setup, xhci_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors),
		TEST(stalls),
		TEST(bad_stages),
		TEST(stages),
		TEST(data_outside_of_memory),
		TEST(features),
		TEST(class_requests),
		TEST(keys),
		TEST(gone),
		TEST(roll_over),
		TEST(lost_keys),
		TEST(idle),
		TEST(places),
		TEST(lost_places),
		TEST(long_transfers),
		TEST(saved_in_mid_operation),
		TEST(roundtrip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
