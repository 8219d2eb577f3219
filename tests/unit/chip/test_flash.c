/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOR flash: how firmware recognises it, programming, erasing, buffers.
 */
#include "chip/flash.h"

#include "rig.h"

#define BASE 0xffc00000ull
#define SIZE (4 * FLASH_BLOCK)

static struct rig rig;
static struct flash flash;
static uint8_t array[SIZE];

static int setup(void **state)
{
	rig_init(&rig);
	for (unsigned int i = 0; i < SIZE; i++)
		array[i] = (uint8_t)(i * 3);
	assert_int_equal(flash_init(&flash, &rig.vm, BASE, array, SIZE), 0);
	return 0;
}

static uint8_t get(uint32_t at)
{
	return (uint8_t)bus_read(&rig.vm.mmio, BASE + at, 1);
}

static void put(uint32_t at, uint8_t value)
{
	bus_write(&rig.vm.mmio, BASE + at, 1, value);
}

static void reads(void **state)
{
	assert_int_equal(get(5), 15);
	assert_int_equal(bus_read(&rig.vm.mmio, BASE + 1, 4), 0x0c090603);
	assert_int_equal(bus_read(&rig.vm.mmio, BASE, 8), 0x15120f0c09060300);
}

static void bad_sizes(void **state)
{
	struct flash other;

	assert_int_equal(flash_init(&other, &rig.vm, 0, array, 0), -VM_EINVAL);
	assert_int_equal(flash_init(&other, &rig.vm, 0, array, 100),
			 -VM_EINVAL);
	assert_int_equal(flash_init(&other, &rig.vm, 0, array, UINT32_MAX),
			 -VM_EINVAL);
}

static void is_recognised(void **state)
{
	put(0x100, 0x50);
	assert_int_equal(get(0x100), array[0x100]); /* no RAM */
	put(0x100, 0x70);
	assert_int_equal(get(0x100), 0); /* nor ROM */
	put(0x100, 0xff);
	assert_int_equal(get(0x100), array[0x100]);
	put(0, 0x90);
	assert_int_equal(get(0), 0x89);
	put(0, 0x98);
	assert_int_equal(get(0x10), 'Q');
	assert_int_equal(get(0x13), 1);
	assert_int_equal(get(0x27), 14); /* 16 KiB */
	assert_int_equal(get(0x2d), 3);	 /* four blocks */
	assert_int_equal(get(0x2f), 0x10); /* of 4 KiB */
	put(0, 0xf0);
	assert_int_equal(get(0), 0);
}

static void programs(void **state)
{
	array[7] = 0xf0;
	put(7, 0x10);
	put(7, 0x3c);
	assert_int_equal(array[7], 0x30); /* ones do not come back */
	assert_int_equal(get(0), 0x80);
	put(0, 0xff);
	assert_int_equal(get(7), 0x30);
	put(8, 0x40);
	put(8, 0x00);
	assert_int_equal(array[8], 0);
}

static void erases(void **state)
{
	put(FLASH_BLOCK + 5, 0x20);
	put(FLASH_BLOCK + 5, 0xd0);
	assert_int_equal(get(0), 0x80);
	for (unsigned int i = 0; i < FLASH_BLOCK; i++)
		assert_int_equal(array[FLASH_BLOCK + i], 0xff);
	assert_int_equal(array[FLASH_BLOCK - 1], (uint8_t)(4095 * 3));
	assert_int_equal(array[2 * FLASH_BLOCK], 0);
	put(0, 0x20);
	put(0, 0x12); /* not confirmed */
	assert_int_equal(get(0) & 0xb0, 0xb0);
	assert_int_equal(array[1], 3);
	put(0, 0x50);
	put(0, 0x70);
	assert_int_equal(get(0), 0);
}

static void buffered(void **state)
{
	memset(array, 0xff, SIZE);
	put(0x200, 0xe8);
	assert_int_equal(get(0x200), 0x80);
	put(0x200, 3);
	bus_write(&rig.vm.mmio, BASE + 0x200, 4, 0x44332211);
	put(0x200, 0xd0);
	assert_int_equal(get(0), 0x80);
	assert_memory_equal(array + 0x200, "\x11\x22\x33\x44\xff", 5);
	/* Not confirmed: nothing is written. */
	put(0x300, 0xe8);
	put(0x300, 0);
	put(0x300, 0x55);
	put(0x300, 0x00);
	assert_int_equal(array[0x300], 0xff);
	assert_int_equal(get(0) & 0x10, 0x10);
	put(0, 0x50);
	/* Behind the end, and backwards. */
	put(SIZE - 1, 0xe8);
	put(SIZE - 1, 1);
	put(SIZE - 1, 0x11);
	put(0, 0x22);
	assert_int_equal(get(0) & 0x10, 0x10);
	put(0, 0xff);
	assert_int_equal(array[SIZE - 1], 0xff);
}

static void hostile(void **state)
{
	rig_fuzz(&rig, &rig.vm.mmio, BASE, SIZE, 50000);
}

static void make_valid(void *object)
{
	struct flash *f = object;

	f->mode %= 10;
	f->start %= SIZE;
	f->fill %= 100;
	f->left %= 100;
}

static void round_trip(void **state)
{
	roundtrip_check(flash_class.state, &flash, make_valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reads, setup),
		cmocka_unit_test_setup(bad_sizes, setup),
		cmocka_unit_test_setup(is_recognised, setup),
		cmocka_unit_test_setup(programs, setup),
		cmocka_unit_test_setup(erases, setup),
		cmocka_unit_test_setup(buffered, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
