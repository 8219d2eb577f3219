/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that mere chance would not draw so that they work: control
 * words, divisions that do not fault, small moves of a pointer; strings, bits,
 * gathers, and operands at addresses that are aligned or in the instruction.
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

/* --- operands that chance would not reach ------------------------------------ */

/* A byte beyond a pointer's place: ModRM (and SIB) for `reg`. */
static void put_beside(const struct drawing *d, struct code *c,
		       unsigned int reg, unsigned int pointer, unsigned int by)
{
	static const uint8_t narrow[8] = { [X86_RBX] = 7, [X86_RBP] = 6,
					   [X86_RSI] = 4, [X86_RDI] = 5 };
	unsigned int rm = d->p->bits == 16 ? narrow[pointer] : pointer & 7;

	draw_put(c, 0x40 | (reg & 7) << 3 | rm);
	if (rm == 4 && d->p->bits != 16)
		draw_put(c, 0x24);
	draw_put(c, by);
}

static unsigned int draw_but_stack(const struct drawing *d)
{
	unsigned int r;

	do
		r = draw_pointer(d);
	while (r == X86_RSP);
	return r;
}

/* lea to, [pointer + by] */
static void add_lea(struct drawing *d, unsigned int to, unsigned int pointer)
{
	struct code c = { .length = 0 };

	if (d->p->bits == 64)
		draw_put(&c, 0x48 | to >> 3 << 2 | pointer >> 3);
	draw_put(&c, 0x8d);
	put_beside(d, &c, to, pointer, random_below(256));
	draw_add_piece(d, &c);
}

/* MOVS, STOS, LODS; CMPS and SCAS, which with REP are said to read ZF. */
static void add_string(struct drawing *d)
{
	static const uint8_t opcodes[] = { 0xa4, 0xaa, 0xac, 0xa6, 0xae };
	bool compare = !(draw_undefined_now(d) & X86_FLAG_ZF);
	struct code c = { .length = 0 };

	if (random_below(4) == 0)
		draw_put(&c, 0x67);
	if (random_below(4) == 0)
		draw_put(&c, 0x66);
	if (random_below(4) == 0)
		draw_put(&c, 0x26 + random_below(4) * 8);
	else if (random_below(4) == 0)
		draw_put(&c, 0x64 + random_below(2));
	if (random_below(3))
		draw_put(&c, 0xf2 + random_below(2));
	if (d->p->bits == 64 && random_below(3) == 0)
		draw_put(&c, 0x48);
	draw_put(&c, opcodes[random_below(compare ? 5 : 3)] | random_below(2));
	draw_add_piece(d, &c);
}

/* One or two strings of a few elements, upwards mostly. */
static void draw_strings(struct drawing *d)
{
	unsigned int count = random_below(random_below(4) ? 20 : 300);

	add_lea(d, X86_RDI, draw_but_stack(d));
	if (random_below(4))
		add_lea(d, X86_RSI, draw_but_stack(d));
	if (random_below(4) == 0)
		draw_add_bytes(d, 0xfc + (random_below(3) == 0), 1);
	draw_add_bytes(d, 0xb9 | (uint64_t)count << 8,
		       d->p->bits == 16 ? 3 : 5);
	add_string(d);
	if (random_below(3) == 0)
		add_string(d);
}

/* BT, BTS, BTR, BTC by a small number, which reaches beyond the operand at
 * times, or lies before it. */
static void draw_bits(struct drawing *d)
{
	unsigned int op = random_below(4), index = draw_small(d);
	unsigned int pointer = draw_but_stack(d);
	struct code c;

	draw_maybe_other_size(&c);
	if (op && random_below(3) == 0)
		draw_put(&c, 0xf0);
	if (d->p->bits == 64)
		draw_put(&c, 0x40 | random_below(2) << 3 | index >> 3 << 2 |
				     pointer >> 3);
	draw_put_value(&c, 0xa30f + op * 0x800, 2);
	put_beside(d, &c, index, pointer, random_below(256));
	draw_add_piece(d, &c);
}

