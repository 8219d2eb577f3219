/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a wrong driver puts into the rings: the device asks for a reset and
 * touches nothing.
 */
#include "box.h"

static void expect_broken(void)
{
	unsigned int sent = rig.sent_count;
	uint16_t id;

	driver_notify(&driver, 0);
	assert_int_equal(driver_status(&driver), 0x4f);
	assert_int_equal(rig.sent_count, sent + 1);
	assert_int_equal(rig.sent[sent].data, 0x40); /* configuration's */
	expect_nothing();
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, sent + 1);
	/* A reset mends it. */
	start(driver.features);
	id = offer_text("well");
	driver_notify(&driver, 0);
	expect_text(id, "well");
}

static void split_head_beyond(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail + 4, SIZE);
	driver_poke16(&driver, driver.queue[0].avail + 2, 1);
	expect_broken();
}

static void split_index_too_far(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail + 2, SIZE + 1);
	expect_broken();
}

static void split_loop(void **state)
{
	start(0);
	offer_text("loop");
	driver_poke_desc(&driver, driver.queue[0].desc, DRIVER_DATA, 4,
			 VIRTQ_NEXT, 0);
	expect_broken();
}

static void split_next_beyond(void **state)
{
	start(0);
	offer_text("next");
	driver_poke_desc(&driver, driver.queue[0].desc, DRIVER_DATA, 4,
			 VIRTQ_NEXT, SIZE);
	expect_broken();
}

static void packed_loop(void **state)
{
	struct driver_desc descs[SIZE];

	start(PACKED);
	for (unsigned int i = 0; i < SIZE; i++)
		descs[i] = (struct driver_desc){ DRIVER_DATA, 4, VIRTQ_NEXT };
	driver_offer(&driver, 0, descs, SIZE);
	expect_broken();
}

static void outside_in(uint64_t format)
{
	static const struct driver_desc bad[] = {
		{ 0x100000, 1, 0 },		  /* behind the RAM */
		{ 0xfffff, 2, VIRTQ_WRITE },	  /* over its end */
		{ UINT64_MAX, 4, 0 },		  /* wraps */
		{ DRIVER_BAR, 4, VIRTQ_WRITE },	  /* a device */
		{ DRIVER_DATA, 0xffffffff, 0 },
	};

	for (unsigned int i = 0; i < 5; i++) {
		start(format);
		driver_offer(&driver, 0, &bad[i], 1);
		expect_broken();
	}
}
EACH_FORMAT(outside)

static void read_after_write_in(uint64_t format)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 4, VIRTQ_WRITE },
		{ DRIVER_DATA, 4, 0 },
	};

	start(format);
	driver_offer(&driver, 0, descs, 2);
	expect_broken();
}
EACH_FORMAT(read_after_write)

static void bad_tables_in(uint64_t format)
{
	static const struct driver_desc inner[] = {
		{ DRIVER_DATA, 4, 0 },
		{ DRIVER_DATA + 0x3000, 16, VIRTQ_INDIRECT }, /* nested */
	};
	static const struct driver_desc bad[] = {
		{ DRIVER_DATA + 0x2000, 0, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 17, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 16 * (SIZE + 1), VIRTQ_INDIRECT },
		{ 0xffff8, 16, VIRTQ_INDIRECT },
		{ 0x200000, 16, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 32, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 16, VIRTQ_INDIRECT | VIRTQ_NEXT },
	};
	/* In a packed table the flags of entries but WRITE are not used. */
	unsigned int count = format & PACKED ? 5 : 7;

	for (unsigned int i = 0; i < count; i++) {
		start(format | INDIRECT);
		driver_put_table(&driver, DRIVER_DATA + 0x2000, format & PACKED, inner, 2);
		driver_offer(&driver, 0, &bad[i], 1);
		expect_broken();
	}
	/* Not agreed upon. */
	start(format);
	driver_put_table(&driver, DRIVER_DATA + 0x2000, format & PACKED, inner, 1);
	driver_offer(&driver, 0,
		     &(struct driver_desc){ DRIVER_DATA + 0x2000, 16,
					    VIRTQ_INDIRECT }, 1);
	expect_broken();
}
EACH_FORMAT(bad_tables)

static void bad_rings(void **state)
{
	static const struct {
		unsigned int size;
		uint64_t desc, avail, used, features;
		bool good;
	} rings[] = {
		{ 8, 0x10000, 0x11000, 0x12000, 0, true },
		{ 6, 0x10000, 0x11000, 0x12000, 0, false },
		{ 6, 0x10000, 0x11000, 0x12000, PACKED, true },
		{ 0, 0x10000, 0x11000, 0x12000, 0, false },
		{ 32, 0x10000, 0x11000, 0x12000, 0, false },
		{ 8, 0x10008, 0x11000, 0x12000, 0, false },
		{ 8, 0x10000, 0x11001, 0x12000, 0, false },
		{ 8, 0x10000, 0x11000, 0x12002, 0, false },
		{ 8, 0x10000, 0x11002, 0x12000, PACKED, false },
		{ 8, 0x100000, 0x11000, 0x12000, 0, false },
		{ 8, 0x10000, 0xffff0, 0x12000, 0, false },
		{ 8, 0x10000, 0x11000, 0xffff0, 0, false },
		{ 8, UINT64_MAX & ~15ull, 0x11000, 0x12000, 0, false },
	};

	for (unsigned int i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		driver_probe(&driver, &rig);
		assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1 |
							rings[i].features));
		driver_set(&driver, VIRTIO_COMMON_QUEUE_SIZE, 2, rings[i].size);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DESC, 8, rings[i].desc);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DRIVER, 8,
			   rings[i].avail);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DEVICE, 8,
			   rings[i].used);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
		driver_ok(&driver);
		fake_work_run();
		assert_int_equal(driver_status(&driver) & 0x40,
				 rings[i].good ? 0 : 0x40);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(split_head_beyond),
		TEST(split_index_too_far),
		TEST(split_loop),
		TEST(split_next_beyond),
		TEST(packed_loop),
		TEST(outside),
		TEST(read_after_write),
		TEST(bad_tables),
		TEST(bad_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
