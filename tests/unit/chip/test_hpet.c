/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPET: counter, one-shot and periodic timers, level lines, legacy mode.
 */
#include "chip/hpet.h"

#include "rig.h"

#define TICKS_PER_MS 100000u

static struct rig rig;
static struct hpet hpet;
static struct irq pit, rtc;

static int setup(void **state)
{
	struct irq line[HPET_LINES], to;

	rig_init(&rig);
	for (unsigned int i = 0; i < HPET_LINES; i++)
		line[i] = rig_line(&rig, i);
	memset(&hpet, 0, sizeof(hpet));
	to = rig_line(&rig, 30);
	pit = hpet_pit_irq(&hpet, &to);
	to = rig_line(&rig, 31);
	rtc = hpet_rtc_irq(&hpet, &to);
	assert_int_equal(hpet_init(&hpet, &rig.vm, line, true), 0);
	return 0;
}

static uint64_t get(unsigned int reg)
{
	return bus_read(&rig.vm.mmio, HPET_BASE + reg, 8);
}

static void put(unsigned int reg, uint64_t value)
{
	bus_write(&rig.vm.mmio, HPET_BASE + reg, 8, value);
}

static void put32(unsigned int reg, uint32_t value)
{
	bus_write(&rig.vm.mmio, HPET_BASE + reg, 4, value);
}

static void identity(void **state)
{
	assert_int_equal(get(0), 10000000ull << 32 | 0x8086a201);
	assert_int_equal(bus_read(&rig.vm.mmio, HPET_BASE + 4, 4), 10000000);
	put(0, 0);
	assert_int_equal(get(0), 10000000ull << 32 | 0x8086a201);
	assert_int_equal(get(0x100), (uint64_t)HPET_ROUTES << 32 | 0x30);
	assert_int_equal(bus_read(&rig.vm.mmio, HPET_BASE, 1), 0xff);
}

static void counter(void **state)
{
	rig_run(&rig, MS);
	assert_int_equal(get(0xf0), 0);
	put(0x10, 1);
	rig_run(&rig, 3 * MS);
	assert_int_equal(get(0xf0), 3 * TICKS_PER_MS);
	put(0x10, 0);
	rig_run(&rig, MS);
	assert_int_equal(get(0xf0), 3 * TICKS_PER_MS);
	put32(0xf4, 5);
	put32(0xf0, 7);
	put(0x10, 1);
	rig_run(&rig, 10);
	assert_int_equal(get(0xf0), (5ull << 32) + 8);
	assert_int_equal(bus_read(&rig.vm.mmio, HPET_BASE + 0xf4, 4), 5);
}

static void one_shot(void **state)
{
	put(0x120, 8 << 9 | 4);
	put(0x128, 2 * TICKS_PER_MS);
	put(0x10, 1);
	rig_run(&rig, 2 * MS - 10);
	assert_int_equal(rig.rises[8], 0);
	rig_run(&rig, 20);
	assert_int_equal(rig.rises[8], 1);
	rig_run(&rig, SECOND);
	assert_int_equal(rig.rises[8], 1);
	put(0x128, get(0xf0) - 5); /* too late: a turn of 2^64 away */
	rig_run(&rig, 60000 * SECOND);
	assert_int_equal(rig.rises[8], 1);
	put(0x120, 8 << 9); /* off */
	put(0x128, get(0xf0) + 100);
	rig_run(&rig, MS);
	assert_int_equal(rig.rises[8], 1);
}

/* A match 32 bits away comes round again. */
static void narrow(void **state)
{
	put(0x10, 1);
	put(0x120, 0x100 | 8 << 9 | 4);
	put(0x128, 0xf00000000 | TICKS_PER_MS);
	assert_int_equal(get(0x128), TICKS_PER_MS);
	rig_run(&rig, 2 * MS);
	assert_int_equal(rig.rises[8], 1);
	rig_run(&rig, 43 * SECOND);
	assert_int_equal(rig.rises[8], 2);
}

