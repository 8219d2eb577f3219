/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a block of 64-bit code ends: by a jump, call or return of some kind that
 * leads to a later block, or back to its own front, counted.
 */
#include "test_rewrite_draw.h"

#include "x86/reg.h"

/* `opcode`, then the distance to `target` in four bytes. */
static void add_near(struct drawing *d, uint32_t opcode, unsigned int count,
		     uint32_t target)
{
	struct code c = { .length = 0 };

	draw_put_value(&c, opcode, count);
	draw_put_value(&c, target - (d->at + count + 4), 4);
	draw_add_piece(d, &c);
}

bool draw_fits_short(const struct drawing *d, uint32_t target)
{
	int32_t away = (int32_t)(target - (d->at + 2));

	return away == (int8_t)away;
}

static void add_jump(struct drawing *d, uint32_t target)
{
	if (draw_fits_short(d, target) && random_below(2))
		draw_add_bytes(d, 0xeb | (target - (d->at + 2)) << 8, 2);
	else
		add_near(d, 0xe9, 1, target);
}

static void add_jcc(struct drawing *d, unsigned int cc, uint32_t target)
{
	if (draw_fits_short(d, target) && random_below(2))
		draw_add_bytes(d, 0x70 | cc | ((target - (d->at + 2)) & 0xff) << 8,
			  2);
	else
		add_near(d, 0x800f | cc << 8, 2, target);
}

void draw_condition(struct drawing *d, uint32_t target)
{
	static const uint16_t read[8] = { 0x800, 1, 0x40, 0x41, 0x80, 4,
					  0x880, 0x8c0 };
	unsigned int cc = random_below(16);

	/* cmp r, r */
	if (read[cc >> 1] & draw_undefined_now(d))
		draw_add_bytes(d, 0xc03948 | random_below(64) << 16, 3);
	add_jcc(d, cc, target);
}

/* Most often 0: what makes an address not canonical. */
static uint64_t draw_nowhere(void)
{
	return random_below(24) ? 0 : 1ull << (47 + random_below(17));
}

/* mov r, target; never rsp */
static unsigned int add_constant(struct drawing *d, uint32_t target)
{
	unsigned int r = draw_register(d);

	if (r == X86_RSP)
		r = X86_R10;
	if (random_below(2)) {
		struct code c = { .length = 0 };

		draw_put(&c, 0x48 | r >> 3);
		draw_put(&c, 0xb8 | (r & 7));
		draw_put_value(&c, target | draw_nowhere(), 8);
		draw_add_piece(d, &c);
	} else { /* lea r, [rip + x] */
		add_near(d, 0x58d48 | (r >> 3) << 2 | (r & 7) << 19, 3,
			 target);
	}
	return r;
}

static void add_group5(struct drawing *d, unsigned int op, unsigned int r)
{
	if (r >= 8)
		draw_add_bytes(d, 0xc0ff41 | op << 19 | (r & 7) << 16, 3);
	else
		draw_add_bytes(d, 0xc0ff | op << 11 | r << 8, 2);
}

/* sub dword [counter], 1; jcc back; then on. */
static void add_loop(struct drawing *d)
{
	static const uint8_t conditions[] = { 5, 7, 15 }; /* jnz, ja, jg */
	uint32_t counter = REWRITE_WORDS + d->block * 8;
	struct code c = { .length = 0 };

	draw_put_value(&c, 0x252c83, 3);
	draw_put_value(&c, counter, 4);
	draw_put(&c, 1);
	draw_add_piece(d, &c);
	add_jcc(d, conditions[random_below(3)], d->start[d->block]);
	add_jump(d, d->start[d->block + 1]);
}

