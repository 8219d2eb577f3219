/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818: date in every form, setting it, interrupts, NVRAM.
 */
#include "chip/rtc.h"

#include "chip/rtc_reg.h"
#include "rig.h"

static struct rig rig;
static struct rtc rtc;

static uint8_t get(uint8_t index)
{
	rig_out(&rig, 0x70, index);
	return rig_in(&rig, 0x71);
}

static void put(uint8_t index, uint8_t value)
{
	rig_out(&rig, 0x70, index);
	rig_out(&rig, 0x71, value);
}

static int setup(void **state)
{
	struct irq irq;

	rig_init(&rig);
	irq = rig_line(&rig, 0);
	/* Saturday 2026-11-21 17:42:07.25 UTC */
	fake_realtime_set(1795282927 * SECOND + SECOND / 4);
	assert_int_equal(rtc_init(&rtc, &rig.vm, &irq), 0);
	return 0;
}

static void date_in_bcd(void **state)
{
	assert_int_equal(get(RTC_SECOND), 0x07);
	assert_int_equal(get(RTC_MINUTE), 0x42);
	assert_int_equal(get(RTC_HOUR), 0x17);
	assert_int_equal(get(RTC_WEEKDAY), 7);
	assert_int_equal(get(RTC_DAY), 0x21);
	assert_int_equal(get(RTC_MONTH), 0x11);
	assert_int_equal(get(RTC_YEAR), 0x26);
	assert_int_equal(get(RTC_CENTURY), 0x20);
	assert_int_equal(get(RTC_A), 0x26);
	assert_int_equal(get(RTC_B), 0x02);
	assert_int_equal(get(RTC_D), 0x80);
	assert_int_equal(rig_in(&rig, 0x70), 0xff);
	rig_run(&rig, 54 * SECOND);
	assert_int_equal(get(RTC_SECOND), 0x01);
	assert_int_equal(get(RTC_MINUTE), 0x43);
}

static void other_forms(void **state)
{
	put(RTC_B, 0x04); /* binary, 12 hours */
	assert_int_equal(get(RTC_HOUR), 0x80 | 5);
	assert_int_equal(get(RTC_MINUTE), 42);
	assert_int_equal(get(RTC_YEAR), 26);
	put(RTC_B, 0x00);
	assert_int_equal(get(RTC_HOUR), 0x85);
	put(RTC_HOUR, 0x12); /* midnight */
	put(RTC_B, 0x02);
	assert_int_equal(get(RTC_HOUR), 0x00);
	put(RTC_B, 0x00);
	put(RTC_HOUR, 0x92); /* noon */
	put(RTC_B, 0x06);
	assert_int_equal(get(RTC_HOUR), 12);
}

static void calendar(void **state)
{
	static const struct {
		uint64_t seconds;
		uint8_t reg[5]; /* century, year, month, day, weekday */
	} date[] = {
		{ 0, { 0x19, 0x70, 0x01, 0x01, 5 } },
		{ 951782400, { 0x20, 0x00, 0x02, 0x29, 3 } },
		{ 1709164799, { 0x20, 0x24, 0x02, 0x28, 4 } },
		{ 1709164800, { 0x20, 0x24, 0x02, 0x29, 5 } },
		{ 1735689599, { 0x20, 0x24, 0x12, 0x31, 3 } },
		{ 4107542400, { 0x21, 0x00, 0x03, 0x01, 2 } },
	};
	unsigned int i;

	for (i = 0; i < sizeof(date) / sizeof(date[0]); i++) {
		fake_realtime_set(date[i].seconds * SECOND);
		assert_int_equal(get(RTC_CENTURY), date[i].reg[0]);
		assert_int_equal(get(RTC_YEAR), date[i].reg[1]);
		assert_int_equal(get(RTC_MONTH), date[i].reg[2]);
		assert_int_equal(get(RTC_DAY), date[i].reg[3]);
		assert_int_equal(get(RTC_WEEKDAY), date[i].reg[4]);
	}
}

static void follows_host(void **state)
{
	clock_stop(&rig.vm.clock); /* paused for an hour */
	fake_time_advance(3600 * SECOND);
	clock_start(&rig.vm.clock);
	assert_int_equal(get(RTC_HOUR), 0x18);
}

