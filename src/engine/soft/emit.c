/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host instruction encoder; see emit.h.
 */
#include "engine/soft/emit.h"

#define PREFIX_GS 0x65

static void put_prefixes(struct emit *e, uint32_t prefix)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		if (prefix >> shift & 0xff)
			emit_8(e, prefix >> shift & 0xff);
}

static void put_opcode(struct emit *e, uint32_t opcode)
{
	if (opcode > 0xffff)
		emit_8(e, opcode >> 16 & 0xff);
	if (opcode > 0xff)
		emit_8(e, opcode >> 8 & 0xff);
	emit_8(e, opcode & 0xff);
}

static void put_rex(struct emit *e, bool wide, bool always, unsigned int reg,
		    unsigned int index, unsigned int base)
{
	unsigned int rex = 0x40 | (wide ? 8u : 0) | (reg & 8) >> 1 |
			   (index != HOST_NONE ? (index & 8) >> 2 : 0) |
			   (base != HOST_NONE ? (base & 8) >> 3 : 0);

	if (rex != 0x40 || always)
		emit_8(e, rex);
}

static void touch(struct emit *e, unsigned int reg)
{
	e->touched |= (uint16_t)(1u << (reg & 15));
}

static void put_modrm(struct emit *e, unsigned int reg,
		      const struct emit_mem *m, int32_t unit)
{
	unsigned int field = (reg & 7) << 3, index = m->index;
	unsigned int mod = 0x80;

	if (m->base == HOST_NONE) {
		emit_8(e, 4 | field);
		index = index == HOST_NONE ? 4 : index & 7;
		emit_8(e, (unsigned int)m->scale << 6 | index << 3 | 5);
		emit_32(e, (uint32_t)m->disp);
		return;
	}
	if (!(m->disp % unit) && m->disp / unit == (int8_t)(m->disp / unit))
		mod = 0x40;
	if (!m->disp && (m->base & 7) != 5)
		mod = 0;
	if (index == HOST_NONE && (m->base & 7) != 4) {
		emit_8(e, mod | field | (m->base & 7));
	} else {
		index = index == HOST_NONE ? 4 : index & 7;
		emit_8(e, mod | field | 4);
		emit_8(e, (unsigned int)m->scale << 6 | index << 3 |
				  (m->base & 7));
	}
	if (mod == 0x40)
		emit_8(e, (uint8_t)(m->disp / unit));
	else if (mod == 0x80)
		emit_32(e, (uint32_t)m->disp);
}

void emit_modrm(struct emit *e, unsigned int reg, const struct emit_mem *m)
{
	put_modrm(e, reg, m, 1);
}

void emit_modrm_evex(struct emit *e, unsigned int reg,
		     const struct emit_mem *m, unsigned int unit)
{
	put_modrm(e, reg, m, (int32_t)unit);
}

void emit_rm_mem(struct emit *e, uint32_t prefix, bool wide, uint32_t opcode,
		 unsigned int reg, const struct emit_mem *m)
{
	touch(e, reg);
	if (m->gs)
		emit_8(e, PREFIX_GS);
	put_prefixes(e, prefix);
	put_rex(e, wide, false, reg, m->index, m->base);
	put_opcode(e, opcode);
	emit_modrm(e, reg, m);
}

