/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack as programs use it: pushes and pops of registers, constants and
 * memory, operands beside the stack pointer in between, frames, and calls of
 * what comes next. Most of a block's accesses are then at constant distances,
 * and some instructions make two of them. Not drawn: what loads a segment.
 */
#include "test_rewrite_draw.h"

#include "x86/reg.h"

static unsigned int slot_of(const struct drawing *d)
{
	return d->p->bits / 8;
}

/* Prefixes of an instruction with an operand at [rsp + disp8], which 16-bit
 * code has with 67 only; at times with operands of the other size. */
static void begin(const struct drawing *d, struct code *c)
{
	draw_maybe_other_size(c);
	if (d->p->bits == 16)
		draw_put(c, 0x67);
}

/* Mostly at a slot. */
static void put_operand(const struct drawing *d, struct code *c,
			unsigned int reg)
{
	int at = (int)random_below(16) - 6;

	draw_put(c, 0x44 | (reg & 7) << 3);
	draw_put(c, 0x24);
	draw_put(c, (uint8_t)(random_below(6) ? at * (int)slot_of(d) : at));
}

/* FF /6 PUSH, 8F /0 POP */
static void add_memory(struct drawing *d, bool push)
{
	struct code c;

	begin(d, &c);
	draw_put(&c, push ? 0xff : 0x8f);
	put_operand(d, &c, push ? 6 : 0);
	draw_add_piece(d, &c);
}

/* PUSH, POP of a register, PUSH of a constant. */
static void add_plain(struct drawing *d)
{
	unsigned int r = draw_register(d);
	bool other;
	struct code c;

	draw_maybe_other_size(&c);
	other = c.length;
	switch (random_below(4)) {
	case 0:
		draw_put(&c, 0x6a);
		draw_put(&c, random_below(256));
		break;
	case 1:
		draw_put(&c, 0x68);
		draw_put_value(&c, random64(),
			       (d->p->bits == 16) != other ? 2 : 4);
		break;
	default:
		if (r >= 8)
			draw_put(&c, 0x41);
		draw_put(&c, 0x50 | random_below(2) << 3 | (r & 7));
	}
	draw_add_piece(d, &c);
}

/* MOV, ADD, XCHG, CMP, LEA of an operand and a register. */
static void add_access(struct drawing *d)
{
	static const uint8_t opcodes[] = { 0x8b, 0x89, 0x8b, 0x89, 0x01,
					   0x03, 0x87, 0x86, 0x3b, 0x8d };
	unsigned int r = draw_register(d);
	struct code c;

	begin(d, &c);
	if (d->p->bits == 64)
		draw_put(&c, 0x40 | random_below(2) << 3 | r >> 3 << 2);
	draw_put(&c, opcodes[random_below(sizeof(opcodes))]);
	put_operand(d, &c, r);
	draw_add_piece(d, &c);
}

/* ADD, SUB or LEA of the stack pointer by a few slots. */
static void add_move(struct drawing *d)
{
	unsigned int by = (random_below(8) - 3) * slot_of(d);
	struct code c = { .length = 0 };

	if (d->p->bits == 16)
		draw_put(&c, 0x67);
	if (d->p->bits == 64)
		draw_put(&c, 0x48);
	if (random_below(2)) {
		draw_put(&c, 0x83);
		draw_put(&c, 0xc4 | random_below(2) * 0x28);
	} else {
		draw_put(&c, 0x8d);
		draw_put_value(&c, 0x2464, 2);
	}
	draw_put(&c, (uint8_t)by);
	draw_add_piece(d, &c);
}

/* A frame pointer near the stack pointer, and LEAVE; or ENTER. */
static void add_frame(struct drawing *d)
{
	struct code c = { .length = 0 };

	if (random_below(4) == 0) {
		draw_maybe_other_size(&c);
		draw_put(&c, 0xc8);
		draw_put_value(&c, random_below(8) * slot_of(d), 2);
		/* What a fault leaves of several levels, varies. */
		draw_put(&c, d->p->host ? 0 : random_below(8) / 2);
		draw_add_piece(d, &c);
		return;
	}
	if (d->p->bits == 16)
		draw_put(&c, 0x67);
	if (d->p->bits == 64)
		draw_put(&c, 0x48);
	draw_put(&c, 0x8d);
	put_operand(d, &c, X86_RBP);
	draw_add_piece(d, &c);
	if (random_below(2))
		add_access(d);
	draw_maybe_other_size(&c);
	draw_put(&c, 0xc9);
	draw_add_piece(d, &c);
}

/* PUSHF; or CALL of the next instruction, whose address is then on top. */
static void add_odd(struct drawing *d)
{
	struct code c;

	if (random_below(2)) {
		if (!draw_undefined_now(d))
			draw_add_bytes(d, 0x9c, 1);
		return;
	}
	c.length = 0;
	draw_put(&c, 0xe8);
	draw_put_value(&c, 0, d->p->bits == 16 ? 2 : 4);
	draw_add_piece(d, &c);
}

void draw_on_stack(struct drawing *d)
{
	switch (random_below(12)) {
	case 0 ... 2:
		add_memory(d, true);
		break;
	case 3:
		add_memory(d, false);
		break;
	case 4 ... 5:
		add_plain(d);
		break;
	case 6 ... 8:
		add_access(d);
		break;
	case 9:
		add_move(d);
		break;
	case 10:
		add_frame(d);
		break;
	default:
		add_odd(d);
	}
}
