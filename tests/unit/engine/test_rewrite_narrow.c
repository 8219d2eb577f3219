/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs in 16- and 32-bit code: segments of all kinds, 16-bit addresses,
 * and the branches that lead from block to block there. Code runs below long
 * mode, since the exception frames of 64-bit handlers tell most.
 */
#include "test_rewrite_draw.h"

#include "x86/reg.h"

/* Types of segments, and what all have. */
#define DATA	   0x3u
#define READ_ONLY  0x1u
#define DOWN	   0x7u
#define CODE	   0xbu
#define CODE_ONLY  0x9u
#define PRESENT	   (X86_ATTR_S | X86_ATTR_P)

static uint32_t end_of_data(void)
{
	return REWRITE_DATA + REWRITE_DATA_PAGES * (uint32_t)PAGE_SIZE - 1;
}

/* Mostly all that the mode can address; else some of the data. */
static uint32_t draw_limit(const struct drawing *d, uint32_t base)
{
	if (random_below(7) == 0)
		return REWRITE_DATA + 0x1800 + random_below(0x100) - base;
	if (random_below(7) == 0)
		return end_of_data() - base;
	return d->p->bits == 16 && random_below(8) ? UINT16_MAX : UINT32_MAX;
}

static void draw_segment(struct drawing *d, enum x86_seg i, uint32_t base)
{
	unsigned int type = DATA;

	switch (random_below(24)) {
	case 0:
		type = i == X86_SS ? DATA : READ_ONLY;
		break;
	case 1:
		type = i == X86_SS ? DATA : CODE;
		break;
	case 2:
		type = i == X86_SS ? DATA : CODE_ONLY;
		break;
	case 3:
		type = DOWN;
		break;
	default:
		break;
	}
	d->p->seg[i].base = base;
	d->p->seg[i].limit = type == DOWN ? REWRITE_DATA - base +
						    random_below(0x800) :
					    draw_limit(d, base);
	d->p->seg[i].attr = (uint16_t)(PRESENT | type);
	if (random_below(8) ? d->p->bits == 32 : d->p->bits == 16)
		d->p->seg[i].attr |= X86_ATTR_DB;
	if (i >= X86_FS && random_below(12) == 0)
		d->p->seg[i].attr = 0;
}

static void make_flat(struct drawing *d, enum x86_seg i, unsigned int type)
{
	d->p->seg[i].base = 0;
	d->p->seg[i].limit = UINT32_MAX;
	d->p->seg[i].attr = (uint16_t)(PRESENT | type);
	if (i == X86_CS ? d->p->bits == 32 : random_below(8))
		d->p->seg[i].attr |= X86_ATTR_DB;
}

/* 16-bit offsets reach the words, the data, and the code. */
void draw_narrow_segments(struct drawing *d)
{
	uint32_t base = random_below(REWRITE_WORDS), code = random_below(0x9f00);
	bool flat = random_below(3) == 0;

	d->p->bits = random_below(2) ? 32 : 16;
	if (d->p->bits == 16) {
		base = end_of_data() - UINT16_MAX +
		       random_below(0x3000);
		code = 0x5800 + random_below(0x4000);
	}
	if (random_below(2))
		base &= ~15u;
	if (flat)
		base = 0;
	draw_segment(d, X86_FS, base + random_below(64));
	draw_segment(d, X86_GS, base - 0x1000 * random_below(2));
	if (flat) {
		make_flat(d, X86_CS, CODE);
		make_flat(d, X86_DS, DATA);
		make_flat(d, X86_ES, DATA);
		make_flat(d, X86_SS, DATA);
		return;
	}
	make_flat(d, X86_CS, CODE);
	d->p->seg[X86_CS].base = code;
	if (random_below(8) == 0)
		d->p->seg[X86_CS].limit = REWRITE_CODE - code +
					  random_below(0x4000);
	else if (d->p->bits == 16 && random_below(8))
		d->p->seg[X86_CS].limit = UINT16_MAX;
	draw_segment(d, X86_DS, base);
	draw_segment(d, X86_ES, base);
	draw_segment(d, X86_SS, base);
}

static uint64_t draw_value(void)
{
	return random_below(3) ? random64() : random64() >> random_below(64);
}

