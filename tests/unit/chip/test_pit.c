/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254: modes, access, latches, gate of channel 2, port 0x61.
 */
#include "chip/pit.h"

#include "chip/ticks.h"
#include "rig.h"

static struct rig rig;
static struct pit pit;

static int setup(void **state)
{
	struct irq irq;

	rig_init(&rig);
	irq = rig_line(&rig, 0);
	assert_int_equal(pit_init(&pit, &rig.vm, &irq), 0);
	return 0;
}

/* Time to the moment when `ticks` more have passed. */
static void run_ticks(uint64_t ticks)
{
	uint64_t now = clock_now(&rig.vm.clock);
	uint64_t end = ticks_to_ns(ticks_from_ns(now, PIT_HZ) + ticks, PIT_HZ);

	rig_run(&rig, end - now);
}

static void program(unsigned int channel, unsigned int mode, uint16_t count)
{
	rig_out(&rig, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	rig_out(&rig, (uint16_t)(0x40 + channel), (uint8_t)count);
	rig_out(&rig, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t count_of(unsigned int channel)
{
	uint16_t port = (uint16_t)(0x40 + channel);
	uint8_t low;

	rig_out(&rig, 0x43, (uint8_t)(channel << 6));
	low = rig_in(&rig, port);
	return (uint16_t)(low | rig_in(&rig, port) << 8);
}

static uint8_t status_of(unsigned int channel)
{
	rig_out(&rig, 0x43, (uint8_t)(0xe0 | 2u << channel));
	return rig_in(&rig, (uint16_t)(0x40 + channel));
}

static bool out2(void)
{
	return rig_in(&rig, 0x61) & 0x20;
}

static void gate2(bool high)
{
	rig_out(&rig, 0x61, high);
}

static void conversions(void **state)
{
	uint64_t seed = 3;
	unsigned int i;

	for (i = 0; i < 10000; i++) {
		uint64_t t = (uint64_t)rig_random(&seed) << 12;
		uint64_t ns = ticks_to_ns(t, PIT_HZ);

		assert_int_equal(ticks_from_ns(ns, PIT_HZ), t);
		if (ns)
			assert_int_equal(ticks_from_ns(ns - 1, PIT_HZ), t - 1);
	}
}

static void mode0(void **state)
{
	program(0, 0, 1000);
	assert_false(rig.level[0]);
	assert_int_equal(status_of(0), 0x30);
	run_ticks(400);
	assert_int_equal(count_of(0), 600);
	run_ticks(599);
	assert_false(rig.level[0]);
	run_ticks(1);
	assert_true(rig.level[0]);
	assert_int_equal(status_of(0), 0xb0);
	run_ticks(1);
	assert_int_equal(count_of(0), 0xffff); /* goes on below zero */
	run_ticks(200000);
	assert_int_equal(rig.rises[0], 1);
	rig_out(&rig, 0x40, 10); /* the first byte stops it */
	assert_false(rig.level[0]);
	run_ticks(100);
	assert_false(rig.level[0]);
	rig_out(&rig, 0x40, 0);
	run_ticks(10);
	assert_true(rig.level[0]);
}

static void mode2(void **state)
{
	program(0, 2, 1000);
	assert_int_equal(rig.rises[0], 1); /* OUT is high from the start */
	run_ticks(1);
	assert_int_equal(count_of(0), 999);
	run_ticks(1000 * 10);
	assert_int_equal(rig.rises[0], 11);
	assert_int_equal(count_of(0), 999);
	run_ticks(998);
	assert_int_equal(count_of(0), 1);
	assert_int_equal(status_of(0) & 0x80, 0); /* low for one tick */
	/* A new count waits for the end of the period. */
	rig_out(&rig, 0x40, 0xd0);
	rig_out(&rig, 0x40, 0x07);
	assert_int_equal(status_of(0), 0x74);
	run_ticks(1);
	assert_int_equal(count_of(0), 2000);
	assert_int_equal(status_of(0), 0xb4);
	run_ticks(1999);
	assert_int_equal(rig.rises[0], 12);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 13);
}

static void mode2_of_65536(void **state)
{
	program(0, 2, 0);
	run_ticks(65535);
	assert_int_equal(rig.rises[0], 1);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 2);
	rig_run(&rig, 10 * SECOND);
	assert_in_range(rig.rises[0], 183, 185); /* 18.2 Hz */
}

static void mode3(void **state)
{
	program(0, 3, 1001);
	run_ticks(1);
	assert_int_equal(count_of(0), 998);
	assert_int_equal(status_of(0), 0xb6);
	run_ticks(499);
	assert_int_equal(status_of(0) & 0x80, 0x80); /* 501 high */
	run_ticks(1);
	assert_int_equal(status_of(0) & 0x80, 0); /* 500 low */
	run_ticks(500);
	assert_int_equal(status_of(0) & 0x80, 0x80);
	assert_int_equal(rig.rises[0], 2);
	run_ticks(1001 * 5);
	assert_int_equal(rig.rises[0], 7);
}

static void mode4(void **state)
{
	program(0, 4, 500);
	assert_int_equal(rig.rises[0], 1);
	run_ticks(500);
	assert_int_equal(status_of(0) & 0x80, 0);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 2);
	run_ticks(100000);
	assert_int_equal(rig.rises[0], 2);
	rig_out(&rig, 0x40, 100); /* a new count triggers it */
	rig_out(&rig, 0x40, 0);
	run_ticks(101);
	assert_int_equal(rig.rises[0], 3);
}

