/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042 with nothing connected, then with keyboard and mouse.
 */
#include "chip/i8042.h"
#include "chip/ps2_keyboard.h"
#include "chip/ps2_mouse.h"

#include "rig.h"

static struct rig rig;
static struct i8042 ctl;
static struct ps2_keyboard kbd;
static struct ps2_mouse mouse;

static int bare(void **state)
{
	struct irq keyboard_line, mouse_line;

	rig_init(&rig);
	keyboard_line = rig_line(&rig, I8042_IRQ_KEYBOARD);
	mouse_line = rig_line(&rig, I8042_IRQ_MOUSE);
	assert_int_equal(i8042_init(&ctl, &rig.vm, &keyboard_line,
				    &mouse_line),
			 0);
	return 0;
}

static void set_command_byte(uint8_t value)
{
	rig_out(&rig, 0x64, 0x60);
	rig_out(&rig, 0x60, value);
}

static int connected(void **state)
{
	bare(state);
	assert_int_equal(ps2_keyboard_init(&kbd, &rig.vm), 0);
	assert_int_equal(ps2_mouse_init(&mouse, &rig.vm), 0);
	i8042_connect_keyboard(&ctl, &kbd.device);
	i8042_connect_mouse(&ctl, &mouse.device);
	set_command_byte(0x43); /* translation, both interrupts */
	return 0;
}

static bool was_reset(void)
{
	return atomic_exchange(&rig.vm.request, VM_RUN) == VM_RESET;
}

/* The next byte; -1: there is none. */
static int next(void)
{
	if (!(rig_in(&rig, 0x64) & 1))
		return -1;
	return rig_in(&rig, 0x60);
}

/* A command, and the byte that answers it. */
static int ask(uint8_t command)
{
	rig_out(&rig, 0x64, command);
	return next();
}

static void to_mouse(uint8_t byte)
{
	rig_out(&rig, 0x64, 0xd4);
	rig_out(&rig, 0x60, byte);
}

/* Exactly these bytes come, then none. */
static void expect(unsigned int count, const uint8_t *bytes)
{
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(next(), bytes[i]);
	assert_int_equal(next(), -1);
}

#define EXPECT(...)                                   \
	expect(sizeof((uint8_t[]){ __VA_ARGS__ }),    \
	       (const uint8_t[]){ __VA_ARGS__ })

static void resets(void **state)
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
	set_command_byte(0x65);
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
	to_mouse(0xf2);
	assert_int_equal(rig_in(&rig, 0x60), 0xfe);
	rig_out(&rig, 0x64, 0xd3); /* loop */
	rig_out(&rig, 0x60, 0x5a);
	assert_int_equal(rig_in(&rig, 0x64) & 0x21, 0x01);
	assert_int_equal(rig_in(&rig, 0x60), 0x5a);
	rig_out(&rig, 0x64, 0xd2);
	rig_out(&rig, 0x60, 0xa5);
	assert_int_equal(rig_in(&rig, 0x60), 0xa5);
}

static void keyboard_commands(void **state)
{
	assert_int_equal(ask(0xab), 0);
	rig_out(&rig, 0x60, 0xff);
	EXPECT(0xfa, 0xaa);
	rig_out(&rig, 0x60, 0xf2);
	EXPECT(0xfa, 0xab, 0x41); /* 83 translated, as on every PC */
	rig_out(&rig, 0x60, 0xed);
	EXPECT(0xfa);
	rig_out(&rig, 0x60, 0x05);
	EXPECT(0xfa);
	assert_int_equal(kbd.leds, 5);
	rig_out(&rig, 0x60, 0xf0);
	EXPECT(0xfa);
	rig_out(&rig, 0x60, 0x00);
	EXPECT(0xfa, 0x41); /* set 2, translated */
	rig_out(&rig, 0x60, 0xf0);
	EXPECT(0xfa);
	rig_out(&rig, 0x60, 0x03);
	EXPECT(0xfe);
	rig_out(&rig, 0x60, 0xee);
	EXPECT(0xee);
	rig_out(&rig, 0x60, 0xfe);
	EXPECT(0xee);
	rig_out(&rig, 0x60, 0x12);
	EXPECT(0xfe);
	rig_out(&rig, 0x60, 0xed);
	rig_out(&rig, 0x60, 0xf4); /* a command instead of its byte */
	assert_int_equal(kbd.leds, 5);
}

