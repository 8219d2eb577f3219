/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device's data: both ways, with little room on either side,
 * emergency writes, resets, saved state in the middle of it.
 */
#include "ports.h"

static void configuration(void **state)
{
	start(F_SIZE);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10431af4);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4) &
				 7, 7);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUES, 2), QUEUES);
	assert_int_equal(driver_config(&driver, 0, 2), 80);
	assert_int_equal(driver_config(&driver, 2, 2), 24);
	assert_int_equal(driver_config(&driver, 4, 4), PORTS);
	assert_int_equal(driver_config(&driver, 8, 4), 0);
	/* Only the last field is for writing. */
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device, 4, 1);
	assert_int_equal(driver_config(&driver, 0, 2), 80);
}

/* A driver that knows of one port only. */
static void one_port(void **state)
{
	uint32_t written;
	uint16_t id;

	start(0);
	offer_out(0, "hello");
	driver_notify(&driver, 1);
	expect_out(0, "hello");
	assert_true(driver_take(&driver, 1, &id, &written));
	assert_int_equal(written, 0);
	assert_int_equal(rig.sent_count, 1);
	offer_in(0, 64);
	driver_notify(&driver, 0);
	assert_int_equal(type(0, "input"), 5);
	expect_in(0, "input");
	assert_int_equal(rig.sent_count, 2);
	assert_int_equal(type(1, "x"), 0);
}

static void each_port_with(uint64_t features)
{
	static const char *const words[PORTS] = { "one", "two2", "three" };

	start_ports(features);
	for (unsigned int lap = 0; lap < 3 * SIZE; lap++) {
		for (unsigned int i = 0; i < PORTS; i++) {
			uint32_t written;
			uint16_t id;

			offer_out(i, words[i]);
			offer_in(i, 16);
			driver_notify(&driver, TX(i));
			driver_notify(&driver, RX(i));
			assert_true(driver_take(&driver, TX(i), &id, &written));
			assert_int_equal(type(i, words[PORTS - 1 - i]),
					 strlen(words[PORTS - 1 - i]));
		}
		for (unsigned int i = 0; i < PORTS; i++) {
			expect_out(i, words[i]);
			expect_in(i, words[PORTS - 1 - i]);
		}
	}
}

static void each_port(void **state)
{
	each_port_with(0);
	teardown(state);
	setup(state);
	each_port_with(PACKED | VIRTIO_F_EVENT_IDX);
}

/* --- little room ------------------------------------------------------------------ */

static void outside_is_slow_with(uint64_t features)
{
	const struct driver_desc pieces[] = {
		{ DRIVER_DATA + 0x800, 3, 0 },
		{ DRIVER_DATA + 0x900, 4, 0 },
	};
	uint32_t written;
	uint16_t id;

	start_ports(features);
	outside[1].room = 2;
	driver_poke(&driver, DRIVER_DATA + 0x800, "abc", 3);
	driver_poke(&driver, DRIVER_DATA + 0x900, "defg", 4);
	driver_offer(&driver, TX(1), pieces, 2);
	offer_out(1, "hij");
	driver_notify(&driver, TX(1));
	expect_out(1, "ab");
	assert_false(driver_take(&driver, TX(1), &id, &written));
	/* Told again without room: nothing happens. */
	driver_notify(&driver, TX(1));
	expect_out(1, "");
	/* The other ports go on. */
	offer_out(0, "free");
	driver_notify(&driver, TX(0));
	expect_out(0, "free");

	outside[1].room = 3;
	virtio_console_room(con, 1);
	fake_work_run();
	expect_out(1, "cde");
	assert_false(driver_take(&driver, TX(1), &id, &written));
	outside[1].room = 3;
	virtio_console_room(con, 1);
	fake_work_run();
	expect_out(1, "fgh");
	assert_true(driver_take(&driver, TX(1), &id, &written));
	assert_false(driver_take(&driver, TX(1), &id, &written));
	outside[1].room = 100;
	virtio_console_room(con, 1);
	fake_work_run();
	expect_out(1, "ij");
	assert_true(driver_take(&driver, TX(1), &id, &written));
}

static void outside_is_slow(void **state)
{
	outside_is_slow_with(0);
	teardown(state);
	setup(state);
	outside_is_slow_with(PACKED);
}

