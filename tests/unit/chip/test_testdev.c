/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test device: exit code, scratch, lines.
 */
#include "chip/testdev.h"

#include "rig.h"

static struct rig rig;
static struct testdev testdev;

static int setup(void **state)
{
	struct irq lines;

	rig_init(&rig);
	lines = rig_line(&rig, 31);
	assert_int_equal(testdev_init(&testdev, &rig.vm, &lines), 0);
	return 0;
}

static void debug_exit(void **state)
{
	bus_write(&rig.vm.pio, TESTDEV_EXIT + 1, 1, 7); /* not the port */
	assert_int_equal(rig.vm.request, VM_RUN);
	bus_write(&rig.vm.pio, TESTDEV_EXIT, 4, 0x12345678);
	assert_int_equal(rig.vm.request, VM_POWER_OFF);
	assert_int_equal(rig.vm.exit_code, 0x12345678u << 1 | 1);
	rig_out(&rig, TESTDEV_EXIT, 3); /* the first counts */
	assert_int_equal(rig.vm.exit_code, 0x12345678u << 1 | 1);
	assert_int_equal(rig_in(&rig, TESTDEV_EXIT), 0xff);
}

static void scratch(void **state)
{
	unsigned int i;

	for (i = 0; i < TESTDEV_PORT_COUNT; i++)
		rig_out(&rig, (uint16_t)(TESTDEV_PORTS + i), (uint8_t)(i + 1));
	assert_int_equal(bus_read(&rig.vm.pio, TESTDEV_PORTS, 4), 0x04030201);
	assert_int_equal(bus_read(&rig.vm.pio, TESTDEV_PORTS + 1, 2), 0x0302);
	bus_write(&rig.vm.pio, TESTDEV_PORTS, 2, 0xbeef);
	assert_int_equal(bus_read(&rig.vm.pio, TESTDEV_PORTS, 4), 0x0403beef);
	bus_write(&rig.vm.mmio, TESTDEV_MMIO + 0xfff8, 8, 0x1122334455667788);
	assert_int_equal(bus_read(&rig.vm.mmio, TESTDEV_MMIO + 0xfff8, 8),
			 0x1122334455667788);
	assert_int_equal(bus_read(&rig.vm.mmio, TESTDEV_MMIO + 0xffff, 2),
			 0xff11);
	assert_int_equal(bus_read(&rig.vm.mmio, TESTDEV_MMIO + 0xfffb, 4),
			 0x22334455);
}

static void lines(void **state)
{
	rig_out(&rig, TESTDEV_LINES + 14, 1);
	assert_true(rig.level[14]);
	assert_int_equal(rig_in(&rig, TESTDEV_LINES + 14), 1);
	rig_out(&rig, TESTDEV_LINES + 14, 0);
	assert_false(rig.level[14]);
	bus_write(&rig.vm.pio, TESTDEV_LINES + 22, 4, 0x01010101);
	assert_true(rig.level[23]);
	assert_false(rig.level[24]);
	testdev_class.reset(&testdev);
	assert_false(rig.level[22]);
	assert_false(rig.level[23]);
	assert_int_equal(testdev.level, 0);
}

static void hostile(void **state)
{
	rig_fuzz(&rig, &rig.vm.pio, TESTDEV_PORTS, 0x20, 3000);
	rig_fuzz(&rig, &rig.vm.pio, TESTDEV_LINES, TESTDEV_LINE_COUNT, 3000);
	rig_fuzz(&rig, &rig.vm.mmio, TESTDEV_MMIO, TESTDEV_MMIO_SIZE, 3000);
}

static void valid(void *object)
{
	struct testdev *t = object;

	t->level &= 0xffffff;
}

static void round_trip(void **state)
{
	roundtrip_check(testdev_class.state, &testdev, valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(debug_exit, setup),
		cmocka_unit_test_setup(scratch, setup),
		cmocka_unit_test_setup(lines, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