static void set_date(void **state)
{
	put(RTC_B, 0x82);
	rig_run(&rig, 3 * SECOND);
	assert_int_equal(get(RTC_SECOND), 0x07); /* frozen */
	put(RTC_SECOND, 0x58);
	put(RTC_MINUTE, 0x59);
	put(RTC_HOUR, 0x23);
	put(RTC_DAY, 0x31);
	put(RTC_MONTH, 0x12);
	put(RTC_YEAR, 0x99);
	put(RTC_CENTURY, 0x19);
	put(RTC_B, 0x02);
	assert_int_equal(get(RTC_SECOND), 0x58);
	rig_run(&rig, 2 * SECOND);
	assert_int_equal(get(RTC_SECOND), 0);
	assert_int_equal(get(RTC_YEAR), 0);
	assert_int_equal(get(RTC_CENTURY), 0x20);
	assert_int_equal(get(RTC_WEEKDAY), 7);
	/* What the guest set stays an offset to the host. */
	fake_realtime_set(host_realtime_ns() + 86400 * SECOND);
	assert_int_equal(get(RTC_DAY), 0x02);
}

static void divider_start(void **state)
{
	put(RTC_B, 0x82);
	put(RTC_A, 0x76);
	put(RTC_SECOND, 0x10);
	put(RTC_B, 0x02);
	put(RTC_A, 0x26);
	assert_int_equal(get(RTC_SECOND), 0x10);
	rig_run(&rig, SECOND / 2 - 1);
	assert_int_equal(get(RTC_SECOND), 0x10);
	rig_run(&rig, 1);
	assert_int_equal(get(RTC_SECOND), 0x11);
}

static void nonsense_dates(void **state)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		put(RTC_B, i & 1 ? 0x82 : 0x02);
		put(RTC_MONTH, (uint8_t)i);
		put(RTC_DAY, (uint8_t)(i * 7));
		put(RTC_HOUR, (uint8_t)(i * 5));
		put(RTC_YEAR, (uint8_t)(i * 3));
		put(RTC_CENTURY, (uint8_t)(i * 11));
		put(RTC_B, 0x02);
		assert_in_range(get(RTC_MONTH), 1, 0x12);
		assert_in_range(get(RTC_DAY), 1, 0x31);
		assert_in_range(get(RTC_HOUR), 0, 0x23);
	}
}

static void update_in_progress(void **state)
{
	assert_int_equal(get(RTC_A) & RTC_A_UIP, 0);
	rig_run(&rig, 3 * SECOND / 4 - 244001);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, 0);
	rig_run(&rig, 1);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, RTC_A_UIP);
	put(RTC_B, 0x82);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, 0);
	put(RTC_B, 0x02);
	rig_run(&rig, 244000);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, 0);
	assert_int_equal(get(RTC_SECOND), 0x08);
}

static void update_interrupt(void **state)
{
	put(RTC_B, 0x12);
	rig_run(&rig, 3 * SECOND / 4 - 1);
	assert_false(rig.level[0]);
	rig_run(&rig, 1);
	assert_true(rig.level[0]);
	assert_int_equal(get(RTC_C) & 0xb0, 0x90);
	assert_false(rig.level[0]);
	assert_int_equal(get(RTC_C), 0);
	rig_run(&rig, 5 * SECOND); /* unread: one */
	assert_int_equal(rig.rises[0], 2);
	put(RTC_B, 0x92); /* SET clears UIE */
	assert_int_equal(get(RTC_B), 0x82);
}

static void periodic_interrupt(void **state)
{
	unsigned int i, seen = 0;

	put(RTC_A, 0x26); /* 1024 Hz */
	put(RTC_B, 0x42);
	for (i = 0; i < 10000; i++) {
		rig_run(&rig, 100000);
		if (rig.level[0]) {
			seen++;
			assert_int_equal(get(RTC_C) & 0xc0, 0xc0);
		}
	}
	assert_in_range(seen, 1023, 1025);
	put(RTC_A, 0x2f); /* 2 Hz */
	get(RTC_C);
	rig.rises[0] = 0;
	for (i = 0; i < 100; i++) {
		rig_run(&rig, SECOND / 10);
		get(RTC_C);
	}
	assert_int_equal(rig.rises[0], 20);
	put(RTC_A, 0x20); /* none */
	get(RTC_C);
	rig.rises[0] = 0;
	rig_run(&rig, 2 * SECOND);
	assert_int_equal(rig.rises[0], 0);
	put(RTC_A, 0x21); /* 256 Hz, not 65536 */
	rig_run(&rig, SECOND / 256 + 1000);
	assert_int_equal(rig.rises[0], 1);
}