/* Bits above those that offsets have. */
static uint64_t draw_above(const struct drawing *d)
{
	if (random_below(2))
		return 0;
	return random64() << (d->p->bits == 16 && random_below(2) ? 16 : 32);
}

/* In 16-bit code those that addresses are made of. */
void draw_narrow_registers(struct drawing *d)
{
	static const uint8_t pointers[] = { X86_RSP, X86_RBX, X86_RBP,
					    X86_RDI, X86_RDI };
	static const uint8_t smalls[] = { X86_RSI, X86_RCX, X86_RDX };
	struct program *p = d->p;
	unsigned int i;

	for (i = 0; i < 16; i++)
		p->gpr[i] = draw_value();
	for (i = 0; i < 5; i++) {
		d->pointers[i] = pointers[i];
		d->precious |= (uint16_t)(1u << pointers[i]);
		p->gpr[pointers[i]] = draw_above(d) | draw_offset(d);
	}
	for (i = 0; i < 3; i++) {
		d->smalls[i] = smalls[i];
		d->precious |= (uint16_t)(1u << smalls[i]);
		p->gpr[smalls[i]] = draw_above(d) | random_below(64);
	}
	if (random_below(8))
		p->gpr[X86_RSP] =
			draw_above(d) |
			(((REWRITE_DATA + 0x1000 + random_below(0x800)) & ~7u) -
			 p->seg[X86_SS].base);
}

unsigned int draw_adsize(const struct drawing *d, const struct code *c)
{
	if (d->p->bits == 64)
		return c->adsize_prefix ? 4 : 8;
	return (d->p->bits == 32) == c->adsize_prefix ? 2 : 4;
}

void draw_narrow_modrm(const struct drawing *d, struct code *c,
		       unsigned int reg)
{
	/* bx+si, bp+si, di, bp, bx */
	static const uint8_t forms[] = { 0, 2, 5, 6, 7 };
	unsigned int rm = random_below(8) ? forms[random_below(5)] :
					    random_below(8);
	unsigned int mod = random_below(3);

	if (random_below(8) == 0)
		mod = 0, rm = 6;
	draw_put(c, mod << 6 | (reg & 7) << 3 | rm);
	if (mod == 0 && rm == 6)
		draw_put_value(c, draw_offset(d), 2);
	else if (mod == 1)
		draw_put(c, random_below(256));
	else if (mod == 2)
		draw_put_value(c, random_below(0x400) - 0x200, 2);
}

/* --- branches -------------------------------------------------------------- */

static uint32_t offset_of(const struct drawing *d, uint32_t target)
{
	return target - d->p->seg[X86_CS].base;
}

/*
 * A branch of `count` opcode bytes with a displacement of the operand's size;
 * at times with the prefix that makes it the other size.
 */
static void add_near(struct drawing *d, uint32_t opcode, unsigned int count,
		     uint32_t target)
{
	unsigned int size = d->p->bits / 8;
	struct code c = { .length = 0 };

	if (random_below(6) == 0) {
		size = size == 4 ? 2 : 4;
		draw_put(&c, 0x66);
	}
	draw_put_value(&c, opcode, count);
	draw_put_value(&c, target - (d->at + c.length + size), size);
	draw_add_piece(d, &c);
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
		draw_add_bytes(d, 0x70 | cc |
			       ((target - (d->at + 2)) & 0xff) << 8, 2);
	else
		add_near(d, 0x800f | cc << 8, 2, target);
}

static void add_condition(struct drawing *d, uint32_t target)
{
	static const uint16_t read[8] = { 0x800, 1, 0x40, 0x41, 0x80, 4,
					  0x880, 0x8c0 };
	unsigned int cc = random_below(16);

	if (read[cc >> 1] & draw_undefined_now(d)) /* cmp r, r */
		draw_add_bytes(d, 0xc039 | random_below(64) << 8, 2);
	add_jcc(d, cc, target);
}

/* LOOP or JCXZ over a jump to `target`. */
static void add_count(struct drawing *d, uint32_t target)
{
	uint32_t after;
	struct code c = { .length = 0 };

	if (random_below(4) == 0)
		draw_put(&c, 0x67);
	draw_put(&c, 0xe2 + random_below(2));
	draw_put(&c, d->p->bits == 32 ? 5 : 3);
	draw_add_piece(d, &c);
	c.length = 0;
	draw_put(&c, 0xe9);
	after = d->at + 1 + d->p->bits / 8;
	draw_put_value(&c, target - after, d->p->bits / 8);
	draw_add_piece(d, &c);
}

