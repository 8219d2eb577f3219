/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reset ports.
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

static void hostile(void **state)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
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
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