static void flags_without_interrupts(void **state)
{
	rig_run(&rig, SECOND);
	assert_int_equal(get(RTC_C), RTC_C_PF | RTC_C_UF);
	assert_int_equal(rig.rises[0], 0);
	assert_null(rig.vm.clock.first); /* an idle clock costs nothing */
}

static void alarm_interrupt(void **state)
{
	put(RTC_SECOND_ALARM, 0x30);
	put(RTC_MINUTE_ALARM, 0x43);
	put(RTC_HOUR_ALARM, 0x17);
	put(RTC_B, 0x22);
	rig_run(&rig, 82 * SECOND + SECOND / 2);
	assert_false(rig.level[0]);
	rig_run(&rig, SECOND / 4);
	assert_true(rig.level[0]);
	assert_int_equal(get(RTC_C) & 0xa0, 0xa0);
	put(RTC_HOUR_ALARM, 0xff); /* each hour */
	rig_run(&rig, 3600 * SECOND);
	assert_true(rig.level[0]);
	get(RTC_C);
	put(RTC_MINUTE_ALARM, 0xc0);
	put(RTC_SECOND_ALARM, 0xc0); /* each second */
	rig_run(&rig, SECOND);
	assert_true(rig.level[0]);
	get(RTC_C);
	put(RTC_SECOND_ALARM, 0x99); /* never */
	rig_run(&rig, 100 * SECOND);
	assert_false(rig.level[0]);
}

static void alarm_after_a_jump(void **state)
{
	put(RTC_SECOND_ALARM, 0);
	put(RTC_MINUTE_ALARM, 0);
	put(RTC_HOUR_ALARM, 0x20);
	put(RTC_B, 0x22);
	fake_realtime_set(host_realtime_ns() + 3 * 3600 * SECOND);
	rig_run(&rig, 61 * SECOND); /* noticed within a minute */
	assert_true(rig.level[0]);
	fake_realtime_set(host_realtime_ns() - 5 * 3600 * SECOND);
	get(RTC_C);
	rig_run(&rig, 120 * SECOND);
	assert_false(rig.level[0]);
}

static void nvram(void **state)
{
	put(0x10, 0xa5);
	put(0x7f, 0x5a);
	rtc_set_nvram(&rtc, 0x34, 0x77);
	rtc_set_nvram(&rtc, RTC_B, 0xff); /* no registers */
	rtc_set_nvram(&rtc, 300, 0xff);
	put(0x80 | 0x20, 1); /* bit 7 is the NMI mask */
	rtc_class.reset(&rtc);
	assert_int_equal(get(0x10), 0xa5);
	assert_int_equal(get(0x7f), 0x5a);
	assert_int_equal(get(0x34), 0x77);
	assert_int_equal(get(0x20), 1);
	assert_int_equal(get(RTC_B), 0x02);
	put(RTC_C, 0xff);
	put(RTC_D, 0);
	assert_int_equal(get(RTC_D), 0x80);
}

static void reset_ends_interrupts(void **state)
{
	put(RTC_B, 0x72);
	rig_run(&rig, 2 * SECOND);
	assert_true(rig.level[0]);
	rtc_class.reset(&rtc);
	assert_false(rig.level[0]);
	rig_run(&rig, 2 * SECOND);
	assert_false(rig.level[0]);
}

static void hostile(void **state)
{
	rig_fuzz(&rig, &rig.vm.pio, 0x70, 2, 20000);
}

static void valid(void *object)
{
	struct rtc *r = object;

	r->index &= 0x7f;
}

static void round_trip(void **state)
{
	roundtrip_check(rtc_class.state, &rtc, valid);
	rig_fuzz(&rig, &rig.vm.pio, 0x70, 2, 1000);
}

static void restore(void)
{
	const struct state_item item = { rtc_class.state, &rtc, 0 };

	rig_restore(&rig, &item, 1, setup);
}

static void index_goes_on(void **state)
{
	put(0x10, 0xa5);
	rig_out(&rig, 0x70, 0x11);
	restore();
	rig_out(&rig, 0x71, 0x5a);
	rig_out(&rig, 0x70, 0x10);
	restore();
	assert_int_equal(rig_in(&rig, 0x71), 0xa5);
	assert_int_equal(get(0x11), 0x5a);
}