/* MOV by an address in the instruction. */
static void draw_moffs(struct drawing *d)
{
	struct code c;

	draw_maybe_other_size(&c);
	if (random_below(6) == 0)
		draw_put(&c, 0x26 + random_below(4) * 8);
	if (d->p->bits == 64 && random_below(2))
		draw_put(&c, 0x48);
	draw_put(&c, 0xa0 + random_below(4));
	draw_put_value(&c, draw_offset(d), d->p->bits / 8);
	draw_add_piece(d, &c);
}

/* A pointer cut to a multiple, and operands there that must be aligned. */
static void draw_aligned(struct drawing *d)
{
	static const uint16_t opcodes[] = { 0x280f, 0x290f, 0x6f0f, 0x7f0f,
					    0xe70f, 0x580f, 0xc70f };
	unsigned int r = draw_but_stack(d), n = 1 + random_below(4);
	unsigned int op;
	struct code c = { .length = 0 };

	draw_put(&c, 0x48 | r >> 3);
	draw_put_value(&c, 0xe083 | (r & 7) << 8, 2); /* and */
	draw_put(&c, random_below(2) ? 0xf0 : 0xe0);
	draw_add_piece(d, &c);
	while (n--) {
		unsigned int reg = random_below(16);

		op = opcodes[random_below(7)];
		c.length = 0;
		if (op == 0xc70f) { /* CMPXCHG16B, CMPXCHG8B */
			if (random_below(2))
				draw_put(&c, 0xf0);
			draw_put(&c, 0x40 | random_below(3) / 2 * 8 | r >> 3);
			reg = 1;
		} else {
			draw_put(&c, 0x66);
			draw_put(&c, 0x40 | reg >> 3 << 2 | r >> 3);
		}
		draw_put_value(&c, op, 2);
		put_beside(d, &c, reg, r, random_below(16) << 4);
		draw_add_piece(d, &c);
	}
}

/* vpmovzxbd or -bq of indices, and a gather of elements or a masked move
 * there. */
static void draw_gather(struct drawing *d)
{
	/* Three registers, or it would be #UD. */
	unsigned int index = random_below(16), wide = random_below(2);
	unsigned int to = (index + 1 + random_below(7)) & 15;
	unsigned int mask = (index + 8 + random_below(8)) & 15;
	unsigned int from = draw_but_stack(d), base = draw_but_stack(d);
	unsigned int l = random_below(2) << 2;
	struct code c = { .length = 0 };

	draw_put(&c, 0xc4);
	draw_put(&c, (~index & 8) << 4 | 0x40 | (~from & 8) << 2 | 2);
	draw_put(&c, 0x79 | l);
	draw_put(&c, 0x31 + random_below(2));
	put_beside(d, &c, index, from, random_below(256));
	draw_add_piece(d, &c);
	c.length = 0;
	draw_put(&c, 0xc4);
	draw_put(&c, (~to & 8) << 4 | (~index & 8) << 3 | (~base & 8) << 2 | 2);
	draw_put(&c, wide << 7 | (~mask & 15) << 3 | l | 1);
	draw_put(&c, 0x90 + random_below(4));
	draw_put(&c, 0x44 | (to & 7) << 3);
	draw_put(&c, random_below(4) << 6 | (index & 7) << 3 | (base & 7));
	draw_put(&c, random_below(256));
	draw_add_piece(d, &c);
}

void draw_special(struct drawing *d)
{
	bool wide = d->p->bits == 64;

	switch (random_below(wide ? 5 : 3)) {
	case 0:
		draw_strings(d);
		break;
	case 1:
		draw_bits(d);
		break;
	case 2:
		draw_moffs(d);
		break;
	case 3:
		draw_aligned(d);
		break;
	default:
		/* Which elements are there behind a fault, varies. */
		if (!d->p->host)
			draw_gather(d);
	}
}