/* mov r, target; never the stack pointer, and 32 bits in 16-bit code too. */
static unsigned int add_constant(struct drawing *d, uint32_t target)
{
	unsigned int r = draw_register(d);
	struct code c = { .length = 0 };

	if (r == X86_RSP)
		r = X86_RAX;
	if (d->p->bits == 16)
		draw_put(&c, 0x66);
	draw_put(&c, 0xb8 | r);
	draw_put_value(&c, offset_of(d, target), 4);
	draw_add_piece(d, &c);
	return r;
}

void draw_put_offset(const struct drawing *d, struct code *c, unsigned int reg,
		     uint32_t address)
{
	draw_put(c, reg << 3 | (d->p->bits == 32 ? 5 : 6));
	draw_put_value(c, address - d->p->seg[X86_DS].base, d->p->bits / 8);
}

/* sub word or dword [counter], 1; jcc back; then on. */
static void add_loop(struct drawing *d, uint32_t next)
{
	static const uint8_t conditions[] = { 5, 7, 15 }; /* jnz, ja, jg */
	struct code c = { .length = 0 };

	draw_put(&c, 0x83);
	draw_put_offset(d, &c, 5, REWRITE_WORDS + d->block * 8);
	draw_put(&c, 1);
	draw_add_piece(d, &c);
	add_jcc(d, conditions[random_below(3)], d->start[d->block]);
	add_jump(d, next);
}

/* Through memory: a pointer, and a jump or call by it. */
static void add_by_memory(struct drawing *d, uint32_t target)
{
	uint32_t word = DRAW_TARGETS + d->block * 8;
	struct code c = { .length = 0 };

	if (d->p->bits == 16)
		draw_put(&c, 0x66);
	draw_put(&c, 0xc7);
	draw_put_offset(d, &c, 0, word);
	draw_put_value(&c, offset_of(d, target), 4);
	draw_add_piece(d, &c);
	draw_maybe_other_size(&c);
	draw_put(&c, 0xff);
	draw_put_offset(d, &c, random_below(2) ? 4 : 2, word);
	draw_add_piece(d, &c);
}

static void add_by_register(struct drawing *d, uint32_t target)
{
	unsigned int r = add_constant(d, target);
	struct code c;

	draw_maybe_other_size(&c);
	draw_put(&c, 0xff);
	draw_put(&c, (random_below(2) ? 0xe0 : 0xd0) | r);
	draw_add_piece(d, &c);
}

static void add_return(struct drawing *d, uint32_t target)
{
	unsigned int r = add_constant(d, target);
	bool other = random_below(6) == 0;
	struct code c = { .length = 0 };

	if (other)
		draw_put(&c, 0x66);
	draw_put(&c, 0x50 | r);
	draw_add_piece(d, &c);
	c.length = other; /* its prefix stays */
	if (random_below(2)) {
		draw_put(&c, 0xc3);
	} else {
		draw_put(&c, 0xc2);
		draw_put_value(&c, random_below(0x10000), 2);
	}
	draw_add_piece(d, &c);
}

void draw_narrow_end(struct drawing *d, uint32_t next, uint32_t other,
		     bool *all_live)
{
	switch (random_below(14)) {
	case 0 ... 1:
		add_jump(d, next);
		break;
	case 2:
		add_near(d, 0xe8, 1, next);
		break;
	case 3 ... 5:
		*all_live &= draw_far_away(d, other);
		add_condition(d, other);
		add_jump(d, next);
		break;
	case 6 ... 7:
		*all_live = false;
		add_count(d, other);
		add_jump(d, next);
		break;
	case 8 ... 9:
		*all_live = false;
		add_loop(d, next);
		break;
	case 10:
		*all_live = true;
		add_by_register(d, next);
		break;
	case 11:
		*all_live = true;
		add_by_memory(d, next);
		break;
	default:
		*all_live = true;
		add_return(d, next);
	}
	/* Cut to 16 bits a branch may lead nowhere near. */
	if (d->p->seg[X86_CS].base == 0)
		*all_live = false;
}
