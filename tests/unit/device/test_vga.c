/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VGA: memory modes, text and graphics pictures, the Bochs interface.
 */
#include "device/vga.h"

#include <stdlib.h>
#include <string.h>

#include "fake/host.h"
#include "fake/roundtrip.h"
#include "fake/test.h"

static struct vm vm;
static struct vga vga;

static int setup(void **state)
{
	fake_host_reset();
	memset(&vm, 0, sizeof(vm));
	vm_init(&vm, "vga");
	clock_start(&vm.clock);
	assert_int_equal(memory_init(&vm.memory, 1 << 20, 0), 0);
	assert_int_equal(vga_init(&vga, &vm), 0);
	return 0;
}

static int teardown(void **state)
{
	vga_class.fini(&vga);
	memory_fini(&vm.memory);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static void out(uint16_t port, uint8_t value)
{
	bus_write(&vm.pio, port, 1, value);
}

static uint8_t in(uint16_t port)
{
	return (uint8_t)bus_read(&vm.pio, port, 1);
}

static void set(uint16_t port, uint8_t index, uint8_t value)
{
	bus_write(&vm.pio, port, 2, value << 8 | index);
}

static void set_attribute(uint8_t index, uint8_t value)
{
	in(0x3da);
	out(0x3c0, index);
	out(0x3c0, value);
}

static void poke(uint32_t at, uint8_t value)
{
	bus_write(&vm.mmio, at, 1, value);
}

static uint8_t peek(uint32_t at)
{
	return (uint8_t)bus_read(&vm.mmio, at, 1);
}

/* Colour n of the DAC is (n, 2n, 3n) in six bits. */
static void set_colours(void)
{
	out(0x3c8, 0);
	for (unsigned int n = 0; n < 256; n++) {
		out(0x3c9, (uint8_t)(n & 63));
		out(0x3c9, (uint8_t)(2 * n & 63));
		out(0x3c9, (uint8_t)(3 * n & 63));
	}
	for (uint8_t i = 0; i < 16; i++)
		set_attribute(i, i);
	set_attribute(18, 15);
}

static unsigned int wide(unsigned int six)
{
	return (six & 63) << 2 | (six & 63) >> 4;
}

static uint32_t colour(unsigned int n)
{
	return wide(n) << 16 | wide(2 * n) << 8 | wide(3 * n);
}

static void screen_on(void)
{
	in(0x3da);
	out(0x3c0, 0x20);
}

/* 80 x 25 characters of 8 x 16. */
static void text_mode(void)
{
	set_colours();
	out(0x3c2, 0x67);
	set(0x3c4, 1, 0x01);
	set(0x3c4, 2, 0x03);
	set(0x3c4, 4, 0x02);
	set(0x3d4, 17, 0x0e);
	set(0x3d4, 1, 79);
	set(0x3d4, 7, 0x1f);
	set(0x3d4, 9, 0x4f);
	set(0x3d4, 10, 0x20);
	set(0x3d4, 18, 0x8f);
	set(0x3d4, 19, 40);
	set(0x3d4, 23, 0xa3);
	set(0x3ce, 5, 0x10);
	set(0x3ce, 6, 0x0e);
	set(0x3ce, 8, 0xff);
	screen_on();
}

/* One glyph: a row of the font a byte. */
static void set_glyph(uint8_t code, const uint8_t rows[16])
{
	set(0x3c4, 2, 0x04);
	set(0x3c4, 4, 0x06);
	set(0x3ce, 5, 0x00);
	set(0x3ce, 6, 0x04);
	for (unsigned int i = 0; i < 16; i++)
		poke(0xa0000 + code * 32u + i, rows[i]);
	set(0x3c4, 2, 0x03);
	set(0x3c4, 4, 0x02);
	set(0x3ce, 5, 0x10);
	set(0x3ce, 6, 0x0e);
}

/* Rows that the last draw() found changed. */
struct rows {
	uint32_t first, count;
};

static const struct frame *draw(struct rows *rows)
{
	uint64_t seen = vga.frame.serial;
	const struct frame *frame = vga_draw(&vga);

	assert_non_null(frame);
	if (!rows)
		return frame;
	*rows = (struct rows){ 0 };
	for (uint32_t y = 0; y < frame->height; y++)
		if (frame->changed[y] > seen && !rows->count++)
			rows->first = y;
	return frame;
}

static void text(void **state)
{
	static const uint8_t rows[16] = { 0x81, 0x42, [15] = 0xff };
	static const uint8_t blank[16];
	const struct frame *f;
	struct rows changed;

	text_mode();
	set_glyph('A', rows);
	poke(0xb8000 + 2 * 81, 'A');
	poke(0xb8000 + 2 * 81 + 1, 0x1e);
	assert_int_equal(peek(0xb8000 + 2 * 81), 'A');
	f = draw(&changed);
	assert_int_equal(f->width, 640);
	assert_int_equal(f->height, 400);
	assert_int_equal(changed.count, 400);
	for (unsigned int x = 0; x < 8; x++) {
		const uint32_t *p = f->pixels + 16 * 640 + 8 + x;

		assert_int_equal(p[0], colour(0x81 >> (7 - x) & 1 ? 14 : 1));
		assert_int_equal(p[640], colour(0x42 >> (7 - x) & 1 ? 14 : 1));
		assert_int_equal(p[640 * 15], colour(14));
	}
	draw(&changed);
	assert_int_equal(changed.count, 0); /* nothing is new */
	poke(0xb8000, 'A');
	draw(&changed);
	assert_int_equal(changed.first, 0);
	assert_int_equal(changed.count, 16); /* its row alone */
	set_glyph('A', blank);
	f = draw(&changed);
	assert_int_equal(changed.count, 400);
	assert_int_equal(f->pixels[16 * 640 + 8], colour(1));
}

/* What it reads as, wherever the CRT controller begins. */
static void words(void **state)
{
	static struct frame_text shown;

	vga_text(&vga, &shown);
	assert_int_equal(shown.columns, 0); /* dark */
	text_mode();
	poke(0xb8000 + 2 * (3 * 80 + 79), 'Z');
	vga_text(&vga, &shown);
	assert_int_equal(shown.columns, 80);
	assert_int_equal(shown.rows, 25);
	assert_int_equal(shown.code[3 * 80 + 79], 'Z');
	set(0x3d4, 13, 80); /* a row further down */
	vga_text(&vga, &shown);
	assert_int_equal(shown.code[2 * 80 + 79], 'Z');
	set(0x3d4, 9, 0); /* rows of one line: more than are shown */
	vga_text(&vga, &shown);
	assert_true(shown.rows * shown.columns <= FRAME_CELLS);
	set(0x3ce, 6, 0x05);
	vga_text(&vga, &shown);
	assert_int_equal(shown.columns, 0); /* graphics */
}

static void cursor(void **state)
{
	const struct frame *f;
	struct rows changed;

	text_mode();
	set(0x3d4, 10, 14);
	set(0x3d4, 11, 15);
	set(0x3d4, 15, 3);
	poke(0xb8001 + 2 * 3, 0x0f);
	f = draw(NULL);
	assert_int_equal(f->pixels[13 * 640 + 3 * 8], colour(0));
	assert_int_equal(f->pixels[14 * 640 + 3 * 8], colour(15));
	fake_time_advance(266000000);
	f = draw(&changed);
	assert_int_equal(changed.count, 16);
	assert_int_equal(f->pixels[14 * 640 + 3 * 8], colour(0));
	fake_time_advance(266000000);
	set(0x3d4, 15, 80 + 3); /* down a row */
	f = draw(&changed);
	assert_int_equal(changed.first, 16);
	assert_int_equal(changed.count, 16);
	assert_int_equal(f->pixels[14 * 640 + 3 * 8], colour(0));
	set(0x3d4, 10, 0x2e); /* off */
	draw(NULL);
	fake_time_advance(266000000);
	draw(&changed);
	assert_int_equal(changed.count, 0);
}

/* 640 x 480, four planes. */
static void planar(void **state)
{
	const struct frame *f;

	set_colours();
	out(0x3c2, 0xe3);
	set(0x3c4, 1, 0x01);
	set(0x3c4, 2, 0x0f);
	set(0x3c4, 4, 0x06);
	set(0x3d4, 1, 79);
	set(0x3d4, 7, 0x3e);
	set(0x3d4, 9, 0x40);
	set(0x3d4, 18, 0xdf);
	set(0x3d4, 19, 40);
	set(0x3d4, 23, 0xe3);
	set(0x3ce, 6, 0x05);
	set(0x3ce, 8, 0xff);
	set_attribute(16, 1);
	screen_on();
	/* Set/reset, one bit of eight: a pixel of colour 11 at (3, 2). */
	set(0x3ce, 0, 11);
	set(0x3ce, 1, 15);
	set(0x3ce, 8, 0x10);
	peek(0xa0000 + 160);
	poke(0xa0000 + 160, 0);
	f = draw(NULL);
	assert_int_equal(f->width, 640);
	assert_int_equal(f->height, 480);
	assert_int_equal(f->pixels[2 * 640 + 3], colour(11));
	assert_int_equal(f->pixels[2 * 640 + 4], colour(0));
	/* Read mode 0: a plane; mode 1: where the colour is. */
	set(0x3ce, 4, 3);
	assert_int_equal(peek(0xa0000 + 160), 0x10);
	set(0x3ce, 4, 2);
	assert_int_equal(peek(0xa0000 + 160), 0x00);
	set(0x3ce, 5, 0x08);
	set(0x3ce, 2, 11);
	set(0x3ce, 7, 15);
	assert_int_equal(peek(0xa0000 + 160), 0x10);
	/* Write mode 1 copies by the latches, mode 2 takes a colour. */
	set(0x3ce, 5, 0x01);
	poke(0xa0000 + 161, 0);
	assert_int_equal(draw(NULL)->pixels[2 * 640 + 11], colour(11));
	set(0x3ce, 1, 0);
	set(0x3ce, 5, 0x02);
	set(0x3ce, 8, 0xff);
	peek(0xa0000);
	poke(0xa0000, 5);
	assert_int_equal(draw(NULL)->pixels[7], colour(5));
	/* XOR with rotation, write mode 0. */
	set(0x3ce, 5, 0x00);
	set(0x3ce, 3, 0x18 | 4);
	peek(0xa0000);
	poke(0xa0000, 0x0f); /* rotated: f0 in all planes, over 5 */
	assert_int_equal(draw(NULL)->pixels[0], colour(10));
	assert_int_equal(draw(NULL)->pixels[4], colour(5));
}

static uint8_t *window_memory(uint32_t at)
{
	return memory_for_write(&vm.memory, gpa(at), 1);
}

/* 320 x 200, a byte a pixel, and its unchained form. */
static void bytes(void **state)
{
	const struct frame *f;

	set_colours();
	out(0x3c2, 0x63);
	set(0x3c4, 1, 0x01);
	set(0x3c4, 2, 0x0f);
	set(0x3c4, 4, 0x0e);
	set(0x3d4, 1, 79);
	set(0x3d4, 7, 0x1f);
	set(0x3d4, 9, 0x41);
	set(0x3d4, 18, 0x8f);
	set(0x3d4, 19, 40);
	set(0x3d4, 23, 0xa3);
	set(0x3ce, 5, 0x40);
	set(0x3ce, 6, 0x05);
	set(0x3ce, 8, 0xff);
	screen_on();
	poke(0xa0000 + 320 * 7 + 5, 99);
	/* A chain of all planes is memory as it lies. */
	assert_int_equal(*window_memory(0xa0000 + 320 * 7 + 5), 99);
	assert_null(window_memory(0xb0000));
	*window_memory(0xa0000 + 3) = 98;
	f = draw(NULL);
	assert_int_equal(f->pixels[3], colour(98));
	assert_int_equal(f->width, 320);
	assert_int_equal(f->height, 200);
	assert_int_equal(f->pixels[320 * 7 + 5], colour(99));
	set(0x3c4, 4, 0x06);
	assert_null(window_memory(0xa0000));
	set(0x3c4, 2, 0x02); /* plane 1: pixels 1, 5, 9 .. */
	poke(0xa0000 + 80, 42);
	assert_int_equal(draw(NULL)->pixels[320 + 1], colour(42));
}

static void put_dispi(uint16_t index, uint16_t value)
{
	bus_write(&vm.pio, 0x1ce, 2, index);
	bus_write(&vm.pio, 0x1cf, 2, value);
}

static uint16_t get_dispi(uint16_t index)
{
	bus_write(&vm.pio, 0x1ce, 2, index);
	return (uint16_t)bus_read(&vm.pio, 0x1cf, 2);
}

static void linear(void **state)
{
	static const uint16_t depths[] = { 8, 15, 16, 24, 32 };
	struct rows changed;
	const struct frame *f;

	set_colours();
	assert_int_equal(get_dispi(DISPI_ID), 0xb0c5);
	assert_int_equal(get_dispi(DISPI_MEMORY), 256);
	for (unsigned int i = 0; i < 5; i++) {
		put_dispi(DISPI_ENABLE, 0);
		put_dispi(DISPI_X, 800);
		put_dispi(DISPI_Y, 600);
		put_dispi(DISPI_DEPTH, depths[i]);
		put_dispi(DISPI_ENABLE, 0x41);
		f = draw(NULL);
		assert_int_equal(f->width, 800);
		assert_int_equal(f->height, 600);
	}
	poke(0xa0000 + 4 * 3, 0x33); /* through the bank */
	poke(0xa0001 + 4 * 3, 0x22);
	poke(0xa0002 + 4 * 3, 0x11);
	f = draw(&changed);
	assert_int_equal(f->pixels[3], 0x112233);
	assert_int_equal(changed.first, 0);
	assert_true(changed.count < 4);
	put_dispi(DISPI_BANK, 29); /* 1900544: line 593, pixel 736 */
	assert_ptr_equal(window_memory(0xa0000), vga.memory + 29 * 65536);
	*window_memory(0xa0000) = 0xff;
	f = draw(&changed);
	assert_int_equal(f->pixels[29 * 65536 / 4], 0xff);
	put_dispi(DISPI_VIRTUAL_X, 1000);
	put_dispi(DISPI_OFFSET_Y, 1);
	assert_int_equal(get_dispi(DISPI_VIRTUAL_Y), 4194);
	draw(NULL);
	/* Modes that do not exist or do not fit stay off. */
	put_dispi(DISPI_ENABLE, 0);
	put_dispi(DISPI_X, 5000);
	assert_int_equal(get_dispi(DISPI_X), 800);
	put_dispi(DISPI_X, 4096);
	put_dispi(DISPI_Y, 2400);
	put_dispi(DISPI_ENABLE, 0x41);
	assert_int_equal(get_dispi(DISPI_ENABLE), 0);
	put_dispi(DISPI_DEPTH, 7);
	assert_int_equal(get_dispi(DISPI_DEPTH), 32);
}

static void protects_crtc(void **state)
{
	out(0x3c2, 0x67);
	set(0x3d4, 17, 0x80);
	set(0x3d4, 1, 33);
	set(0x3d4, 7, 0xff);
	out(0x3d4, 1);
	assert_int_equal(in(0x3d5), 0);
	out(0x3d4, 7);
	assert_int_equal(in(0x3d5), 0x10);
	out(0x3c2, 0x66); /* to the monochrome ports */
	assert_int_equal(in(0x3d5), 0xff);
	assert_int_equal(in(0x3b5), 0x10);
}

static void hostile(void **state)
{
	uint64_t seed = 3;

	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t value;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		value = seed >> 33;
		switch (seed >> 60 & 3) {
		case 0:
			bus_write(&vm.pio, 0x3b0 + value % 0x30,
				  1u << (value >> 8 & 1), value >> 10);
			break;
		case 1:
			put_dispi(value % 12, (uint16_t)(value >> 8));
			break;
		case 2:
			bus_write(&vm.mmio, 0xa0000 + value % 0x20000, 8,
				  seed);
			break;
		default:
			bus_read(&vm.mmio, 0xa0000 + value % 0x20000, 8);
			bus_read(&vm.pio, 0x3b0 + value % 0x30, 1);
			break;
		}
		if (i % 1000 == 0) {
			fake_time_advance(1000000);
			draw(NULL);
		}
	}
}

