/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8259A pair: initialisation, priorities, modes, cascade.
 */
#include "chip/pic.h"

#include "rig.h"

static struct rig rig;
static struct pic pic;

static void program(uint8_t icw4)
{
	rig_out(&rig, 0x20, 0x11);
	rig_out(&rig, 0x21, 0x20);
	rig_out(&rig, 0x21, 0x04);
	rig_out(&rig, 0x21, icw4);
	rig_out(&rig, 0xa0, 0x11);
	rig_out(&rig, 0xa1, 0x28);
	rig_out(&rig, 0xa1, 0x02);
	rig_out(&rig, 0xa1, icw4);
}

static int setup(void **state)
{
	struct irq out;

	rig_init(&rig);
	out = rig_line(&rig, 0);
	assert_int_equal(pic_init(&pic, &rig.vm, &out), 0);
	program(0x01);
	return 0;
}

static void pulse(unsigned int line)
{
	pic_set_line(&pic, line, true);
	pic_set_line(&pic, line, false);
}

static void edge_is_latched_and_served(void **state)
{
	assert_false(rig.level[0]);
	pulse(3);
	assert_true(rig.level[0]);
	assert_int_equal(rig_in(&rig, 0x20), 0x08); /* IRR */
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	assert_false(rig.level[0]);
	assert_int_equal(rig_in(&rig, 0x20), 0);
	rig_out(&rig, 0x20, 0x0b); /* read ISR */
	assert_int_equal(rig_in(&rig, 0x20), 0x08);
	rig_out(&rig, 0x20, 0x20);
	assert_int_equal(rig_in(&rig, 0x20), 0);
	rig_out(&rig, 0x20, 0x0a);
}

static void held_edge_comes_once(void **state)
{
	pic_set_line(&pic, 4, true);
	assert_int_equal(pic_acknowledge(&pic), 0x24);
	rig_out(&rig, 0x20, 0x20);
	pic_set_line(&pic, 4, true);
	assert_false(rig.level[0]);
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	assert_true(rig.level[0]);
}

static void mask_holds_back(void **state)
{
	rig_out(&rig, 0x21, 0x02);
	assert_int_equal(rig_in(&rig, 0x21), 0x02);
	pulse(1);
	assert_false(rig.level[0]);
	rig_out(&rig, 0x21, 0);
	assert_true(rig.level[0]);
	assert_int_equal(pic_acknowledge(&pic), 0x21);
}

static void priority_nests(void **state)
{
	pulse(5);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	pulse(6);
	assert_false(rig.level[0]); /* lower waits */
	pulse(1);
	assert_true(rig.level[0]); /* higher interrupts */
	assert_int_equal(pic_acknowledge(&pic), 0x21);
	rig_out(&rig, 0x20, 0x20); /* ends 1, the highest in service */
	assert_false(rig.level[0]);
	rig_out(&rig, 0x20, 0x65); /* specific: ends 5 */
	assert_int_equal(pic_acknowledge(&pic), 0x26);
}

static void rotation(void **state)
{
	pulse(2 + 1);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	rig_out(&rig, 0x20, 0xa0); /* rotate on non-specific EOI */
	pulse(3);
	pulse(4);
	assert_int_equal(pic_acknowledge(&pic), 0x24); /* 3 is lowest now */
	rig_out(&rig, 0x20, 0xe4);		       /* rotate, specific */
	assert_int_equal(pic.half[0].lowest, 4);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	rig_out(&rig, 0x20, 0x20);
	rig_out(&rig, 0x20, 0xc7); /* set priority: 7 lowest */
	pulse(0);
	pulse(7);
	assert_int_equal(pic_acknowledge(&pic), 0x20);
}

static void automatic_eoi(void **state)
{
	program(0x03);
	pulse(1);
	assert_int_equal(pic_acknowledge(&pic), 0x21);
	rig_out(&rig, 0x20, 0x0b);
	assert_int_equal(rig_in(&rig, 0x20), 0);
	rig_out(&rig, 0x20, 0x80); /* rotate in AEOI mode */
	pulse(5);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	assert_int_equal(pic.half[0].lowest, 5);
	rig_out(&rig, 0x20, 0x00);
	pulse(6);
	pic_acknowledge(&pic);
	assert_int_equal(pic.half[0].lowest, 5);
}

static void cascade(void **state)
{
	pulse(8);
	assert_true(rig.level[0]);
	assert_int_equal(pic_acknowledge(&pic), 0x28);
	pulse(12);
	assert_false(rig.level[0]);
	pulse(1);
	assert_int_equal(pic_acknowledge(&pic), 0x21);
	rig_out(&rig, 0x20, 0x20);
	rig_out(&rig, 0xa0, 0x20);
	assert_false(rig.level[0]); /* the master still serves input 2 */
	rig_out(&rig, 0x20, 0x20);
	assert_true(rig.level[0]);
	assert_int_equal(pic_acknowledge(&pic), 0x2c);
	pic_set_line(&pic, 2, true); /* the cascade is no input */
	pic_set_line(&pic, 16, true);
	assert_int_equal(pic.half[0].lines, 0);
}

