/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops over memory as programs have them: a few operands at pointers, with
 * or without an index, all of which move by constants; a way out in the
 * middle; many turns or few. Pointers begin anywhere in the data, so some
 * loops run into the next page, a device, a page that may not be written, or
 * none.
 */
#include "test_rewrite_draw.h"

#include "x86/reg.h"

struct stream {
	uint8_t pointer[2];
	uint8_t index; /* X86_RSP: none */
	uint8_t scale;
	int8_t step;
};

/* ModRM, SIB and displacement of an operand near one of the pointers. */
static void put_operand(const struct stream *s, struct code *c,
			unsigned int reg, unsigned int pointer)
{
	draw_put(c, 0x44 | (reg & 7) << 3);
	draw_put(c, (unsigned int)s->scale << 6 | (s->index & 7u) << 3 |
			    (pointer & 7));
	draw_put(c, random_below(48) - 16);
}

static unsigned int rex(const struct stream *s, unsigned int reg,
			unsigned int pointer)
{
	return 0x40 | reg >> 3 << 2 | (s->index >> 3) << 1 | pointer >> 3;
}

/* One that is not an address here. */
static unsigned int draw_value(const struct drawing *d, const struct stream *s)
{
	unsigned int r;

	do
		r = draw_register(d);
	while (r == s->pointer[0] || r == s->pointer[1] || r == s->index ||
	       r == X86_RSP);
	return r;
}

static void add_vector(struct drawing *d, const struct stream *s)
{
	static const uint16_t opcodes[] = { 0x6f0f, 0x7f0f, 0x280f, 0x290f,
					    0x100f, 0x110f };
	unsigned int which = random_below(6), xmm = random_below(16);
	unsigned int pointer = s->pointer[random_below(2)];
	struct code c = { .length = 0 };

	if (which < 2)
		draw_put(&c, random_below(2) ? 0xf3 : 0x66);
	draw_put(&c, rex(s, xmm, pointer));
	draw_put_value(&c, opcodes[which], 2);
	put_operand(s, &c, xmm, pointer);
	draw_add_piece(d, &c);
}

/* MOV, ADD, ADC, XOR, CMP, XCHG, to memory or from it. */
static void add_access(struct drawing *d, const struct stream *s)
{
	static const uint8_t opcodes[] = { 0x8b, 0x89, 0x8a, 0x88, 0x8b, 0x89,
					   0x03, 0x01, 0x33, 0x31, 0x3b, 0x39,
					   0x38, 0x87, 0x13, 0x11 };
	bool carry = !(draw_undefined_now(d) & X86_FLAG_CF);
	unsigned int pointer = s->pointer[random_below(2)];
	unsigned int reg = draw_value(d, s);
	struct code c = { .length = 0 };

	if (random_below(4) == 0) {
		add_vector(d, s);
		return;
	}
	draw_put(&c, rex(s, reg, pointer) | random_below(2) << 3);
	draw_put(&c, opcodes[random_below(carry ? 16 : 14)]);
	put_operand(s, &c, reg, pointer);
	draw_add_piece(d, &c);
}

/* ADD, SUB, LEA, INC. */
static void add_step(struct drawing *d, const struct stream *s, unsigned int r)
{
	struct code c = { .length = 0 };

	switch (random_below(4)) {
	case 0:
		draw_put(&c, 0x48 | r >> 3);
		draw_put(&c, 0xff);
		draw_put(&c, 0xc0 | (r & 7));
		break;
	case 1:
		draw_put(&c, 0x48 | (r >> 3) * 5);
		draw_put(&c, 0x8d);
		draw_put(&c, 0x40 | (r & 7) * 9);
		if ((r & 7) == 4)
			draw_put(&c, 0x24);
		draw_put(&c, (uint8_t)s->step);
		break;
	default:
		draw_put(&c, 0x48 | r >> 3);
		draw_put(&c, 0x83);
		draw_put(&c, 0xc0 | (random_below(3) ? 0 : 0x28) | (r & 7));
		draw_put(&c, (uint8_t)s->step);
		break;
	}
	draw_add_piece(d, &c);
}

void draw_stream(struct drawing *d)
{
	static const int8_t steps[] = { 1, 4, 8, 16, 32, 64, -8, -16 };
	unsigned int accesses = 1 + random_below(4);
	struct stream s = {
		.pointer = { (uint8_t)draw_pointer(d),
			     (uint8_t)draw_pointer(d) },
		.index = random_below(2) ? (uint8_t)draw_small(d) : X86_RSP,
		.scale = (uint8_t)random_below(4),
		.step = steps[random_below(8)],
	};

	while (accesses--) {
		add_access(d, &s);
		if (random_below(3) == 0)
			add_step(d, &s, s.pointer[random_below(2)]);
		if (random_below(6) == 0)
			draw_condition(d, d->start[d->block + 1]);
	}
	if (s.index != X86_RSP && random_below(4))
		add_step(d, &s, s.index);
	else
		add_step(d, &s, s.pointer[0]);
	if (random_below(2))
		add_step(d, &s, s.pointer[1]);
}