static void make_valid(void *object)
{
	struct vga *v = object;

	v->dac_part %= 3;
	v->sequencer_index &= 7;
	v->graphics_index &= 15;
	v->attribute_index &= 0x3f;
	v->crtc_index &= 0x3f;
	v->dispi[DISPI_X] %= 4097;
	v->dispi[DISPI_Y] %= 2401;
	v->dispi[DISPI_BANK] %= 256;
	v->dispi[DISPI_ENABLE] &= 0xfffe;
}

static void round_trip(void **state)
{
	roundtrip_check(vga_class.state, &vga, make_valid);
}

/* Into a new machine, whose display memory gets what this one's held. */
static void restore(void **state)
{
	const struct state_item item = { vga_class.state, &vga, 0 };
	struct state_buffer stream = { 0 };
	struct state_error error = { "" };
	uint8_t *memory = malloc(VGA_MEMORY_SIZE), *copy;
	size_t size;

	assert_int_equal(state_save(&item, 1, &stream), 0);
	size = stream.size;
	copy = malloc(size);
	assert_non_null(memory);
	assert_non_null(copy);
	memcpy(memory, vga.memory, VGA_MEMORY_SIZE);
	memcpy(copy, stream.data, size);
	host_free(stream.data);
	teardown(state);
	setup(state);
	memcpy(vga.memory, memory, VGA_MEMORY_SIZE);
	if (state_load(&item, 1, copy, size, &vm.clock, &error))
		fail_msg("refused: %s", error.text);
	free(copy);
	free(memory);
}