static void modes_with_gate(void **state)
{
	gate2(false);
	program(2, 1, 100); /* one-shot: waits for the gate */
	assert_true(out2());
	run_ticks(1000);
	assert_true(out2());
	gate2(true);
	assert_false(out2());
	run_ticks(60);
	gate2(false);
	gate2(true); /* retriggered */
	run_ticks(99);
	assert_false(out2());
	run_ticks(1);
	assert_true(out2());

	gate2(false);
	program(2, 5, 100); /* hardware strobe */
	gate2(true);
	run_ticks(99);
	assert_true(out2());
	run_ticks(1);
	assert_false(out2());
	run_ticks(1);
	assert_true(out2());
}

static void gate_pauses(void **state)
{
	gate2(true);
	program(2, 0, 1000);
	run_ticks(400);
	gate2(false);
	run_ticks(5000);
	assert_int_equal(count_of(2), 600);
	assert_false(out2());
	gate2(true);
	run_ticks(600);
	assert_true(out2());

	program(2, 2, 1000);
	run_ticks(300);
	gate2(false);
	assert_true(out2());
	run_ticks(5000);
	assert_int_equal(count_of(2), 700);
	gate2(true); /* begins anew */
	assert_int_equal(count_of(2), 1000);

	program(2, 3, 1000);
	run_ticks(700);
	assert_false(out2());
	gate2(false);
	assert_true(out2());
	rig_out(&rig, 0x42, 10); /* a count for when it goes on */
	rig_out(&rig, 0x42, 0);
	gate2(true);
	run_ticks(5);
	assert_false(out2());
	assert_int_equal(rig.rises[0], 0); /* never channel 0's */
}

static void one_shot_reload(void **state)
{
	program(2, 1, 100);
	gate2(true);
	run_ticks(10);
	rig_out(&rig, 0x42, 50); /* for the next trigger */
	rig_out(&rig, 0x42, 0);
	run_ticks(89);
	assert_false(out2());
	run_ticks(1);
	assert_true(out2());
	gate2(false);
	gate2(true);
	run_ticks(50);
	assert_true(out2());
	run_ticks(1);
	assert_int_equal(status_of(2), 0xb2);
}

static void access_modes(void **state)
{
	rig_out(&rig, 0x43, 0x14); /* channel 0, low byte, mode 2 */
	rig_out(&rig, 0x40, 200);
	run_ticks(50);
	assert_int_equal(rig_in(&rig, 0x40), 150);
	assert_int_equal(rig_in(&rig, 0x40), 150);
	rig_out(&rig, 0x43, 0x24); /* high byte */
	rig_out(&rig, 0x40, 0x80);
	run_ticks(0x100);
	assert_int_equal(rig_in(&rig, 0x40), 0x7f);
	rig_out(&rig, 0x43, 0x34); /* both, without a latch */
	rig_out(&rig, 0x40, 0x34);
	rig_out(&rig, 0x40, 0x12);
	assert_int_equal(rig_in(&rig, 0x40), 0x34);
	assert_int_equal(rig_in(&rig, 0x40), 0x12);
	assert_int_equal(rig_in(&rig, 0x40), 0x34);
	assert_int_equal(rig_in(&rig, 0x43), 0xff);
}

static void latches(void **state)
{
	program(0, 2, 5000);
	run_ticks(100);
	rig_out(&rig, 0x43, 0x00);
	run_ticks(100);
	rig_out(&rig, 0x43, 0x00); /* the first latch stays */
	rig_out(&rig, 0x43, 0xe2); /* status comes first */
	assert_int_equal(rig_in(&rig, 0x40), 0xb4);
	assert_int_equal(rig_in(&rig, 0x40), 4900 & 0xff);
	assert_int_equal(rig_in(&rig, 0x40), 4900 >> 8);
	assert_int_equal(rig_in(&rig, 0x40), 4800 & 0xff);
	rig_in(&rig, 0x40);
	program(2, 0, 1234);
	rig_out(&rig, 0x43, 0xc8); /* count and status of channel 2 */
	assert_int_equal(rig_in(&rig, 0x42), 0x30);
	assert_int_equal(rig_in(&rig, 0x42), 1234 & 0xff);
	assert_int_equal(rig_in(&rig, 0x42), 1234 >> 8);
	rig_out(&rig, 0x43, 0x70); /* mode written, no count yet: null */
	assert_int_equal(status_of(1), 0x70);
}

