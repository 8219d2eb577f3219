/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ring formats: chains, indirect tables, order, notifications.
 */
#include "box.h"

/* --- rings -------------------------------------------------------------- */

static void moves_data_in(uint64_t format)
{
	start(format);
	for (unsigned int i = 0; i < 1000; i++) { /* laps of the ring */
		char text[32];
		uint16_t id;

		snprintf(text, sizeof(text), "buffer %u", i);
		id = offer_text(text);
		expect_nothing();
		driver_notify(&driver, 0);
		expect_text(id, text);
		expect_nothing();
	}
	assert_int_equal(driver_status(&driver), 0x0f);
}
EACH_FORMAT(moves_data)

/* Pieces on either side of the seams are one stream of bytes. */
static void chains_in(uint64_t format)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 3, 0 },
		{ DRIVER_DATA + 0x100, 0, 0 },
		{ DRIVER_DATA + 0x200, 5, 0 },
		{ DRIVER_DATA + 0x1000, 4, VIRTQ_WRITE },
		{ DRIVER_DATA + 0x1100, 10, VIRTQ_WRITE },
	};
	uint32_t written;
	uint16_t id, want;
	char back[4];

	start(format);
	for (unsigned int lap = 0; lap < 20; lap++) {
		driver_poke(&driver, DRIVER_DATA, "abc", 3);
		driver_poke(&driver, DRIVER_DATA + 0x200, "defgh", 5);
		want = driver_offer(&driver, 0, descs, 5);
		driver_notify(&driver, 0);
		assert_true(driver_take(&driver, 0, &id, &written));
		assert_int_equal(id, want);
		assert_int_equal(written, 8);
		driver_peek(&driver, DRIVER_DATA + 0x1000, back, 4);
		assert_memory_equal(back, "abcd", 4);
		driver_peek(&driver, DRIVER_DATA + 0x1100, back, 4);
		assert_memory_equal(back, "efgh", 4);
	}
}
EACH_FORMAT(chains)

static void indirect_tables_in(uint64_t format)
{
	const struct driver_desc inner[] = {
		{ DRIVER_DATA, 6, 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};
	/* Of no alignment at all: the standard asks for none. */
	const struct driver_desc table = { DRIVER_DATA + 0x2003, 32,
					   VIRTQ_INDIRECT };
	uint16_t id;

	start(format | INDIRECT);
	for (unsigned int lap = 0; lap < 20; lap++) {
		driver_poke(&driver, DRIVER_DATA, "inside", 6);
		driver_put_table(&driver, table.addr, format & PACKED, inner, 2);
		id = driver_offer(&driver, 0, &table, 1);
		driver_notify(&driver, 0);
		expect_text(id, "inside");
	}
}
EACH_FORMAT(indirect_tables)

/* 2.7.5.3.2: behind normal descriptors, and whatever WRITE says of it. */
static void table_behind_chain(void **state)
{
	const struct driver_desc inner[] = {
		{ DRIVER_DATA + 3, 3, 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 3, 0 },
		{ DRIVER_DATA + 0x2000, 32, VIRTQ_INDIRECT | VIRTQ_WRITE },
	};
	uint16_t id;

	start(INDIRECT);
	driver_poke(&driver, DRIVER_DATA, "chains", 6);
	driver_put_table(&driver, DRIVER_DATA + 0x2000, false, inner, 2);
	id = driver_offer(&driver, 0, descs, 2);
	driver_notify(&driver, 0);
	expect_text(id, "chains");
	start(INDIRECT | PACKED);
	driver_put_table(&driver, DRIVER_DATA + 0x2000, true, inner, 2);
	id = driver_offer(&driver, 0, &descs[1], 1);
	driver_notify(&driver, 0);
	expect_text(id, "ins");
}

/* Buffers come back in any order. */
static void out_of_order_in(uint64_t format)
{
	uint32_t written;
	uint16_t id[3], got;

	start(format);
	box.keep = true;
	for (unsigned int lap = 0; lap < 12; lap++) {
		for (unsigned int i = 0; i < 3; i++)
			id[i] = offer_text("text");
		driver_notify(&driver, 0);
		expect_nothing();
		assert_int_equal(box.kept, 3);
		box_give();
		for (unsigned int i = 3; i--;) {
			assert_true(driver_take(&driver, 0, &got, &written));
			assert_int_equal(got, id[i]);
		}
		expect_nothing();
	}
}
EACH_FORMAT(out_of_order)

static void takes_back_in(uint64_t format)
{
	struct virtio_queue *q = &box.virtio.queue[0];
	uint16_t id;

	start(format);
	for (unsigned int lap = 0; lap < 20; lap++) {
		id = offer_text("twice");
		host_lock(&q->lock);
		assert_true(virtio_queue_pop(q, &box.buffer[0]));
		virtio_queue_unpop(q, &box.buffer[0]);
		host_unlock(&q->lock);
		driver_notify(&driver, 0);
		expect_text(id, "twice");
	}
}
EACH_FORMAT(takes_back)

/* --- notifications ------------------------------------------------------ */

static void interrupts_in(uint64_t format)
{
	start(format);
	offer_text("one");
	offer_text("two");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1); /* one for both */
	assert_int_equal(rig.sent[0].data, 0x41);
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
}
EACH_FORMAT(interrupts)