static void attribute_goes_on(void **state)
{
	in(0x3da);
	out(0x3c0, 5);
	restore(state);
	out(0x3c0, 0x2a); /* the data */
	assert_int_equal(in(0x3c1), 0x2a);
	restore(state);
	out(0x3c0, 6); /* an index again */
	out(0x3c0, 0x15);
	assert_int_equal(in(0x3c1), 0x15);
	out(0x3c0, 5);
	restore(state);
	in(0x3da); /* given up: next is an index */
	out(0x3c0, 5);
	assert_int_equal(in(0x3c1), 0x2a);
}

static void palette_goes_on(void **state)
{
	out(0x3c8, 7);
	out(0x3c9, 1);
	restore(state);
	out(0x3c9, 2);
	restore(state);
	out(0x3c9, 3);
	out(0x3c9, 4); /* colour 8 */
	out(0x3c9, 5);
	out(0x3c9, 6);
	assert_int_equal(in(0x3c8), 9);
	out(0x3c7, 7);
	assert_int_equal(in(0x3c9), 1);
	restore(state);
	assert_int_equal(in(0x3c7), 3);
	assert_int_equal(in(0x3c9), 2);
	assert_int_equal(in(0x3c9), 3);
	assert_int_equal(in(0x3c9), 4);
	restore(state);
	assert_int_equal(in(0x3c9), 5);
	assert_int_equal(in(0x3c9), 6);
}