static void guest_is_slow(void **state)
{
	start_ports(0);
	assert_int_equal(type(1, "abcdefgh"), 0);
	assert_int_equal(outside[1].readies, 0);
	offer_in(1, 3);
	offer_in(1, 2);
	driver_notify(&driver, RX(1));
	assert_int_equal(outside[1].readies, 1);
	assert_int_equal(type(1, "abcdefgh"), 5);
	expect_in(1, "abc");
	expect_in(1, "de");
	expect_no_in(1);
	offer_in(1, 64);
	driver_notify(&driver, RX(1));
	assert_int_equal(outside[1].readies, 2);
	assert_int_equal(type(1, "fgh"), 3);
	expect_in(1, "fgh");
	/* Nothing was refused: nothing is asked for. */
	offer_in(1, 64);
	driver_notify(&driver, RX(1));
	assert_int_equal(outside[1].readies, 2);
}

/* What comes before the guest opens a port waits outside. */
static void closed_port(void **state)
{
	start_ports(0);
	say(1, PORT_OPEN, 0);
	offer_in(1, 64);
	driver_notify(&driver, RX(1));
	assert_int_equal(type(1, "wait"), 0);
	expect_no_in(1);
	assert_int_equal(outside[1].readies, 0);
	say(1, PORT_OPEN, 1);
	assert_int_equal(outside[1].readies, 1);
	assert_int_equal(type(1, "wait"), 4);
	expect_in(1, "wait");
}

static void before_the_driver(void **state)
{
	assert_int_equal(type(0, "early"), 0);
	start(0);
	offer_in(0, 64);
	driver_notify(&driver, 0);
	assert_int_equal(outside[0].readies, 1);
	assert_int_equal(type(0, "early"), 5);
	expect_in(0, "early");
}

/* A driver that fills the ring for ever has its turns, not the worker. */
static void takes_turns(void **state)
{
	static const struct driver_desc one = { DRIVER_DATA, 0, 0 };

	driver_start(&driver, &rig, 0, 2, 128);
	for (unsigned int i = 0; i < 127; i++)
		driver_offer(&driver, 1, &one, 1);
	driver_notify(&driver, 1);
	for (unsigned int i = 0; i < 127; i++) {
		uint32_t written;
		uint16_t id;

		assert_true(driver_take(&driver, 1, &id, &written));
	}
}

static void no_room_at_all(void **state)
{
	static const struct driver_desc none = { DRIVER_DATA, 16, 0 };

	start(0);
	driver_offer(&driver, 0, &none, 1);
	driver_notify(&driver, 0);
	assert_int_equal(type(0, "x"), 0);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/* --- emergency ----------------------------------------------------------------- */

static void put_emergency(unsigned int size, uint64_t value)
{
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 8, size,
		  value);
}

/* 5.3.5.1: on a device that nobody has set up, and on a broken one. */
static void emergency(void **state)
{
	static const struct driver_desc loop = { 0xfff00000, 16, 0 };

	driver_probe(&driver, &rig);
	put_emergency(4, 0x12345600 | 'a');
	put_emergency(1, 'b');
	put_emergency(2, 'c');
	expect_out(0, "abc");
	assert_int_equal(driver_config(&driver, 8, 4), 0);
	start(0);
	driver_offer(&driver, 1, &loop, 1);
	driver_notify(&driver, 1);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
	put_emergency(4, 'd');
	expect_out(0, "d");
}

/* --- reset and saved state -------------------------------------------------------- */

static void driver_reset(void **state)
{
	start_ports(0);
	outside[1].room = 2;
	offer_out(1, "abcdef");
	driver_notify(&driver, TX(1));
	expect_out(1, "ab");
	assert_int_equal(type(1, "unread"), 0);
	start(F_MULTIPORT);
	outside[1].room = 100;
	/* Nothing is known of ports, nor of the old buffer. */
	assert_int_equal(type(1, "unread"), 0);
	offer_out(1, "new");
	driver_notify(&driver, TX(1));
	expect_out(1, "new");
	listen(8);
	expect_silence();
	say(0, DEVICE_READY, 1);
	expect_said(0, PORT_ADD, 0, NULL, 0);
}