static void periodic(void **state)
{
	put(0x140, 2 << 9 | 0x4c); /* enabled, periodic, value to be set */
	put(0x148, 5 * TICKS_PER_MS);
	put(0x148, TICKS_PER_MS);
	put(0x10, 1);
	rig_run(&rig, 5 * MS - 10);
	assert_int_equal(rig.rises[2], 0);
	rig_run(&rig, 20);
	assert_int_equal(rig.rises[2], 1);
	rig_run(&rig, 10 * MS);
	assert_int_equal(rig.rises[2], 11);
	assert_int_equal(get(0x148), 16 * TICKS_PER_MS);
	/* Periods that the host slept through are one interrupt. */
	fake_time_advance(100 * MS);
	rig_run(&rig, 10);
	assert_int_equal(rig.rises[2], 12);
	assert_int_equal(get(0x148), 116 * TICKS_PER_MS);
}

static void level(void **state)
{
	put(0x120, 8 << 9 | 6);
	put(0x128, TICKS_PER_MS);
	put(0x10, 1);
	rig_run(&rig, 2 * MS);
	assert_true(rig.level[8]);
	assert_int_equal(get(0x20), 2);
	put(0x20, 1); /* another's */
	assert_true(rig.level[8]);
	put(0x20, 2);
	assert_false(rig.level[8]);
	assert_int_equal(get(0x20), 0);
	put(0x128, get(0xf0) + 1);
	rig_run(&rig, MS);
	assert_true(rig.level[8]);
	put(0x120, 2 << 9 | 6); /* moves */
	assert_false(rig.level[8]);
	assert_true(rig.level[2]);
}

static void legacy(void **state)
{
	irq_pulse(&pit);
	irq_pulse(&rtc);
	assert_int_equal(rig.rises[30], 1);
	assert_int_equal(rig.rises[31], 1);
	put(0x100, 4 | 2); /* level has no meaning there */
	put(0x108, TICKS_PER_MS);
	put(0x120, 4);
	put(0x128, TICKS_PER_MS);
	put(0x10, 3);
	irq_pulse(&pit);
	irq_pulse(&rtc);
	assert_int_equal(rig.rises[30], 1);
	assert_int_equal(rig.rises[31], 1);
	rig_run(&rig, 2 * MS);
	assert_int_equal(rig.rises[30], 2);
	assert_int_equal(rig.rises[31], 2);
	put(0x10, 0);
	irq_pulse(&pit);
	assert_int_equal(rig.rises[30], 3);
}

/* The PIT's output may be high when its line is taken, and when it is back. */
static void legacy_takes_a_high_line(void **state)
{
	irq_set(&pit, true);
	assert_true(rig.level[30]);
	put(0x100, 4);
	put(0x108, TICKS_PER_MS);
	put(0x10, 3);
	assert_false(rig.level[30]);
	rig_run(&rig, 2 * MS);
	assert_int_equal(rig.rises[30], 2);
	put(0x10, 1);
	assert_true(rig.level[30]);
	put(0x10, 3);
	hpet_class.reset(&hpet);
	assert_true(rig.level[30]);
}

static void reset_drops_a_level(void **state)
{
	put(0x100, 2 << 9 | 6);
	put(0x108, 10);
	put(0x10, 1);
	rig_run(&rig, MS);
	assert_true(rig.level[2]);
	hpet_class.reset(&hpet);
	assert_false(rig.level[2]);
}

static void odd_route(void **state)
{
	put(0x140, 31 << 9 | 6);
	put(0x148, 1);
	put(0x10, 1);
	rig_run(&rig, MS);
	assert_int_equal(get(0x20), 4);
	put(0x20, 4);
}

static void hostile(void **state)
{
	rig_fuzz(&rig, &rig.vm.mmio, HPET_BASE, HPET_SIZE, 20000);
	rig_fuzz(&rig, &rig.vm.mmio, HPET_BASE + 0x100, 0x60, 20000);
}

static void make_valid(void *object)
{
	struct hpet *h = object;

	h->config &= 3;
	h->status &= 7;
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		h->timer[i].config &= 0x3f4e;
}

