/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware: events, sleep, PM timer, GPE0, SMI command port.
 */
#include "chip/acpi_pm.h"

#include "chip/ticks.h"
#include "rig.h"

static struct rig rig;
static struct acpi_pm pm;

static int build(unsigned int bits)
{
	struct irq sci;

	rig_init(&rig);
	sci = rig_line(&rig, 9);
	return acpi_pm_init(&pm, &rig.vm, &sci, bits);
}

static int setup(void **state)
{
	assert_int_equal(build(32), 0);
	return 0;
}

static uint32_t get(uint16_t port, unsigned int size)
{
	return (uint32_t)bus_read(&rig.vm.pio, port, size);
}

static void put(uint16_t port, unsigned int size, uint32_t value)
{
	bus_write(&rig.vm.pio, port, size, value);
}

static void power_button(void **state)
{
	acpi_pm_power_button(&pm);
	assert_false(rig.level[9]);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 2), 0x100);
	put(ACPI_PM_PM1_EVT + 2, 2, 0x100);
	assert_true(rig.level[9]);
	put(ACPI_PM_PM1_EVT, 2, 0x100); /* write 1 to clear */
	assert_false(rig.level[9]);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 4), 0x01000000);
	acpi_pm_power_button(&pm);
	assert_true(rig.level[9]);
	put(ACPI_PM_PM1_EVT + 1, 1, 0x01); /* by bytes as well */
	assert_false(rig.level[9]);
	put(ACPI_PM_PM1_EVT + 3, 1, 0);
	assert_int_equal(get(ACPI_PM_PM1_EVT + 2, 2), 0);
}

static void sleeps(void **state)
{
	put(ACPI_PM_PM1_CNT, 2, 0x1400 | 0x2000); /* S3: not offered */
	assert_int_equal(rig.vm.request, VM_RUN);
	assert_int_equal(get(ACPI_PM_PM1_CNT, 2), 0x1401);
	put(ACPI_PM_PM1_CNT, 2, ACPI_PM_S5_TYPE << 10);
	assert_int_equal(rig.vm.request, VM_RUN);
	put(ACPI_PM_PM1_CNT, 2, ACPI_PM_S5_TYPE << 10 | 0x2000);
	assert_int_equal(rig.vm.request, VM_POWER_OFF);
}

static void acpi_mode(void **state)
{
	assert_int_equal(get(ACPI_PM_PM1_CNT, 2), 1); /* from the start */
	put(ACPI_PM_PM1_EVT + 2, 2, 0x100);
	acpi_pm_power_button(&pm);
	put(ACPI_PM_SMI_CMD, 1, ACPI_PM_DISABLE);
	assert_int_equal(get(ACPI_PM_PM1_CNT, 2), 0);
	assert_false(rig.level[9]);
	put(ACPI_PM_PM1_CNT, 2, 1); /* not the way */
	assert_int_equal(get(ACPI_PM_PM1_CNT, 2), 0);
	put(ACPI_PM_SMI_CMD, 1, ACPI_PM_ENABLE);
	assert_true(rig.level[9]);
	put(ACPI_PM_SMI_CMD + 1, 1, 0x77);
	assert_int_equal(get(ACPI_PM_SMI_CMD, 2), 0x7702);
}

static void timer_counts(void **state)
{
	assert_int_equal(get(ACPI_PM_TIMER, 4), 0);
	rig_run(&rig, SECOND);
	assert_int_equal(get(ACPI_PM_TIMER, 4), 3579545);
	assert_int_equal(get(ACPI_PM_TIMER + 1, 1), 3579545 >> 8 & 0xff);
	put(ACPI_PM_TIMER, 4, 0);
	assert_int_equal(get(ACPI_PM_TIMER, 4), 3579545);
	rig_run(&rig, 9 * SECOND);
	assert_int_equal(get(ACPI_PM_TIMER, 4), 35795450);
	assert_int_equal(build(24), 0);
	rig_run(&rig, 10 * SECOND);
	assert_int_equal(get(ACPI_PM_TIMER, 4), 35795450 & 0xffffff);
	assert_int_equal(build(31), -VM_EINVAL);
}

static void timer_overflow(void **state)
{
	uint64_t half = ticks_to_ns(1 << 23, ACPI_PM_TIMER_HZ);

	assert_int_equal(build(24), 0);
	rig_run(&rig, half - 1);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 2), 0);
	rig_run(&rig, 1);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 2), 1);
	assert_null(rig.vm.clock.first); /* free while nobody asked */
	put(ACPI_PM_PM1_EVT, 2, 1);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 2), 0);
	put(ACPI_PM_PM1_EVT + 2, 2, 1);
	rig_run(&rig, half - 1000);
	assert_false(rig.level[9]);
	rig_run(&rig, 2000);
	assert_true(rig.level[9]);
	put(ACPI_PM_PM1_EVT, 2, 1);
	assert_false(rig.level[9]);
	rig_run(&rig, 10 * half);
	assert_int_equal(rig.rises[9], 2);
}

static void general_events(void **state)
{
	put(ACPI_PM_GPE0 + 8, 4, 0x6);
	acpi_pm_raise_gpe(&pm, 0);
	assert_false(rig.level[9]);
	acpi_pm_raise_gpe(&pm, 2);
	assert_true(rig.level[9]);
	assert_int_equal(get(ACPI_PM_GPE0, 4), 0x5);
	put(ACPI_PM_GPE0, 1, 0x4);
	assert_false(rig.level[9]);
	acpi_pm_raise_gpe(&pm, 63);
	acpi_pm_raise_gpe(&pm, 64);
	assert_int_equal(get(ACPI_PM_GPE0 + 4, 4), 0x80000000);
	put(ACPI_PM_GPE0 + 15, 1, 0x80);
	assert_true(rig.level[9]);
	assert_int_equal(get(ACPI_PM_GPE0 + 12, 4), 0x80000000);
}

static void reset_clears(void **state)
{
	put(ACPI_PM_PM1_EVT + 2, 2, 0x101);
	acpi_pm_power_button(&pm);
	acpi_pm_class.reset(&pm);
	assert_false(rig.level[9]);
	assert_int_equal(get(ACPI_PM_PM1_EVT, 4), 0);
	assert_null(rig.vm.clock.first);
}

static void hostile(void **state)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		rig_fuzz(&rig, &rig.vm.pio, ACPI_PM_BASE, 0x40, 20);
		rig_fuzz(&rig, &rig.vm.pio, ACPI_PM_SMI_CMD, 2, 2);
	}
}

static void round_trip(void **state)
{
	roundtrip_check(acpi_pm_class.state, &pm, NULL);
	rig_fuzz(&rig, &rig.vm.pio, ACPI_PM_BASE, 0x40, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(power_button, setup),
		cmocka_unit_test_setup(sleeps, setup),
		cmocka_unit_test_setup(acpi_mode, setup),
		cmocka_unit_test_setup(timer_counts, setup),
		cmocka_unit_test_setup(timer_overflow, setup),
		cmocka_unit_test_setup(general_events, setup),
		cmocka_unit_test_setup(reset_clears, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
