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

/* Port 0xcf9; how PCI hands it on is test_pci_host.c's. */
static void control_register(void **state)
{
	assert_int_equal(reset_control_read(&chip), 0);
	reset_control_write(&chip, 0x02);
	assert_false(was_reset());
	assert_int_equal(reset_control_read(&chip), 0x02);
	reset_control_write(&chip, RESET_CONTROL_VALUE);
	assert_true(was_reset());
	reset_control_write(&chip, RESET_CONTROL_VALUE); /* no new edge */
	assert_false(was_reset());
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