static void keys_in_both_sets(void **state)
{
	ps2_keyboard_key(&kbd, KEY_A, true);
	ps2_keyboard_key(&kbd, KEY_A, false);
	EXPECT(0x1e, 0x9e);
	ps2_keyboard_key(&kbd, KEY_UP, true);
	ps2_keyboard_key(&kbd, KEY_UP, true); /* repeats */
	ps2_keyboard_key(&kbd, KEY_UP, false);
	ps2_keyboard_key(&kbd, KEY_UP, false);
	EXPECT(0xe0, 0x48, 0xe0, 0x48, 0xe0, 0xc8);
	ps2_keyboard_key(&kbd, KEY_PRINT_SCREEN, true);
	ps2_keyboard_key(&kbd, KEY_PRINT_SCREEN, false);
	EXPECT(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
	ps2_keyboard_key(&kbd, KEY_PAUSE, true);
	ps2_keyboard_key(&kbd, KEY_PAUSE, false);
	EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	ps2_keyboard_key(&kbd, KEY_F1 + 6, true); /* 83 in set 2 */
	EXPECT(0x41);
	set_command_byte(0x03);
	ps2_keyboard_key(&kbd, KEY_F1 + 6, false);
	ps2_keyboard_key(&kbd, KEY_RIGHT_CTRL, true);
	ps2_keyboard_key(&kbd, KEY_RIGHT_CTRL, false);
	EXPECT(0xf0, 0x83, 0xe0, 0x14, 0xe0, 0xf0, 0x14);
	ps2_keyboard_key(&kbd, 0, true);
	ps2_keyboard_key(&kbd, KEY_COUNT, true);
	ps2_keyboard_key(&kbd, UINT32_MAX, true);
	assert_int_equal(next(), -1);
}

/* Set 1 as the Linux and Windows keyboard drivers number the main keys. */
static void set1_is_in_order(void **state)
{
	static const uint8_t keys[] = {
		KEY_ESCAPE, KEY_1, KEY_1 + 1, KEY_1 + 2, KEY_1 + 3, KEY_1 + 4,
		KEY_1 + 5, KEY_1 + 6, KEY_1 + 7, KEY_9, KEY_0, KEY_MINUS,
		KEY_EQUAL, KEY_BACKSPACE, KEY_TAB, 0x14, 0x1a, 0x08, 0x15,
		0x17, 0x1c, 0x18, 0x0c, 0x12, 0x13, KEY_LEFT_BRACKET,
		KEY_RIGHT_BRACKET, KEY_ENTER, KEY_LEFT_CTRL, KEY_A, 0x16, 0x07,
		0x09, 0x0a, 0x0b, 0x0d, 0x0e, 0x0f, KEY_SEMICOLON, KEY_QUOTE,
		KEY_GRAVE, KEY_LEFT_SHIFT, KEY_BACKSLASH, KEY_Z, 0x1b, 0x06,
		0x19, 0x05, 0x11, 0x10, KEY_COMMA, KEY_PERIOD, KEY_SLASH,
		KEY_RIGHT_SHIFT, KEY_KP_MULTIPLY, KEY_LEFT_ALT, KEY_SPACE,
		KEY_CAPS_LOCK, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41,
		0x42, 0x43, KEY_NUM_LOCK, KEY_SCROLL_LOCK, 0x5f, 0x60, 0x61,
		KEY_KP_MINUS, 0x5c, 0x5d, 0x5e, KEY_KP_PLUS, 0x59, 0x5a, 0x5b,
		KEY_KP_0, KEY_KP_PERIOD,
	};

	for (unsigned int i = 0; i < sizeof(keys); i++) {
		ps2_keyboard_key(&kbd, keys[i], true);
		assert_int_equal(next(), i + 1);
		assert_int_equal(next(), -1);
		ps2_keyboard_key(&kbd, keys[i], false);
		assert_int_equal(next(), (i + 1) | 0x80);
	}
}

static void lines(void **state)
{
	ps2_keyboard_key(&kbd, KEY_A, true);
	ps2_keyboard_key(&kbd, KEY_A, false);
	assert_true(rig.level[1]);
	assert_int_equal(rig.rises[1], 1);
	assert_int_equal(rig_in(&rig, 0x64) & 0x21, 0x01);
	rig_in(&rig, 0x60);
	assert_int_equal(rig.rises[1], 2); /* the next byte, a new edge */
	rig_in(&rig, 0x60);
	assert_false(rig.level[1]);
	to_mouse(0xf4);
	assert_true(rig.level[12]);
	assert_false(rig.level[1]);
	assert_int_equal(rig_in(&rig, 0x64) & 0x21, 0x21);
	assert_int_equal(rig_in(&rig, 0x60), 0xfa);
	assert_false(rig.level[12]);
	set_command_byte(0x40); /* no interrupts */
	ps2_keyboard_key(&kbd, KEY_A, true);
	assert_false(rig.level[1]);
	set_command_byte(0x41);
	assert_true(rig.level[1]);
	assert_int_equal(next(), 0x1e);
	rig_out(&rig, 0x64, 0xad); /* held: keys wait */
	ps2_keyboard_key(&kbd, KEY_A, false);
	assert_int_equal(next(), -1);
	rig_out(&rig, 0x64, 0xae);
	assert_int_equal(next(), 0x9e);
}

static void keys_fill_up(void **state)
{
	rig_out(&rig, 0x64, 0xad);
	for (unsigned int i = 0; i < 1000; i++)
		ps2_keyboard_key(&kbd, KEY_UP, i % 2 == 0);
	rig_out(&rig, 0x64, 0xae);
	/* What comes out is whole. */
	for (int byte = next(); byte >= 0; byte = next()) {
		assert_int_equal(byte, 0xe0);
		assert_int_equal(next() & 0x7f, 0x48);
	}
	rig_out(&rig, 0x60, 0xf5); /* off */
	EXPECT(0xfa);
	ps2_keyboard_key(&kbd, KEY_A, true);
	assert_int_equal(next(), -1);
	rig_out(&rig, 0x60, 0xf4);
	EXPECT(0xfa);
}

static void mouse_commands(void **state)
{
	assert_int_equal(ask(0xa9), 0);
	to_mouse(0xff);
	EXPECT(0xfa, 0xaa, 0x00);
	to_mouse(0xe8);
	EXPECT(0xfa);
	to_mouse(0x03);
	EXPECT(0xfa);
	to_mouse(0xe7);
	EXPECT(0xfa);
	to_mouse(0xe9);
	EXPECT(0xfa, 0x10, 0x03, 100);
	to_mouse(0xee);
	EXPECT(0xfa);
	to_mouse(0xe9); /* wrap: comes back */
	EXPECT(0xe9);
	to_mouse(0xec);
	EXPECT(0xfa);
	to_mouse(0x00);
	EXPECT(0xfe);
	to_mouse(0xeb);
	EXPECT(0xfa, 0x08, 0, 0);
}

static void set_rates(uint8_t a, uint8_t b, uint8_t c)
{
	const uint8_t rate[3] = { a, b, c };

	for (unsigned int i = 0; i < 3; i++) {
		to_mouse(0xf3);
		EXPECT(0xfa);
		to_mouse(rate[i]);
		EXPECT(0xfa);
	}
}

static void mouse_moves(void **state)
{
	ps2_mouse_move(&mouse, 5, 5, 0, PS2_MOUSE_LEFT);
	assert_int_equal(next(), -1); /* not enabled */
	to_mouse(0xf4);
	EXPECT(0xfa);
	ps2_mouse_move(&mouse, 5, -7, 3, PS2_MOUSE_LEFT);
	EXPECT(0x09, 5, 7);
	ps2_mouse_move(&mouse, -300, 1, 0, 0);
	EXPECT(0x38, 0x01, 0xff, 0x18, 0xd3, 0x00);
	set_rates(200, 100, 80);
	to_mouse(0xf2);
	EXPECT(0xfa, 3);
	ps2_mouse_move(&mouse, 0, 0, -2, PS2_MOUSE_SIDE);
	EXPECT(0x08, 0, 0, 0xfe);
	set_rates(200, 200, 80);
	to_mouse(0xf2);
	EXPECT(0xfa, 4);
	ps2_mouse_move(&mouse, 0, 0, 1, PS2_MOUSE_SIDE | PS2_MOUSE_EXTRA);
	EXPECT(0x08, 0, 0, 0x31);
	to_mouse(0xf5);
	EXPECT(0xfa);
}

/* Movement that nobody takes is kept in bounds and comes later. */
static void mouse_backlog(void **state)
{
	int x = 0, packets = 0, byte;

	to_mouse(0xf4);
	EXPECT(0xfa);
	for (unsigned int i = 0; i < 100; i++)
		ps2_mouse_move(&mouse, INT32_MAX, INT32_MIN, INT32_MAX, 0);
	while ((byte = next()) >= 0) {
		assert_int_equal(byte & 0xf8, 0x08);
		x += next();
		next();
		packets++;
	}
	assert_in_range(x, 4096, 8192);
	assert_in_range(packets, 17, 40);
}

static void hostile(void **state)
{
	uint64_t seed = 7;

	for (unsigned int i = 0; i < 3000; i++) {
		rig_fuzz(&rig, &rig.vm.pio, 0x60, 5, 8);
		ps2_keyboard_key(&kbd, rig_random(&seed) % 300,
				 rig_random(&seed) & 1);
		ps2_mouse_move(&mouse, (int)rig_random(&seed),
			       (int)rig_random(&seed), (int)rig_random(&seed),
			       rig_random(&seed));
	}
}

static void make_valid_keyboard(void *object)
{
	struct ps2_keyboard *k = object;

	k->queue.head %= PS2_QUEUE_SIZE;
	k->queue.count %= PS2_QUEUE_SIZE + 1;
}

static void make_valid_mouse(void *object)
{
	struct ps2_mouse *m = object;

	m->queue.head %= PS2_QUEUE_SIZE;
	m->queue.count %= PS2_QUEUE_SIZE + 1;
	m->x %= 4096;
	m->y %= 4096;
	m->wheel %= 4096;
}

static void round_trip(void **state)
{
	roundtrip_check(i8042_class.state, &ctl, NULL);
	roundtrip_check(ps2_keyboard_class.state, &kbd, make_valid_keyboard);
	roundtrip_check(ps2_mouse_class.state, &mouse, make_valid_mouse);
}

static void restore(void)
{
	const struct state_item items[] = {
		{ i8042_class.state, &ctl, 0 },
		{ ps2_keyboard_class.state, &kbd, 0 },
		{ ps2_mouse_class.state, &mouse, 0 },
	};

	rig_restore(&rig, items, 3, connected);
}

/* The command has come, its byte not yet. */
static void commands_go_on(void **state)
{
	rig_out(&rig, 0x64, 0x60);
	restore();
	assert_int_equal(rig_in(&rig, 0x64) & 0x09, 0x08);
	rig_out(&rig, 0x60, 0x47);
	assert_int_equal(ask(0x20), 0x47);
	rig_out(&rig, 0x64, 0xd4);
	restore();
	rig_out(&rig, 0x60, 0xf2);
	EXPECT(0xfa, 0x00); /* the mouse's answer, not the keyboard's */
	rig_out(&rig, 0x60, 0xed);
	EXPECT(0xfa);
	restore();
	rig_out(&rig, 0x60, 0x05);
	EXPECT(0xfa);
	assert_int_equal(kbd.leds, 5);
	rig_out(&rig, 0x64, 0xd1);
	restore();
	rig_out(&rig, 0x60, 0xde);
	assert_true(was_reset());
}

static void keys_go_on(void **state)
{
	ps2_keyboard_key(&kbd, KEY_UP, true);
	assert_int_equal(next(), 0xe0);
	restore();
	assert_int_equal(rig.rises[1] + rig.falls[1], 0);
	assert_true(rig.level[1]);
	EXPECT(0x48);
	assert_false(rig.level[1]);
	restore();
	ps2_keyboard_key(&kbd, KEY_UP, false); /* was held all the time */
	assert_int_equal(next(), 0xe0);
	restore();
	EXPECT(0xc8);
	ps2_keyboard_key(&kbd, KEY_PAUSE, true);
	assert_int_equal(next(), 0xe1);
	restore();
	EXPECT(0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	set_command_byte(0x03); /* untranslated: F0 alone */
	ps2_keyboard_key(&kbd, KEY_A, true);
	ps2_keyboard_key(&kbd, KEY_A, false);
	assert_int_equal(next(), 0x1c);
	assert_int_equal(next(), 0xf0);
	restore();
	EXPECT(0x1c);
	rig_out(&rig, 0x64, 0xad); /* the clock is held */
	ps2_keyboard_key(&kbd, KEY_A, true);
	restore();
	assert_int_equal(next(), -1);
	rig_out(&rig, 0x64, 0xae);
	assert_int_equal(rig.rises[1], 1);
	EXPECT(0x1c);
}

static void mouse_goes_on(void **state)
{
	int x = 0, byte;

	set_rates(200, 100, 60);
	to_mouse(0xf3);
	EXPECT(0xfa);
	restore();
	to_mouse(200);
	EXPECT(0xfa);
	to_mouse(0xf3);
	EXPECT(0xfa);
	to_mouse(100);
	EXPECT(0xfa);
	restore(); /* two of three rates that ask for the wheel */
	to_mouse(0xf3);
	EXPECT(0xfa);
	to_mouse(80);
	EXPECT(0xfa);
	to_mouse(0xf4);
	EXPECT(0xfa);
	ps2_mouse_move(&mouse, 5, -7, 3, PS2_MOUSE_LEFT);
	assert_int_equal(next(), 0x09);
	assert_int_equal(next(), 5);
	restore();
	assert_int_equal(rig.rises[12] + rig.falls[12], 0);
	assert_true(rig.level[12]);
	EXPECT(7, 3);
	assert_false(rig.level[12]);
	assert_int_equal(rig.rises[12], 1);
	/* More movement than the queue takes. */
	ps2_mouse_move(&mouse, 4000, 0, 0, PS2_MOUSE_LEFT);
	assert_int_equal(next(), 0x09);
	restore();
	do {
		x += next();
		assert_int_equal(next(), 0);
		assert_int_equal(next(), 0);
		byte = next();
	} while (byte == 0x09);
	assert_int_equal(byte, -1);
	assert_int_equal(x, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(resets, bare),
		cmocka_unit_test_setup(answers_commands, bare),
		cmocka_unit_test_setup(nobody_is_there, bare),
		cmocka_unit_test_setup(keyboard_commands, connected),
		cmocka_unit_test_setup(keys_in_both_sets, connected),
		cmocka_unit_test_setup(set1_is_in_order, connected),
		cmocka_unit_test_setup(lines, connected),
		cmocka_unit_test_setup(keys_fill_up, connected),
		cmocka_unit_test_setup(mouse_commands, connected),
		cmocka_unit_test_setup(mouse_moves, connected),
		cmocka_unit_test_setup(mouse_backlog, connected),
		cmocka_unit_test_setup(hostile, connected),
		cmocka_unit_test_setup(round_trip, connected),
		cmocka_unit_test_setup(commands_go_on, connected),
		cmocka_unit_test_setup(keys_go_on, connected),
		cmocka_unit_test_setup(mouse_goes_on, connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
