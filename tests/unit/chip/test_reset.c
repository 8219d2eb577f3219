/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reset ports, and an i8042 that nothing is connected to.
 */
#include "chip/reset.h"

#include "rig.h"

static struct rig rig;
static struct reset chip;

static int setup(void **state)
{
	rig_init(&rig);
	assert_int_equal(reset_init(&chip, &rig.vm), 0);
	return 0;
}

static bool was_reset(void)
{
	return atomic_exchange(&rig.vm.request, VM_RUN) == VM_RESET;
}

/* A command, and the byte that answers it. */
static int ask(uint8_t command)
{
	rig_out(&rig, 0x64, command);
	if (!(rig_in(&rig, 0x64) & 1))
		return -1;
	return rig_in(&rig, 0x60);
}

static void control_register(void **state)
{
	assert_int_equal(rig_in(&rig, 0xcf9), 0);
	rig_out(&rig, 0xcf9, 0x02);
	assert_false(was_reset());
	assert_int_equal(rig_in(&rig, 0xcf9), 0x02);
	rig_out(&rig, 0xcf9, RESET_CONTROL_VALUE);
	assert_true(was_reset());
	rig_out(&rig, 0xcf9, RESET_CONTROL_VALUE); /* no new edge */
	assert_false(was_reset());
	chip.control = 0;
	/* PCI configuration addresses go through the same bytes. */
	bus_write(&rig.vm.pio, 0xcf8, 4, 0x80000400);
	bus_write(&rig.vm.pio, 0xcf8, 2, 0x0400);
	rig_out(&rig, 0xcf8, 0x04);
	assert_false(was_reset());
	assert_int_equal(bus_read(&rig.vm.pio, 0xcf8, 4), UINT32_MAX);
}

static void port92(void **state)
{
	assert_int_equal(rig_in(&rig, 0x92), 0x02);
	rig_out(&rig, 0x92, 0x00);
	assert_int_equal(rig_in(&rig, 0x92), 0x02); /* A20 stays open */
	assert_false(was_reset());
	rig_out(&rig, 0x92, 0x03);
	assert_true(was_reset());
	rig_out(&rig, 0x92, 0x03);
	assert_false(was_reset());
}

static void keyboard_resets(void **state)
{
	rig_out(&rig, 0x64, 0xff);
	assert_false(was_reset());
	rig_out(&rig, 0x64, 0xfe);
	assert_true(was_reset());
	rig_out(&rig, 0x64, 0xf0);
	assert_true(was_reset());
	rig_out(&rig, 0x64, 0xd1);
	rig_out(&rig, 0x60, 0xdf);
	assert_false(was_reset());
	rig_out(&rig, 0x64, 0xd1);
	rig_out(&rig, 0x60, 0xde);
	assert_true(was_reset());
}

static void answers_commands(void **state)
{
	assert_int_equal(rig_in(&rig, 0x64), 0x14);
	assert_int_equal(ask(0xaa), 0x55);
	assert_int_equal(rig_in(&rig, 0x64) & 1, 0);
	assert_int_equal(ask(0x20), 0x30);
	rig_out(&rig, 0x64, 0x60);
	rig_out(&rig, 0x60, 0x65);
	assert_int_equal(ask(0x20), 0x65);
	assert_int_equal(ask(0xad), -1);
	assert_int_equal(ask(0xa7), -1);
	assert_int_equal(ask(0x20), 0x75);
	assert_int_equal(ask(0xae), -1);
	assert_int_equal(ask(0xa8), -1);
	assert_int_equal(ask(0x20), 0x45);
	assert_int_equal(ask(0xab), 0x01); /* nothing is connected */
	assert_int_equal(ask(0xa9), 0x01);
	assert_int_equal(ask(0xc0), 0x80);
	assert_int_equal(ask(0xd0), 0xcf);
	assert_int_equal(ask(0x77), -1);
}

static void nobody_is_there(void **state)
{
	rig_out(&rig, 0x60, 0xed); /* to the keyboard */
	assert_int_equal(rig_in(&rig, 0x64) & 0x41, 0x41);
	assert_int_equal(rig_in(&rig, 0x60), 0xfe);
	assert_int_equal(rig_in(&rig, 0x64) & 0x41, 0);
	rig_out(&rig, 0x64, 0xd4); /* to the mouse */
	rig_out(&rig, 0x60, 0xf2);
	assert_int_equal(rig_in(&rig, 0x60), 0xfe);
	rig_out(&rig, 0x64, 0xd3); /* loop */
	rig_out(&rig, 0x60, 0x5a);
	assert_int_equal(rig_in(&rig, 0x64) & 0x21, 0x01);
	assert_int_equal(rig_in(&rig, 0x60), 0x5a);
	rig_out(&rig, 0x64, 0xd2);
	rig_out(&rig, 0x60, 0xa5);
	assert_int_equal(rig_in(&rig, 0x60), 0xa5);
}

static void hostile(void **state)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		rig_fuzz(&rig, &rig.vm.pio, 0x60, 5, 20);
		rig_fuzz(&rig, &rig.vm.pio, 0x92, 1, 2);
		rig_fuzz(&rig, &rig.vm.pio, 0xcf8, 4, 4);
	}
}

static void round_trip(void **state)
{
	roundtrip_check(reset_class.state, &chip, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(control_register, setup),
		cmocka_unit_test_setup(port92, setup),
		cmocka_unit_test_setup(keyboard_resets, setup),
		cmocka_unit_test_setup(answers_commands, setup),
		cmocka_unit_test_setup(nobody_is_there, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