/* The next block through memory: a pointer, and a jump or call by it. */
static void add_by_memory(struct drawing *d, uint32_t target)
{
	uint32_t word = DRAW_TARGETS + d->block * 8;
	struct code c = { .length = 0 };

	draw_put_value(&c, 0x2504c7, 3); /* mov dword [word], target */
	draw_put_value(&c, word, 4);
	draw_put_value(&c, target, 4);
	draw_add_piece(d, &c);
	c.length = 0;
	draw_put_value(&c, 0x2504c7, 3);
	draw_put_value(&c, word + 4, 4);
	draw_put_value(&c, draw_nowhere() >> 32, 4);
	draw_add_piece(d, &c);
	add_near(d, random_below(2) ? 0x25ff : 0x15ff, 2, word);
}

/* The same by a word that lies on the stack. */
static void add_by_stack(struct drawing *d, uint32_t target)
{
	/* CALL, JMP, PUSH and RET of [rsp + at] */
	static const uint32_t ways[] = { 0x2454ff, 0x2464ff, 0x2474ff };
	uint32_t at = (uint8_t)(random_below(32) - 16);
	unsigned int kind = random_below(3);
	struct code c = { .length = 0 };

	draw_put_value(&c, 0x2444c748, 4); /* mov qword [rsp + at], target */
	draw_put(&c, at);
	draw_put_value(&c, target, 4);
	draw_add_piece(d, &c);
	draw_add_bytes(d, ways[kind] | at << 24, 4);
	if (kind == 2)
		draw_add_bytes(d, 0xc3, 1);
}

/* LOOPNE, LOOPE, LOOP or JRCXZ over a jump to `target`. */
static void add_count(struct drawing *d, uint32_t target)
{
	bool zero = !(draw_undefined_now(d) & X86_FLAG_ZF);
	struct code c = { .length = 0 };

	if (random_below(4) == 0)
		draw_put(&c, 0x67);
	draw_put(&c, zero ? 0xe0 + random_below(4) : 0xe2 + random_below(2));
	draw_put(&c, 5);
	draw_add_piece(d, &c);
	add_near(d, 0xe9, 1, target);
}

static void add_return(struct drawing *d, uint32_t target)
{
	unsigned int r = add_constant(d, target);

	if (r >= 8)
		draw_add_bytes(d, 0x5041 | (r & 7) << 8, 2);
	else
		draw_add_bytes(d, 0x50 | r, 1);
	if (random_below(2))
		draw_add_bytes(d, 0xc3, 1);
	else
		draw_add_bytes(d, 0xc2 | random_below(0x10000) << 8, 3);
}

bool draw_far_away(const struct drawing *d, uint32_t target)
{
	return (d->at ^ target) & ~0xfffu;
}

void draw_end(struct drawing *d)
{
	unsigned int left = d->blocks - d->block;
	uint32_t next = d->start[d->block + 1];
	uint32_t other = d->start[d->block + 1 + random_below(left)];
	bool *all_live = &d->p->all_live[d->block];

	*all_live = draw_far_away(d, next);
	if (d->p->bits != 64) {
		draw_narrow_end(d, next, other, all_live);
		return;
	}
	if (d->streams) {
		*all_live = false;
		add_loop(d);
		return;
	}
	switch (random_below(14)) {
	case 0:
		*all_live = false;
		add_count(d, other);
		add_jump(d, next);
		break;
	case 1:
		add_jump(d, next);
		break;
	case 2:
		add_near(d, 0xe8, 1, next);
		break;
	case 3 ... 6:
		*all_live &= draw_far_away(d, other);
		draw_condition(d, other);
		add_jump(d, next);
		break;
	case 7 ... 8:
		*all_live = false;
		add_loop(d);
		break;
	case 9:
		*all_live = true;
		add_group5(d, random_below(2) ? 4 : 2, add_constant(d, next));
		break;
	case 10:
		*all_live = true;
		add_by_memory(d, next);
		break;
	case 11 ... 12:
		*all_live = true;
		add_by_stack(d, next);
		break;
	default:
		*all_live = true;
		add_return(d, next);
	}
}