static void bcd(void **state)
{
	rig_out(&rig, 0x43, 0x31); /* channel 0, mode 0, BCD */
	rig_out(&rig, 0x40, 0x00);
	rig_out(&rig, 0x40, 0x10);
	run_ticks(1);
	assert_int_equal(count_of(0), 0x0999);
	run_ticks(999);
	assert_true(rig.level[0]);
	assert_int_equal(count_of(0), 0);
	run_ticks(1);
	assert_int_equal(count_of(0), 0x9999);
	rig_out(&rig, 0x40, 0); /* 0: 10000 */
	rig_out(&rig, 0x40, 0);
	run_ticks(1);
	assert_int_equal(count_of(0), 0x9999);
	run_ticks(9998);
	assert_false(rig.level[0]);
	run_ticks(1);
	assert_true(rig.level[0]);
}

static void port61(void **state)
{
	unsigned int i, changes = 0;
	uint8_t before = rig_in(&rig, 0x61), now;

	rig_out(&rig, 0x61, 0xff);
	assert_int_equal(rig_in(&rig, 0x61) & 0x0f, 0x0f);
	for (i = 0; i < 100; i++) {
		rig_run(&rig, 15085);
		now = rig_in(&rig, 0x61);
		changes += (now ^ before) >> 4 & 1;
		before = now;
	}
	assert_int_equal(changes, 100);
}

/* A tone: the counter's square wave, which the gate holds high. */
static void speaker(void **state)
{
	rig_out(&rig, 0x61, 0xf3); /* the upper half cannot be written */
	assert_int_equal(rig_in(&rig, 0x61) & 0xcf, 0x03);
	program(2, 3, 1000);
	for (unsigned int i = 0; i < 4; i++) {
		run_ticks(10);
		assert_true(out2());
		run_ticks(500);
		assert_false(out2());
		run_ticks(490);
	}
	run_ticks(510);
	assert_false(out2());
	rig_out(&rig, 0x61, 0x02);
	assert_true(out2());
	run_ticks(700);
	assert_true(out2());
	rig_out(&rig, 0x61, 0x03); /* from its beginning again */
	run_ticks(490);
	assert_true(out2());
	run_ticks(20);
	assert_false(out2());
	vm_reset_devices(&rig.vm);
	assert_int_equal(rig_in(&rig, 0x61) & 0x0f, 0);
}

static void too_fast(void **state)
{
	program(0, 2, 2);
	rig_run(&rig, MS);
	assert_in_range(rig.rises[0], 40, 52);
	program(0, 3, 1);
	rig_run(&rig, MS);
	program(0, 2, 1);
	rig_run(&rig, MS);
}

static void reset_stops(void **state)
{
	program(0, 2, 1000);
	run_ticks(10);
	pit_class.reset(&pit);
	assert_false(rig.level[0]);
	assert_null(rig.vm.clock.first);
	rig_run(&rig, SECOND);
	assert_int_equal(rig.rises[0], 1);
}

static void hostile(void **state)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		rig_fuzz(&rig, &rig.vm.pio, 0x40, 4, 20);
		rig_fuzz(&rig, &rig.vm.pio, 0x61, 1, 3);
	}
}

static void valid(void *object)
{
	struct pit *p = object;
	unsigned int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *ch = &p->channel[i];

		ch->count = ch->count % 0x10000 + 1;
		ch->next = ch->next % 0x10000 + 1;
		ch->mode %= 6;
		ch->bcd &= 1;
		ch->access &= 3;
		ch->gate = i != 2 || (ch->gate & 1);
		ch->latch_left %= 3;
	}
}

static void round_trip(void **state)
{
	roundtrip_check(pit_class.state, &pit, valid);
}

/* Whatever was accepted from a stream, the chip goes on. */
static void survives_odd_state(void **state)
{
	uint64_t seed = 9;
	unsigned int i, n;

	for (i = 0; i < 200; i++) {
		uint8_t *bytes = (uint8_t *)pit.channel;

		for (n = 0; n < sizeof(pit.channel); n++)
			bytes[n] = (uint8_t)rig_random(&seed);
		valid(&pit);
		assert_int_equal(pit_class.state->check(&pit), 0);
		rig_fuzz(&rig, &rig.vm.pio, 0x40, 4, 10);
		rig_in(&rig, 0x61);
	}
}

