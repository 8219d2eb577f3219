/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device's control queues: what is told of ports, in which order,
 * when the driver has little room for it, and what it may say.
 */
#include "ports.h"

static const uint8_t default_size[] = { 80, 0, 24, 0 }; /* columns first */

static void handshake_with(uint64_t features)
{
	start(F_MULTIPORT | features);
	listen(8);
	expect_silence();
	say(0, DEVICE_READY, 1);
	for (unsigned int i = 0; i < PORTS; i++)
		expect_said(i, PORT_ADD, 0, NULL, 0);
	expect_silence();
	listen(3);
	say(0, PORT_READY, 1);
	expect_said(0, CONSOLE_PORT, 1, NULL, 0);
	expect_said(0, RESIZE, 0, default_size, 4);
	expect_said(0, PORT_NAME, 0, "console", 7);
	expect_said(0, PORT_OPEN, 1, NULL, 0);
	expect_silence();
	listen(4);
	say(1, PORT_READY, 1);
	expect_said(1, PORT_NAME, 0, "agent", 5);
	expect_said(1, PORT_OPEN, 1, NULL, 0);
	say(2, PORT_READY, 1);
	expect_said(2, PORT_NAME, 0, "log", 3);
	expect_silence(); /* nobody is outside of this one */
}

static void handshake(void **state)
{
	handshake_with(0);
	teardown(state);
	setup(state);
	handshake_with(PACKED);
}

/* 5.3.6.2.1: a port that is there is not added again. */
static void said_twice(void **state)
{
	start_ports(0);
	say(0, DEVICE_READY, 1);
	say(1, PORT_READY, 1);
	expect_silence();
}

static void one_by_one(void **state)
{
	start(F_MULTIPORT);
	say(0, DEVICE_READY, 1);
	for (unsigned int i = 0; i < PORTS; i++) {
		expect_silence();
		listen(1);
		expect_said(i, PORT_ADD, 0, NULL, 0);
	}
}

static void driver_fails(void **state)
{
	start(F_MULTIPORT);
	listen(8);
	say(0, DEVICE_READY, 0);
	expect_silence();
	say(0, DEVICE_READY, 1);
	for (unsigned int i = 0; i < PORTS; i++)
		expect_said(i, PORT_ADD, 0, NULL, 0);
	say(1, PORT_READY, 0);
	virtio_console_set_open(con, 1, false);
	fake_work_run();
	expect_silence();
}

static void nonsense(void **state)
{
	static const uint8_t bytes[16] = { 0 };

	start(F_MULTIPORT);
	listen(8);
	say(0, PORT_READY, 1); /* of a port that it was not told of */
	say(0, PORT_OPEN, 1);
	say(PORTS, PORT_READY, 1);
	say(UINT32_MAX, PORT_OPEN, 1);
	say(0, PORT_ADD, 1);
	say(0, 77, 1);
	say_bytes(bytes, 7);
	say_bytes(bytes, 0);
	expect_silence();
	assert_int_equal(driver_status(&driver), 0x0f);
	assert_int_equal(type(0, "x"), 0);
}

static void small_buffer(void **state)
{
	const struct driver_desc small = { DRIVER_DATA + 0x6000, 7,
					   VIRTQ_WRITE };

	start(F_MULTIPORT);
	say(0, DEVICE_READY, 1);
	driver_offer(&driver, CONTROL_RECEIVE, &small, 1);
	driver_notify(&driver, CONTROL_RECEIVE);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
}

static void resize(void **state)
{
	static const uint8_t size[] = { 132, 0, 0x01, 0x02 };

	start_ports(F_SIZE);
	rig.sent_count = 0;
	virtio_console_resize(con, 132, 0x201);
	fake_work_run();
	expect_said(0, RESIZE, 0, size, 4);
	assert_int_equal(driver_config(&driver, 0, 2), 132);
	assert_int_equal(driver_config(&driver, 2, 2), 0x201);
	assert_int_equal(rig.sent_count, 2); /* the queue's, and of the change */
}

/* Before the driver is there: it is told when it comes. */
static void resize_early(void **state)
{
	static const uint8_t size[] = { 100, 0, 50, 0 };

	virtio_console_resize(con, 100, 50);
	start(F_MULTIPORT);
	listen(8);
	say(0, DEVICE_READY, 1);
	for (unsigned int i = 0; i < PORTS; i++)
		expect_said(i, PORT_ADD, 0, NULL, 0);
	say(0, PORT_READY, 1);
	expect_said(0, CONSOLE_PORT, 1, NULL, 0);
	expect_said(0, RESIZE, 0, size, 4);
}

static void peers(void **state)
{
	start_ports(0);
	virtio_console_set_open(con, 2, true);
	fake_work_run();
	expect_said(2, PORT_OPEN, 1, NULL, 0);
	virtio_console_set_open(con, 2, true);
	fake_work_run();
	expect_silence();
	/* One went and another came before the guest heard of it. */
	virtio_console_set_open(con, 2, false);
	virtio_console_set_open(con, 2, true);
	fake_work_run();
	expect_said(2, PORT_OPEN, 0, NULL, 0);
	expect_said(2, PORT_OPEN, 1, NULL, 0);
	virtio_console_set_open(con, 2, false);
	virtio_console_set_open(con, 2, true);
	virtio_console_set_open(con, 2, false);
	fake_work_run();
	expect_said(2, PORT_OPEN, 0, NULL, 0);
	expect_silence();
}

static void removal(void **state)
{
	start_ports(0);
	virtio_console_remove(con, 1);
	fake_work_run();
	expect_said(1, PORT_REMOVE, 0, NULL, 0);
	offer_in(1, 16);
	driver_notify(&driver, RX(1));
	assert_int_equal(type(1, "x"), 0);
	virtio_console_set_open(con, 1, false);
	say(1, PORT_READY, 1);
	say(1, PORT_OPEN, 1);
	assert_int_equal(type(1, "x"), 0);
	expect_silence();
	/* The others are as they were. */
	offer_in(2, 16);
	driver_notify(&driver, RX(2));
	assert_int_equal(type(2, "x"), 1);
}

/* 5.3.6.2.1: one that was never added is not removed, nor added later. */
static void removed_early(void **state)
{
	start(F_MULTIPORT);
	listen(8);
	virtio_console_remove(con, 1);
	fake_work_run();
	expect_silence();
	say(0, DEVICE_READY, 1);
	expect_said(0, PORT_ADD, 0, NULL, 0);
	expect_said(2, PORT_ADD, 0, NULL, 0);
	expect_silence();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handshake),
		TEST(said_twice),
		TEST(one_by_one),
		TEST(driver_fails),
		TEST(nonsense),
		TEST(small_buffer),
		TEST(resize),
		TEST(resize_early),
		TEST(peers),
		TEST(removal),
		TEST(removed_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
