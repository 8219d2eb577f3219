/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that mere chance would not draw so that they work: control
 * words, divisions that do not fault, small moves of a pointer.
 */
#include "test_rewrite_draw.h"

#include "x86/reg.h"

void draw_maybe_other_size(struct code *c)
{
	c->length = 0;
	if (random_below(6) == 0)
		draw_put(c, 0x66);
}

/* Loads and stores of MXCSR and FCW: random operands would mostly fault. */
void draw_control(struct drawing *d)
{
	static const struct {
		uint8_t bytes[2], length, reg, at;
	} kinds[] = {
		{ { 0x0f, 0xae }, 2, 2, 0 }, /* ldmxcsr */
		{ { 0x0f, 0xae }, 2, 3, 0 }, /* stmxcsr */
		{ { 0xd9 }, 1, 5, 64 },	     /* fldcw */
		{ { 0xd9 }, 1, 7, 64 },	     /* fnstcw */
	};
	unsigned int which = random_below(4), i = random_below(16);
	uint32_t at = REWRITE_CONTROL + kinds[which].at + i * 4;
	struct code c = { .length = 0 };

	draw_put_value(&c, kinds[which].bytes[0] | kinds[which].bytes[1] << 8,
		       kinds[which].length);
	if (d->p->bits == 64) {
		draw_put(&c, 4 | kinds[which].reg << 3);
		draw_put(&c, 0x25);
		draw_put_value(&c, at, 4);
	} else {
		draw_put_offset(d, &c, kinds[which].reg, at);
	}
	draw_add_piece(d, &c);
}

/* Adds a constant to the favourite: ADD, SUB, INC, DEC, LEA; or moves the
 * stack pointer. */
void draw_favourite_move(struct drawing *d)
{
	unsigned int r = d->favourite, kind = random_below(5);
	bool wide = d->p->bits == 64;
	struct code c = { .length = 0 };

	if (wide && kind)
		draw_put(&c, 0x48 | (kind == 2 ? (r >> 3) * 5 : r >> 3));
	if (kind == 0) { /* push, pop */
		r = random_below(wide ? 16 : 8);
		if (r >= 8)
			draw_put(&c, 0x41);
		draw_put(&c, 0x50 | random_below(2) << 3 | (r & 7));
	} else if (kind == 1 && wide) {
		draw_put(&c, 0xff);
		draw_put(&c, 0xc0 | random_below(2) << 3 | (r & 7));
	} else if (kind == 1) {
		draw_put(&c, 0x40 | random_below(2) << 3 | r);
	} else if (kind == 2 && d->p->bits >= 32) {
		draw_put(&c, 0x8d);
		draw_put(&c, 0x40 | (r & 7) * 9);
		if ((r & 7) == 4)
			draw_put(&c, 0x24);
		draw_put(&c, random_below(64) - 32);
	} else {
		draw_put(&c, 0x83);
		draw_put(&c, 0xc0 | (random_below(2) ? 0x28 : 0) | (r & 7));
		draw_put(&c, random_below(64) - 32);
	}
	draw_add_piece(d, &c);
}

static void add_narrow_division(struct drawing *d)
{
	static const uint16_t high[] = { 0xd231, 0xe430, 0xd229 };
	struct code c;

	draw_add_bytes(d, high[random_below(3)], 2);
	/* F6 or F7, DIV or IDIV */
	draw_maybe_other_size(&c);
	draw_put(&c, 0xf6 + random_below(2));
	draw_put(&c, 0xf0 | random_below(16));
	draw_add_piece(d, &c);
}

/* A dividend that seldom makes DIV or IDIV of 32 or 64 bits fault. */
static void add_division(struct drawing *d)
{
	static const struct {
		uint32_t bytes;
		unsigned int count;
	} high[] = {
		{ 0xd231, 2 }, /* xor edx, edx */
		{ 0x99, 1 }, /* cdq */
		{ 0x9948, 2 }, /* cqo */
		{ 0x3fe2c148, 4 }, /* shl rdx, 63 */
		{ 0x3eeac148, 4 }, /* shr rdx, 62 */
	};
	unsigned int which = random_below(5), rm = random_below(16);
	unsigned int op = 6 + random_below(2);

	draw_add_bytes(d, high[which].bytes, high[which].count);
	if (random_below(3)) {
		draw_add_bytes(d, 0xc0f740 | random_below(2) << 3 | rm >> 3 |
				     op << 19 | (rm & 7) << 16, 3);
	} else { /* at a pointer, plus a byte */
		do
			rm = draw_pointer(d);
		while ((rm & 7) == 4);
		draw_add_bytes(d, 0x40f740 | random_below(2) << 3 | rm >> 3 |
				     op << 19 | (rm & 7) << 16 |
				     random_below(0x80) << 24, 4);
	}
}

void draw_division(struct drawing *d)
{
	if ((d->precious & (1u << X86_RAX | 1u << X86_RDX)) && random_below(8))
		return;
	if (d->p->bits == 64)
		add_division(d);
	else
		add_narrow_division(d);
}