static void one_queue_reset(void **state)
{
	start_ports(VIRTIO_F_RING_RESET);
	outside[1].room = 2;
	offer_out(1, "abcdef");
	driver_notify(&driver, TX(1));
	expect_out(1, "ab");
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, TX(1));
	driver_set(&driver, VIRTIO_COMMON_QUEUE_RESET, 2, 1);
	driver_set_queue(&driver, TX(1), SIZE);
	outside[1].room = 100;
	virtio_console_room(con, 1);
	fake_work_run();
	expect_out(1, "");
	offer_out(1, "new");
	driver_notify(&driver, TX(1));
	expect_out(1, "new");
}

/* To a machine that knows nothing, with its outside as it was. */
static void move_house(void)
{
	static uint8_t ram[1 << 20];
	struct state_buffer stream = { 0 };
	struct state_error error;
	struct state_item item[32];

	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(item, pci_rig_items(&rig, item), &stream), 0);
	memcpy(ram, rig.rig.vm.memory.ram.base, sizeof(ram));
	pci_rig_fini(&rig);
	setup(NULL);
	memcpy(rig.rig.vm.memory.ram.base, ram, sizeof(ram));
	if (state_load(item, pci_rig_items(&rig, item), stream.data, stream.size, NULL,
		       &error))
		fail_msg("%s", error.text);
	host_free(stream.data);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
}

/* With half a buffer out, input refused, and messages that wait. */
static void saved_in_the_middle(void **state)
{
	uint32_t written;
	uint16_t id;

	start_ports(0);
	outside[1].room = 4;
	offer_out(1, "abcdefgh");
	driver_notify(&driver, TX(1));
	expect_out(1, "abcd");
	/* More than the driver has buffers for. */
	for (unsigned int i = 0; i < SIZE; i++) {
		virtio_console_set_open(con, 1, i & 1);
		fake_work_run();
		expect_said(1, PORT_OPEN, i & 1, NULL, 0);
	}
	virtio_console_set_open(con, 1, false);
	virtio_console_set_open(con, 1, true);
	fake_work_run();
	move_house();
	expect_out(1, "efgh");
	assert_true(driver_take(&driver, TX(1), &id, &written));
	listen(2);
	expect_said(1, PORT_OPEN, 0, NULL, 0);
	expect_said(1, PORT_OPEN, 1, NULL, 0);
	/* Ports are still open: no new round of questions. */
	offer_in(2, 16);
	driver_notify(&driver, RX(2));
	assert_int_equal(type(2, "more"), 4);
	expect_in(2, "more");
}

/* While the machine stands still nothing of it changes. */
static void stands_still(void **state)
{
	uint32_t written;
	uint16_t id;

	start_ports(0);
	outside[1].room = 0;
	offer_out(1, "held");
	driver_notify(&driver, TX(1));
	offer_in(1, 16);
	driver_notify(&driver, RX(1));
	vm_quiesce_devices(&rig.rig.vm);
	outside[1].room = 100;
	virtio_console_room(con, 1);
	fake_work_run();
	expect_out(1, "");
	assert_false(driver_take(&driver, TX(1), &id, &written));
	assert_int_equal(type(1, "in"), 0);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	expect_out(1, "held");
	assert_int_equal(outside[1].readies, 1);
	assert_int_equal(type(1, "in"), 2);
	expect_in(1, "in");
}

static void valid(void *object)
{
	struct virtio_console *c = object;

	for (unsigned int i = 0; i < VIRTIO_CONSOLE_PORTS_MAX; i++)
		c->saved.pending[i] &= CONTROL_BITS;
	c->saved.ports = c->ports;
}

static void round_trip(void **state)
{
	roundtrip_check(virtio_console_class.state, con, valid);
}

static void no_memory(void **state)
{
	const struct virtio_console_port port = { .name = "x" };
	const struct virtio_console_config config = { &port, 1 };
	struct virtio_console *other;

	for (unsigned int nth = 1; nth <= 3; nth++) {
		fake_fail_alloc(nth);
		assert_int_equal(virtio_console_create(&other, &rig.rig.vm,
						       &config), -VM_ENOMEM);
	}
	fake_fail_alloc(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		TEST(one_port),
		TEST(each_port),
		TEST(outside_is_slow),
		TEST(guest_is_slow),
		TEST(closed_port),
		TEST(before_the_driver),
		TEST(takes_turns),
		TEST(no_room_at_all),
		TEST(emergency),
		TEST(driver_reset),
		TEST(one_queue_reset),
		TEST(saved_in_the_middle),
		TEST(stands_still),
		TEST(round_trip),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