/* Indexes were written, their data not; the latches were filled. */
static void indexes_go_on(void **state)
{
	out(0x3c2, 0x63);
	out(0x3c4, 2);
	out(0x3ce, 8);
	out(0x3d4, 19);
	bus_write(&vm.pio, 0x1ce, 2, DISPI_X);
	restore(state);
	out(0x3c5, 0x0f);
	out(0x3cf, 0x10);
	out(0x3d5, 40);
	bus_write(&vm.pio, 0x1cf, 2, 800);
	out(0x3c4, 2);
	assert_int_equal(in(0x3c5), 0x0f);
	out(0x3ce, 8);
	assert_int_equal(in(0x3cf), 0x10);
	out(0x3d4, 19);
	assert_int_equal(in(0x3d5), 40);
	assert_int_equal(get_dispi(DISPI_X), 800);

	set(0x3c4, 4, 0x06);
	set(0x3ce, 6, 0x05);
	set(0x3ce, 0, 11);
	set(0x3ce, 1, 15);
	poke(0xa0000, 0);
	peek(0xa0000);
	set(0x3ce, 5, 0x01);
	restore(state);
	poke(0xa0001, 0); /* what the latches hold */
	set(0x3ce, 4, 3);
	assert_int_equal(peek(0xa0001), 0x10);
	set(0x3ce, 4, 2);
	assert_int_equal(peek(0xa0001), 0x00);
}

static void bank_goes_on(void **state)
{
	put_dispi(DISPI_X, 800);
	put_dispi(DISPI_Y, 600);
	put_dispi(DISPI_DEPTH, 32);
	put_dispi(DISPI_ENABLE, 0x41);
	put_dispi(DISPI_BANK, 29);
	*window_memory(0xa0000) = 0xff;
	restore(state);
	assert_ptr_equal(window_memory(0xa0000), vga.memory + 29 * 65536);
	assert_int_equal(draw(NULL)->width, 800);
	assert_int_equal(draw(NULL)->pixels[29 * 65536 / 4], 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(text, setup, teardown),
		cmocka_unit_test_setup_teardown(words, setup, teardown),
		cmocka_unit_test_setup_teardown(cursor, setup, teardown),
		cmocka_unit_test_setup_teardown(planar, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(linear, setup, teardown),
		cmocka_unit_test_setup_teardown(protects_crtc, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(attribute_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(palette_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(indexes_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(bank_goes_on, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