static void special_fully_nested(void **state)
{
	program(0x11);
	pulse(12);
	assert_int_equal(pic_acknowledge(&pic), 0x2c);
	pulse(9);
	assert_true(rig.level[0]); /* within the slave, higher */
	assert_int_equal(pic_acknowledge(&pic), 0x29);
}

static void special_mask(void **state)
{
	pulse(1);
	assert_int_equal(pic_acknowledge(&pic), 0x21);
	pulse(6);
	assert_false(rig.level[0]);
	rig_out(&rig, 0x21, 0x02);
	rig_out(&rig, 0x20, 0x68);
	assert_true(rig.level[0]); /* 1 is masked and blocks nothing */
	assert_int_equal(pic_acknowledge(&pic), 0x26);
	rig_out(&rig, 0x20, 0x20); /* ends 6, not the masked 1 */
	assert_int_equal(pic.half[0].isr, 0x02);
	rig_out(&rig, 0x20, 0x48);
	rig_out(&rig, 0x20, 0x20);
	assert_int_equal(pic.half[0].isr, 0);
}

static void poll(void **state)
{
	rig_out(&rig, 0x20, 0x0c);
	assert_int_equal(rig_in(&rig, 0x20), 0); /* nothing */
	pulse(4);
	rig_out(&rig, 0x20, 0x0c);
	assert_int_equal(rig_in(&rig, 0x20), 0x84);
	assert_false(rig.level[0]);
	assert_int_equal(pic.half[0].isr, 0x10);
}

static void levels_by_elcr(void **state)
{
	rig_out(&rig, 0x4d0, 0xff);
	assert_int_equal(rig_in(&rig, 0x4d0), 0xf8);
	rig_out(&rig, 0x4d1, 0x02);
	pic_set_line(&pic, 9, true);
	assert_int_equal(pic_acknowledge(&pic), 0x29);
	rig_out(&rig, 0xa0, 0x20);
	rig_out(&rig, 0x20, 0x20);
	assert_true(rig.level[0]); /* still asserted */
	pic_set_line(&pic, 9, false);
	assert_false(rig.level[0]);
}

static void spurious(void **state)
{
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	assert_int_equal(pic.half[0].isr, 0);
	rig_out(&rig, 0x4d1, 0x02);
	pic_set_line(&pic, 9, true);
	pic_set_line(&pic, 9, false);
	assert_int_equal(pic_acknowledge(&pic), 0x27);
}

static void initialising_forgets(void **state)
{
	pulse(3);
	rig_out(&rig, 0x21, 0xff);
	rig_out(&rig, 0x20, 0x11);
	assert_int_equal(pic.half[0].irr, 0);
	assert_int_equal(pic.half[0].imr, 0);
	pulse(3);
	assert_false(rig.level[0]); /* not before the last ICW */
	rig_out(&rig, 0x21, 0x47);
	rig_out(&rig, 0x21, 0x04);
	rig_out(&rig, 0x21, 0x01);
	assert_true(rig.level[0]);
	assert_int_equal(pic_acknowledge(&pic), 0x43);
	rig_out(&rig, 0x20, 0x12); /* single, no ICW4 */
	rig_out(&rig, 0x21, 0x60);
	pulse(0);
	assert_int_equal(pic_acknowledge(&pic), 0x60);
}

static void hostile(void **state)
{
	unsigned int i;
	uint64_t seed = 1;

	for (i = 0; i < 2000; i++) {
		rig_fuzz(&rig, &rig.vm.pio, 0x20, 2, 2);
		rig_fuzz(&rig, &rig.vm.pio, 0xa0, 2, 2);
		rig_fuzz(&rig, &rig.vm.pio, 0x4d0, 2, 1);
		pic_set_line(&pic, rig_random(&seed) % 20,
			     rig_random(&seed) & 1);
		if (rig_random(&seed) % 3 == 0)
			pic_acknowledge(&pic);
	}
}

static void valid(void *object)
{
	struct pic *p = object;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		p->half[i].lowest &= 7;
		p->half[i].init_step %= 5;
		p->half[i].base &= 0xf8;
		p->half[i].elcr &= i ? 0xde : 0xf8;
	}
}

static void round_trip(void **state)
{
	roundtrip_check(pic_class.state, &pic, valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(edge_is_latched_and_served, setup),
		cmocka_unit_test_setup(held_edge_comes_once, setup),
		cmocka_unit_test_setup(mask_holds_back, setup),
		cmocka_unit_test_setup(priority_nests, setup),
		cmocka_unit_test_setup(rotation, setup),
		cmocka_unit_test_setup(automatic_eoi, setup),
		cmocka_unit_test_setup(cascade, setup),
		cmocka_unit_test_setup(special_fully_nested, setup),
		cmocka_unit_test_setup(special_mask, setup),
		cmocka_unit_test_setup(poll, setup),
		cmocka_unit_test_setup(levels_by_elcr, setup),
		cmocka_unit_test_setup(spurious, setup),
		cmocka_unit_test_setup(initialising_forgets, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