/* The driver wants none: flag, or event structure. */
static void no_interrupts(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail, VIRTQ_NO_INTERRUPT);
	offer_text("one");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
	driver_poke16(&driver, driver.queue[0].avail, 0);
	offer_text("two");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);

	teardown(state);
	setup(state);
	start(PACKED);
	driver_poke16(&driver, driver.queue[0].avail + 2, VIRTQ_EVENT_DISABLE);
	offer_text("one");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
}

/* An interrupt when, and only when, the used index passes the event's. */
static void split_event_index(void **state)
{
	uint64_t used_event;

	start(EVENT);
	used_event = driver.queue[0].avail + 4 + 2 * SIZE;
	driver_poke16(&driver, used_event, 0);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	driver_poke16(&driver, used_event, 2); /* after the third */
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	offer_text("3");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
	offer_text("4");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
}

static void packed_event_index(void **state)
{
	uint64_t event;

	start(PACKED | EVENT);
	event = driver.queue[0].avail;
	driver_poke16(&driver, event + 2, VIRTQ_EVENT_DESC);
	driver_poke16(&driver, event, 0 | 1 << 15);
	offer_text("1"); /* places 0 and 1 */
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	driver_poke16(&driver, event, 4 | 1 << 15);
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	offer_text("3");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
}

/* The device asks for notifications when it has run out of buffers. */
static void asks_for_notifications(void **state)
{
	start(0);
	box.keep = true;
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used), 0);
	box.kept = KEEP; /* it takes no more */
	offer_text("2");
	driver_notify(&driver, 0);
	box.kept = 1;
	box_give();

	teardown(state);
	setup(state);
	start(EVENT);
	offer_text("1");
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 4 +
						       8 * SIZE), 2);

	teardown(state);
	setup(state);
	start(PACKED | EVENT);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used),
			 2 | 1 << 15);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 2),
			 VIRTQ_EVENT_DESC);
	teardown(state);
	setup(state);
	start(PACKED);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 2),
			 VIRTQ_EVENT_ENABLE);
}

/* Without MSI-X: the pin, and a status that reading clears. */
static void pin(void **state)
{
	struct bus *mmio = &rig.rig.vm.mmio;

	driver_probe(&driver, &rig);
	assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_set_queue(&driver, 0, SIZE);
	driver_ok(&driver);
	offer_text("pin");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
	assert_true(rig.rig.level[22]); /* device 2, INTA */
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 1);
	assert_false(rig.rig.level[22]);
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 0);
	virtio_config_changed(&box.virtio);
	fake_work_run();
	assert_true(rig.rig.level[22]);
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 2);
}

static void configuration_change(void **state)
{
	uint8_t before;

	start(0);
	before = (uint8_t)driver_get(&driver, VIRTIO_COMMON_GENERATION, 1);
	virtio_config_put(&box.virtio, 4, 8, 0x1122334455667788);
	virtio_config_changed(&box.virtio);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(rig.sent[0].data, 0x40);
	assert_int_not_equal(driver_get(&driver, VIRTIO_COMMON_GENERATION, 1),
			     before);
	assert_int_equal(driver_config(&driver, 4, 4), 0x55667788);
	assert_true(driver_config(&driver, 4, 8) == 0x1122334455667788);
	assert_int_equal(driver_config(&driver, 16, 4), 0);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 8, 2, 0xabcd);
	assert_int_equal(box.config_at, 8);
	assert_int_equal(box.config_value, 0xabcd);
	box.config_at = 0;
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 14, 4, 1);
	assert_int_equal(box.config_at, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves_data),
		TEST(chains),
		TEST(indirect_tables),
		TEST(table_behind_chain),
		TEST(out_of_order),
		TEST(takes_back),
		TEST(interrupts),
		TEST(no_interrupts),
		TEST(split_event_index),
		TEST(packed_event_index),
		TEST(asks_for_notifications),
		TEST(pin),
		TEST(configuration_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