static void update_goes_on(void **state)
{
	rig_run(&rig, 3 * SECOND / 4 - 100000);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, RTC_A_UIP);
	restore();
	assert_int_equal(rig_in(&rig, 0x71) & RTC_A_UIP, RTC_A_UIP);
	rig_run(&rig, 99999);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, RTC_A_UIP);
	assert_int_equal(get(RTC_SECOND), 0x07);
	rig_run(&rig, 1);
	assert_int_equal(get(RTC_A) & RTC_A_UIP, 0);
	assert_int_equal(get(RTC_SECOND), 0x08);
	restore();
	assert_int_equal(get(RTC_C) & RTC_C_UF, RTC_C_UF);
	restore();
	assert_int_equal(get(RTC_C) & RTC_C_UF, 0);
}

/* The date is being set: what was written, and that it stands still. */
static void setting_goes_on(void **state)
{
	put(RTC_B, 0x82);
	put(RTC_SECOND, 0x58);
	put(RTC_MINUTE, 0x59);
	restore();
	rig_run(&rig, 3 * SECOND);
	assert_int_equal(get(RTC_SECOND), 0x58);
	put(RTC_HOUR, 0x23);
	put(RTC_B, 0x02);
	restore(); /* from here on an offset to the host's clock */
	assert_int_equal(get(RTC_HOUR), 0x23);
	assert_int_equal(get(RTC_MINUTE), 0x59);
	rig_run(&rig, 2 * SECOND);
	assert_int_equal(get(RTC_HOUR), 0);
	assert_int_equal(get(RTC_DAY), 0x22);
}

static void alarm_goes_on(void **state)
{
	put(RTC_SECOND_ALARM, 0x30);
	put(RTC_MINUTE_ALARM, 0x43);
	put(RTC_HOUR_ALARM, 0x17);
	put(RTC_B, 0x22);
	rig_run(&rig, 40 * SECOND);
	restore();
	rig_run(&rig, 42 * SECOND + 3 * SECOND / 4 - 1);
	assert_false(rig.level[0]);
	rig_run(&rig, 1);
	assert_true(rig.level[0]);
	restore();
	assert_int_equal(rig.rises[0] + rig.falls[0], 0);
	assert_true(rig.level[0]);
	assert_int_equal(get(RTC_C) & 0xa0, 0xa0);
	assert_false(rig.level[0]);
	put(RTC_MINUTE_ALARM, 0x50);
	restore();
	fake_realtime_set(host_realtime_ns() + 3600 * SECOND);
	rig_run(&rig, 60 * SECOND); /* it was due meanwhile */
	assert_true(rig.level[0]);
}

static void periodic_goes_on(void **state)
{
	put(RTC_A, 0x2f); /* 2 Hz */
	put(RTC_B, 0x42);
	rig_run(&rig, 3 * SECOND / 10);
	restore();
	rig_run(&rig, SECOND / 5 - 1);
	assert_false(rig.level[0]);
	rig_run(&rig, 1);
	assert_true(rig.level[0]);
	assert_int_equal(get(RTC_C) & 0xc0, 0xc0);
	restore();
	assert_int_equal(get(RTC_C), 0); /* that edge was seen */
	rig_run(&rig, SECOND / 2 - 1);
	assert_false(rig.level[0]);
	rig_run(&rig, 1);
	assert_int_equal(rig.rises[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(date_in_bcd, setup),
		cmocka_unit_test_setup(other_forms, setup),
		cmocka_unit_test_setup(calendar, setup),
		cmocka_unit_test_setup(follows_host, setup),
		cmocka_unit_test_setup(set_date, setup),
		cmocka_unit_test_setup(divider_start, setup),
		cmocka_unit_test_setup(nonsense_dates, setup),
		cmocka_unit_test_setup(update_in_progress, setup),
		cmocka_unit_test_setup(update_interrupt, setup),
		cmocka_unit_test_setup(periodic_interrupt, setup),
		cmocka_unit_test_setup(flags_without_interrupts, setup),
		cmocka_unit_test_setup(alarm_interrupt, setup),
		cmocka_unit_test_setup(alarm_after_a_jump, setup),
		cmocka_unit_test_setup(nvram, setup),
		cmocka_unit_test_setup(reset_ends_interrupts, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
		cmocka_unit_test_setup(index_goes_on, setup),
		cmocka_unit_test_setup(update_goes_on, setup),
		cmocka_unit_test_setup(setting_goes_on, setup),
		cmocka_unit_test_setup(alarm_goes_on, setup),
		cmocka_unit_test_setup(periodic_goes_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