static void round_trip(void **state)
{
	roundtrip_check(hpet_class.state, &hpet, make_valid);
}

static void restore(void)
{
	const struct state_item item = { hpet_class.state, &hpet, 0 };

	rig_restore(&rig, &item, 1, setup);
}

static void periodic_goes_on(void **state)
{
	put(0x140, 2 << 9 | 0x4c);
	restore(); /* the first match and the period are still to come */
	put(0x148, 5 * TICKS_PER_MS);
	restore();
	put(0x148, TICKS_PER_MS);
	rig_run(&rig, MS / 4);
	put(0x10, 1);
	rig_run(&rig, 3 * MS);
	restore();
	assert_int_equal(get(0xf0), 3 * TICKS_PER_MS);
	rig_run(&rig, 2 * MS - 10);
	assert_int_equal(rig.rises[2], 0);
	rig_run(&rig, 20);
	assert_int_equal(rig.rises[2], 1);
	rig_run(&rig, MS / 2 - 10);
	restore(); /* half way */
	assert_int_equal(rig.rises[2], 0);
	assert_int_equal(get(0x148), 6 * TICKS_PER_MS);
	rig_run(&rig, MS / 2 - 10);
	assert_int_equal(rig.rises[2], 0);
	rig_run(&rig, 20);
	assert_int_equal(rig.rises[2], 1);
	rig_run(&rig, 10 * MS);
	assert_int_equal(rig.rises[2], 11);
}

/* A comparator and the counter take their halves one by one. */
static void halves_go_on(void **state)
{
	put32(0xf0, 7);
	restore();
	put32(0xf4, 5);
	assert_int_equal(get(0xf0), 5ull << 32 | 7);
	put(0x120, 8 << 9 | 4);
	put(0x10, 1);
	put32(0x128, 7 + 2 * TICKS_PER_MS);
	rig_run(&rig, MS);
	restore();
	put32(0x12c, 5);
	rig_run(&rig, MS - 10);
	assert_int_equal(rig.rises[8], 0);
	rig_run(&rig, 20);
	assert_int_equal(rig.rises[8], 1);
}

static void level_goes_on(void **state)
{
	put(0x120, 8 << 9 | 6);
	put(0x128, TICKS_PER_MS);
	put(0x10, 1);
	rig_run(&rig, 2 * MS);
	assert_true(rig.level[8]);
	restore();
	assert_int_equal(rig.rises[8] + rig.falls[8], 0);
	assert_int_equal(get(0x20), 2);
	put(0x20, 2);
	assert_false(rig.level[8]);
	put(0x10, 0); /* halted */
	restore();
	rig_run(&rig, MS);
	assert_int_equal(get(0xf0), 2 * TICKS_PER_MS);
}

static void legacy_goes_on(void **state)
{
	put(0x100, 4);
	put(0x108, 2 * TICKS_PER_MS);
	put(0x10, 3);
	rig_run(&rig, MS);
	restore();
	irq_pulse(&pit);
	irq_pulse(&rtc);
	assert_int_equal(rig.rises[30] + rig.rises[31], 0);
	rig_run(&rig, MS + 10);
	assert_int_equal(rig.rises[30], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity, setup),
		cmocka_unit_test_setup(counter, setup),
		cmocka_unit_test_setup(one_shot, setup),
		cmocka_unit_test_setup(narrow, setup),
		cmocka_unit_test_setup(periodic, setup),
		cmocka_unit_test_setup(level, setup),
		cmocka_unit_test_setup(legacy, setup),
		cmocka_unit_test_setup(legacy_takes_a_high_line, setup),
		cmocka_unit_test_setup(reset_drops_a_level, setup),
		cmocka_unit_test_setup(odd_route, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
		cmocka_unit_test_setup(periodic_goes_on, setup),
		cmocka_unit_test_setup(halves_go_on, setup),
		cmocka_unit_test_setup(level_goes_on, setup),
		cmocka_unit_test_setup(legacy_goes_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