void emit_rm_reg(struct emit *e, uint32_t prefix, bool wide, bool rex,
		 uint32_t opcode, unsigned int reg, unsigned int rm)
{
	touch(e, reg);
	touch(e, rm);
	put_prefixes(e, prefix);
	put_rex(e, wide, rex, reg, HOST_NONE, rm);
	put_opcode(e, opcode);
	emit_8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_mov(struct emit *e, unsigned int to, unsigned int from)
{
	uint16_t touched = e->touched;

	if (to == from)
		return;
	emit_rm_reg(e, 0, true, false, 0x8b, to, from);
	e->touched = touched;
	touch(e, to);
}

void emit_load(struct emit *e, unsigned int to, const struct emit_mem *m)
{
	emit_rm_mem(e, 0, true, 0x8b, to, m);
}

void emit_store(struct emit *e, unsigned int from, const struct emit_mem *m)
{
	uint16_t touched = e->touched;

	emit_rm_mem(e, 0, true, 0x89, from, m);
	e->touched = touched;
}

void emit_lea(struct emit *e, bool wide, unsigned int to,
	      const struct emit_mem *m)
{
	emit_rm_mem(e, 0, wide, 0x8d, to, m);
}

uint8_t *emit_const_64(struct emit *e, unsigned int to, uint64_t value)
{
	touch(e, to);
	put_rex(e, true, false, 0, HOST_NONE, to);
	emit_8(e, 0xb8 | (to & 7));
	emit_64(e, value);
	return e->p - 8;
}

void emit_const(struct emit *e, unsigned int to, uint64_t value)
{
	touch(e, to);
	if (value <= UINT32_MAX) {
		put_rex(e, false, false, 0, HOST_NONE, to);
		emit_8(e, 0xb8 | (to & 7));
		emit_32(e, (uint32_t)value);
	} else if (value == (uint64_t)(int64_t)(int32_t)value) {
		emit_rm_reg(e, 0, true, false, 0xc7, 0, to);
		emit_32(e, (uint32_t)value);
	} else {
		emit_const_64(e, to, value);
	}
}

/* A three-byte VEX prefix: map, W1, L0; vvvv, pp. */
static void put_vex(struct emit *e, unsigned int map, unsigned int reg,
		    unsigned int index, unsigned int rm, unsigned int vvvv,
		    unsigned int pp)
{
	emit_8(e, 0xc4);
	emit_8(e, (~reg & 8) << 4 | (~index & 8) << 3 | (~rm & 8) << 2 | map);
	emit_8(e, 0x80 | (~vvvv & 15) << 3 | pp);
}

void emit_pext_gs(struct emit *e, unsigned int to, unsigned int from,
		  size_t offset)
{
	const struct emit_mem m = emit_gs(offset);

	touch(e, to);
	emit_8(e, PREFIX_GS);
	put_vex(e, 2, to, 0, 0, from, 2);
	emit_8(e, 0xf5);
	emit_modrm(e, to, &m);
}

void emit_rorx(struct emit *e, unsigned int to, unsigned int from,
	       unsigned int count)
{
	touch(e, to);
	put_vex(e, 3, to, 0, from, 0, 3);
	emit_8(e, 0xf0);
	emit_8(e, 0xc0 | (to & 7) << 3 | (from & 7));
	emit_8(e, count);
}

void emit_shrx(struct emit *e, unsigned int to, unsigned int from,
	       unsigned int count)
{
	touch(e, to);
	put_vex(e, 2, to, 0, from, count, 3);
	emit_8(e, 0xf7);
	emit_8(e, 0xc0 | (to & 7) << 3 | (from & 7));
}

static uint8_t *put_displacement(struct emit *e, uint64_t to)
{
	uint8_t *at = e->p;

	emit_32(e, to ? (uint32_t)(to - (emit_here(e) + 4)) : 0);
	return at;
}

uint8_t *emit_jmp(struct emit *e, uint64_t to)
{
	emit_8(e, 0xe9);
	return put_displacement(e, to);
}

uint8_t *emit_jcc(struct emit *e, unsigned int cc, uint64_t to)
{
	emit_8(e, 0x0f);
	emit_8(e, 0x80 | cc);
	return put_displacement(e, to);
}

uint8_t *emit_call(struct emit *e, uint64_t to)
{
	emit_8(e, 0xe8);
	return put_displacement(e, to);
}

uint8_t *emit_jrcxz(struct emit *e)
{
	emit_8(e, 0xe3);
	emit_8(e, 0);
	return e->p - 1;
}

uint8_t *emit_jcc_8(struct emit *e, unsigned int cc)
{
	emit_8(e, 0x70 | cc);
	emit_8(e, 0);
	return e->p - 1;
}

uint8_t *emit_jmp_8(struct emit *e)
{
	emit_8(e, 0xeb);
	emit_8(e, 0);
	return e->p - 1;
}

void emit_land_32(struct emit *e, uint8_t *at)
{
	int32_t away = (int32_t)(e->p - (at + 4));

	if (!e->full)
		memcpy(at, &away, 4);
}

void emit_land_8(struct emit *e, uint8_t *at)
{
	if (!e->full)
		*at = (uint8_t)(e->p - (at + 1));
}