static void restore(void)
{
	const struct state_item item = { pit_class.state, &pit, 0 };

	rig_restore(&rig, &item, 1, setup);
}

/* The low byte was written, the high byte comes to the new machine. */
static void write_goes_on(void **state)
{
	rig_out(&rig, 0x43, 0x34);
	rig_out(&rig, 0x40, 1000 & 0xff);
	restore();
	rig_out(&rig, 0x40, 1000 >> 8);
	assert_int_equal(rig.rises[0], 0); /* OUT was high already */
	run_ticks(999);
	assert_int_equal(rig.rises[0], 0);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 1);
	program(0, 0, 1000);
	run_ticks(400);
	rig_out(&rig, 0x40, 500 & 0xff); /* stops the count */
	restore();
	run_ticks(2000);
	assert_int_equal(rig.rises[0], 0);
	rig_out(&rig, 0x40, 500 >> 8);
	run_ticks(499);
	assert_false(rig.level[0]);
	run_ticks(1);
	assert_true(rig.level[0]);
}

static void reads_go_on(void **state)
{
	program(0, 2, 5000);
	run_ticks(100);
	rig_out(&rig, 0x43, 0xc2); /* status and count */
	restore();
	run_ticks(1000);
	assert_int_equal(rig_in(&rig, 0x40), 0xb4);
	restore();
	assert_int_equal(rig_in(&rig, 0x40), 4900 & 0xff);
	restore();
	assert_int_equal(rig_in(&rig, 0x40), 4900 >> 8);
	assert_int_equal(rig_in(&rig, 0x40), 3900 & 0xff); /* unlatched */
	restore();
	assert_int_equal(rig_in(&rig, 0x40), 3900 >> 8);
	assert_int_equal(rig_in(&rig, 0x40), 3900 & 0xff);
}

static void count_goes_on(void **state)
{
	program(0, 2, 1000);
	run_ticks(400);
	restore();
	assert_int_equal(rig.rises[0] + rig.falls[0], 0);
	assert_int_equal(count_of(0), 600);
	rig_out(&rig, 0x40, 2000 & 0xff); /* for the next period */
	rig_out(&rig, 0x40, 2000 >> 8);
	restore();
	run_ticks(599);
	assert_int_equal(rig.rises[0], 0);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 1);
	assert_int_equal(count_of(0), 2000);
	run_ticks(700);
	restore();
	run_ticks(1299);
	assert_int_equal(rig.rises[0], 0);
	run_ticks(1);
	assert_int_equal(rig.rises[0], 1);
	program(0, 0, 1000); /* once only, and long past */
	run_ticks(3000);
	restore();
	assert_int_equal(status_of(0), 0xb0);
	run_ticks(70000);
	assert_int_equal(rig.rises[0], 0);
}

static void gate_goes_on(void **state)
{
	gate2(true);
	program(2, 0, 1000);
	run_ticks(400);
	gate2(false);
	restore();
	run_ticks(5000);
	assert_int_equal(count_of(2), 600);
	gate2(true);
	run_ticks(300);
	restore();
	run_ticks(299);
	assert_false(out2());
	run_ticks(1);
	assert_true(out2());
	gate2(false);
	program(2, 1, 100); /* waits for its trigger */
	restore();
	assert_true(out2());
	gate2(true);
	run_ticks(60);
	restore();
	run_ticks(39);
	assert_false(out2());
	run_ticks(1);
	assert_true(out2());
	assert_int_equal(rig_in(&rig, 0x61) & 0x0f, 0x01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(conversions, setup),
		cmocka_unit_test_setup(mode0, setup),
		cmocka_unit_test_setup(mode2, setup),
		cmocka_unit_test_setup(mode2_of_65536, setup),
		cmocka_unit_test_setup(mode3, setup),
		cmocka_unit_test_setup(mode4, setup),
		cmocka_unit_test_setup(modes_with_gate, setup),
		cmocka_unit_test_setup(gate_pauses, setup),
		cmocka_unit_test_setup(one_shot_reload, setup),
		cmocka_unit_test_setup(access_modes, setup),
		cmocka_unit_test_setup(latches, setup),
		cmocka_unit_test_setup(bcd, setup),
		cmocka_unit_test_setup(port61, setup),
		cmocka_unit_test_setup(speaker, setup),
		cmocka_unit_test_setup(too_fast, setup),
		cmocka_unit_test_setup(reset_stops, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
		cmocka_unit_test_setup(write_goes_on, setup),
		cmocka_unit_test_setup(reads_go_on, setup),
		cmocka_unit_test_setup(count_goes_on, setup),
		cmocka_unit_test_setup(gate_goes_on, setup),
		cmocka_unit_test_setup(survives_odd_state, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
