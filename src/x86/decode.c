/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction decoding: prefixes, opcode, ModRM, SIB, displacement and
 * immediates of every map, legacy, VEX and EVEX. Only lengths and operands:
 * which instructions exist is bind.c's business.
 *
 * Intel SDM vol. 2, chapter 2 and appendix A; AMD64 APM vol. 3, chapter 1.
 * In 64-bit mode the operand-size prefix is ignored on near branches, as
 * Intel's processors do.
 */
#include "x86/insn.h"
#include "vm/bytes.h"

/* Operand attributes of an opcode: a kind of immediate and two flags. */
enum {
	IMM_NONE,
	IMM_B,	   /* 1 byte, sign-extended */
	IMM_W,	   /* 2 bytes, zero-extended */
	IMM_Z,	   /* 2 or 4 bytes by operand size */
	IMM_V,	   /* 2, 4 or 8 bytes by operand size */
	IMM_FAR,   /* offset (2 or 4) and selector */
	IMM_MOFFS, /* address-size bytes */
	IMM_ENTER, /* 2 bytes and 1 byte */
	IMM_J,	   /* branch offset: 2 or 4; 64-bit code: 4 */
	IMM_KIND = 0x0f,
	BYTE = 0x40,  /* operands are bytes */
	MODRM = 0x80,
};

#define ALU_ROW                                                    \
	MODRM | BYTE, MODRM, MODRM | BYTE, MODRM, IMM_B | BYTE, IMM_Z, \
		0, 0

static const uint8_t map_one[256] = {
	/* 00 */ ALU_ROW, ALU_ROW, ALU_ROW, ALU_ROW,
	/* 20 */ ALU_ROW, ALU_ROW, ALU_ROW, ALU_ROW,
	[0x62] = MODRM, [0x63] = MODRM,
	[0x68] = IMM_Z, [0x69] = MODRM | IMM_Z,
	[0x6a] = IMM_B, [0x6b] = MODRM | IMM_B,
	[0x6c] = BYTE, [0x6e] = BYTE,
	[0x70 ... 0x7f] = IMM_B,
	[0x80] = MODRM | IMM_B | BYTE, [0x81] = MODRM | IMM_Z,
	[0x82] = MODRM | IMM_B | BYTE, [0x83] = MODRM | IMM_B,
	[0x84] = MODRM | BYTE, [0x85] = MODRM,
	[0x86] = MODRM | BYTE, [0x87] = MODRM,
	[0x88] = MODRM | BYTE, [0x89] = MODRM,
	[0x8a] = MODRM | BYTE, [0x8b ... 0x8f] = MODRM,
	[0x9a] = IMM_FAR,
	[0xa0] = IMM_MOFFS | BYTE, [0xa1] = IMM_MOFFS,
	[0xa2] = IMM_MOFFS | BYTE, [0xa3] = IMM_MOFFS,
	[0xa4] = BYTE, [0xa6] = BYTE,
	[0xa8] = IMM_B | BYTE, [0xa9] = IMM_Z,
	[0xaa] = BYTE, [0xac] = BYTE, [0xae] = BYTE,
	[0xb0 ... 0xb7] = IMM_B | BYTE, [0xb8 ... 0xbf] = IMM_V,
	[0xc0] = MODRM | IMM_B | BYTE, [0xc1] = MODRM | IMM_B,
	[0xc2] = IMM_W,
	[0xc4] = MODRM, [0xc5] = MODRM,
	[0xc6] = MODRM | IMM_B | BYTE, [0xc7] = MODRM | IMM_Z,
	[0xc8] = IMM_ENTER,
	[0xca] = IMM_W,
	[0xcd] = IMM_B,
	[0xd0] = MODRM | BYTE, [0xd1] = MODRM,
	[0xd2] = MODRM | BYTE, [0xd3] = MODRM,
	[0xd4] = IMM_B, [0xd5] = IMM_B,
	[0xd8 ... 0xdf] = MODRM,
	[0xe0 ... 0xe3] = IMM_B,
	[0xe4] = IMM_B | BYTE, [0xe5] = IMM_B,
	[0xe6] = IMM_B | BYTE, [0xe7] = IMM_B,
	[0xe8] = IMM_J, [0xe9] = IMM_J, [0xea] = IMM_FAR, [0xeb] = IMM_B,
	[0xec] = BYTE, [0xee] = BYTE,
	[0xf6] = MODRM | BYTE, [0xf7] = MODRM,
	[0xfe] = MODRM | BYTE, [0xff] = MODRM,
};

static const uint8_t map_0f[256] = {
	[0x00 ... 0x03] = MODRM,
	[0x0d] = MODRM, [0x0f] = MODRM | IMM_B,
	[0x10 ... 0x2f] = MODRM,
	[0x40 ... 0x6f] = MODRM,
	[0x70 ... 0x73] = MODRM | IMM_B,
	[0x74 ... 0x76] = MODRM,
	[0x78 ... 0x7f] = MODRM,
	[0x80 ... 0x8f] = IMM_J,
	[0x90 ... 0x9f] = MODRM | BYTE,
	[0xa3] = MODRM, [0xa4] = MODRM | IMM_B, [0xa5 ... 0xa7] = MODRM,
	[0xab] = MODRM, [0xac] = MODRM | IMM_B, [0xad ... 0xaf] = MODRM,
	[0xb0] = MODRM | BYTE, [0xb1 ... 0xb9] = MODRM,
	[0xba] = MODRM | IMM_B, [0xbb ... 0xbf] = MODRM,
	[0xc0] = MODRM | BYTE, [0xc1] = MODRM,
	[0xc2] = MODRM | IMM_B, [0xc3] = MODRM,
	[0xc4 ... 0xc6] = MODRM | IMM_B, [0xc7] = MODRM,
	[0xd0 ... 0xff] = MODRM,
};

/* The bytes being read. `end` is what may be read; `over` that it ended. */
struct cursor {
	const uint8_t *start, *p, *end;
	bool over;
};

static uint64_t take(struct cursor *c, unsigned int size)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->p) < size) {
		c->over = true;
		c->p = c->end;
		return 0;
	}
	memcpy(&v, c->p, size);
	c->p += size;
	return v;
}

static uint64_t take_signed(struct cursor *c, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (uint64_t)((int64_t)(take(c, size) << shift) >> shift);
}

/*
 * Notes one legacy prefix; false when the byte is none. In 64-bit code ES, CS,
 * SS and DS do nothing, not even take FS or GS back.
 */
static bool take_prefix(struct x86_insn *insn, uint8_t byte, uint32_t mode,
			uint8_t *seg)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (!(mode & X86_MODE_CODE64) || *seg == X86_NO_REG)
			*seg = (uint8_t)(byte >> 3 & 3);
		break;
	case 0x64:
	case 0x65:
		*seg = (uint8_t)(X86_FS + (byte & 1));
		break;
	case 0x66:
		insn->prefix |= X86_PFX_OPSIZE;
		break;
	case 0x67:
		insn->prefix |= X86_PFX_ADSIZE;
		break;
	case 0xf0:
		insn->prefix |= X86_PFX_LOCK;
		break;
	case 0xf2:
		insn->prefix &= (uint8_t)~X86_PFX_REP;
		insn->prefix |= X86_PFX_REPNE;
		break;
	case 0xf3:
		insn->prefix &= (uint8_t)~X86_PFX_REPNE;
		insn->prefix |= X86_PFX_REP;
		break;
	default:
		return false;
	}
	return true;
}

/* The implied prefix of VEX.pp and EVEX.pp. */
static const uint8_t vex_prefix[4] = { 0, X86_PFX_OPSIZE, X86_PFX_REP,
				       X86_PFX_REPNE };

/*
 * C4, C5 and 62 are VEX and EVEX in 64-bit code, and in 16/32-bit protected
 * code when the next byte could not be LES, LDS or BOUND.
 */
static bool is_vex(const struct cursor *c, uint8_t opcode, uint32_t mode)
{
	if (opcode != 0xc4 && opcode != 0xc5 && opcode != 0x62)
		return false;
	if (mode & X86_MODE_CODE64)
		return true;
	return (mode & X86_MODE_PROT) && c->p < c->end &&
	       (*c->p & 0xc0) == 0xc0;
}

/* R, X, B (inverted) and W of a VEX or EVEX payload as a REX byte. */
static void vex_rex(struct x86_insn *insn, unsigned int rxb, bool w,
		    uint32_t mode)
{
	unsigned int rex = ~rxb >> 5 & 7;

	if (!(mode & X86_MODE_CODE64))
		rex = 0;
	insn->rex = (uint16_t)(0x40 | rex | (w ? 8 : 0));
	if (w)
		insn->prefix |= X86_PFX_REXW;
}

/* What VEX and EVEX have in common: vvvv, pp, map and opcode. */
static int decode_vex_tail(struct x86_insn *insn, struct cursor *c, uint8_t pp,
			   unsigned int map)
{
	insn->vvvv |= ~pp >> 3 & 15;
	insn->prefix |= vex_prefix[pp & 3];
	insn->map = map <= X86_MAP_0F3A ? (uint8_t)map : X86_MAP_OTHER;
	if (map == 0 && !c->over)
		return -2;
	insn->opcode = (uint8_t)take(c, 1);
	return 0;
}

static int decode_vex(struct x86_insn *insn, struct cursor *c, uint8_t first,
		      uint32_t mode)
{
	uint8_t b1 = (uint8_t)take(c, 1), b2 = b1;
	unsigned int map = 1;

	insn->encoding = X86_VEX;
	if (first == 0xc5) {
		vex_rex(insn, (b1 & 0x80) | 0x60, false, mode);
	} else {
		map = b1 & 0x1f;
		b2 = (uint8_t)take(c, 1);
		vex_rex(insn, b1, b2 & 0x80, mode);
	}
	insn->vector_length = b2 >> 2 & 1;
	return decode_vex_tail(insn, c, b2, map);
}

/*
 * SDM vol. 2, 2.7.1. Outside 64-bit code R' and V' count as no extension,
 * like the other bits of register numbers.
 */
static int decode_evex(struct x86_insn *insn, struct cursor *c, uint32_t mode)
{
	uint8_t b1 = (uint8_t)take(c, 1), b2 = (uint8_t)take(c, 1);
	uint8_t b3 = (uint8_t)take(c, 1);
	unsigned int map = b1 & 7;

	insn->encoding = X86_EVEX;
	insn->evex = b3;
	insn->vector_length = b3 >> 5 & 3;
	vex_rex(insn, b1, b2 & 0x80, mode);
	if (mode & X86_MODE_CODE64) {
		insn->reg = (uint8_t)(~b1 & 0x10);
		insn->rm = (uint8_t)((insn->rex & 2u) << 3);
		insn->vvvv = (uint8_t)(~(uint32_t)b3 << 1 & 0x10);
	}
	if (!c->over && (b1 & 8 || !(b2 & 4) || map == 4 || map == 7))
		return -2;
	return decode_vex_tail(insn, c, b2, map);
}

/* The prefixes that may not stand before VEX and EVEX. */
#define NOT_BEFORE_VEX                                              \
	(X86_PFX_LOCK | X86_PFX_REP | X86_PFX_REPNE | X86_PFX_OPSIZE | \
	 X86_PFX_REX)

/* Opcode bytes of the legacy maps. */
static void decode_opcode(struct x86_insn *insn, struct cursor *c,
			  uint8_t first)
{
	insn->map = X86_MAP_ONE;
	insn->opcode = first;
	if (first != 0x0f)
		return;
	insn->map = X86_MAP_0F;
	insn->opcode = (uint8_t)take(c, 1);
	if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
		insn->map = insn->opcode == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
		insn->opcode = (uint8_t)take(c, 1);
	}
}

static uint8_t attributes(const struct x86_insn *insn)
{
	switch (insn->map) {
	case X86_MAP_ONE:
		return map_one[insn->opcode];
	case X86_MAP_0F:
		return map_0f[insn->opcode];
	case X86_MAP_0F3A:
		return MODRM | IMM_B;
	default:
		return MODRM;
	}
}

/* 16-bit addressing forms: SDM vol. 2, table 2-1. */
static void decode_memory16(struct x86_insn *insn, struct cursor *c)
{
	static const uint8_t base[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP,
					 X86_RSI, X86_RDI, X86_RBP, X86_RBX };
	static const uint8_t index[8] = {
		X86_RSI,    X86_RDI,	X86_RSI,    X86_RDI,
		X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG
	};
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;

	insn->base = base[rm];
	insn->index = index[rm];
	if (mod == 0 && rm == 6) {
		insn->base = X86_NO_REG;
		insn->disp_size = 2;
	} else {
		insn->disp_size = (uint8_t)mod;
	}
	insn->disp = (int32_t)(insn->disp_size ?
				       take_signed(c, insn->disp_size) :
				       0);
}

/* 32- and 64-bit addressing forms: SDM vol. 2, tables 2-2 and 2-3. */
static void decode_memory(struct x86_insn *insn, struct cursor *c,
			  uint32_t mode)
{
	static const uint8_t disp_size[3] = { 0, 1, 4 };
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;
	unsigned int extend_b = (insn->rex & 1u) << 3;
	uint8_t sib;

	insn->disp_size = disp_size[mod];
	insn->base = (uint8_t)(rm | extend_b);
	if (rm == 4) {
		sib = (uint8_t)take(c, 1);
		insn->scale = sib >> 6;
		insn->index = (uint8_t)((sib >> 3 & 7) | (insn->rex & 2u) << 2);
		if (insn->index == X86_RSP)
			insn->index = X86_NO_REG;
		insn->base = (uint8_t)((sib & 7) | extend_b);
		if ((sib & 7) == 5 && mod == 0) {
			insn->base = X86_NO_REG;
			insn->disp_size = 4;
		}
	} else if (rm == 5 && mod == 0) {
		insn->base = X86_NO_REG;
		insn->disp_size = 4;
		insn->rip_relative = mode & X86_MODE_CODE64;
	}
	if (insn->disp_size)
		insn->disp = (int32_t)take_signed(c, insn->disp_size);
}

static void decode_modrm(struct x86_insn *insn, struct cursor *c,
			 uint32_t mode)
{
	bool moves_control = insn->map == X86_MAP_0F &&
			     insn->encoding == X86_LEGACY &&
			     insn->opcode >= 0x20 && insn->opcode <= 0x23;

	insn->has_modrm = true;
	insn->modrm = (uint8_t)take(c, 1);
	/* EVEX has put the highest bits there. */
	insn->reg |= (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1);
	insn->rm |= (uint8_t)((insn->modrm & 7) | (insn->rex & 1u) << 3);
	/* MOV to and from CRx and DRx ignores mod: always registers. */
	insn->mem = insn->modrm < 0xc0 && !moves_control;
	if (!insn->mem)
		return;
	if (insn->adsize == 2)
		decode_memory16(insn, c);
	else
		decode_memory(insn, c, mode);
}

static void decode_immediate(struct x86_insn *insn, struct cursor *c,
			     unsigned int kind, uint32_t mode)
{
	unsigned int z = insn->opsize == 2 ? 2 : 4;

	switch (kind) {
	case IMM_B:
		insn->imm_size = 1;
		break;
	case IMM_W:
		insn->imm_size = 2;
		insn->imm = take(c, 2);
		return;
	case IMM_Z:
		insn->imm_size = (uint8_t)z;
		break;
	case IMM_V:
		insn->imm_size = insn->opsize;
		break;
	case IMM_J:
		insn->imm_size = (mode & X86_MODE_CODE64) ? 4 : (uint8_t)z;
		break;
	case IMM_MOFFS:
		insn->imm_size = insn->adsize;
		insn->imm = take(c, insn->adsize);
		return;
	case IMM_FAR:
		insn->imm_size = (uint8_t)(z + 2);
		insn->imm = take(c, z);
		insn->selector = (uint16_t)take(c, 2);
		return;
	case IMM_ENTER:
		insn->imm_size = 3;
		insn->imm = take(c, 2);
		insn->selector = (uint16_t)take(c, 1);
		return;
	default:
		return;
	}
	insn->imm = take_signed(c, insn->imm_size);
}

/* Operand and address size; default 64-bit operands are bind.c's. */
static void set_sizes(struct x86_insn *insn, uint32_t mode)
{
	bool opsize = insn->prefix & X86_PFX_OPSIZE;
	bool adsize = insn->prefix & X86_PFX_ADSIZE;

	if (mode & X86_MODE_CODE64) {
		insn->opsize = opsize ? 2 : 4;
		insn->adsize = adsize ? 4 : 8;
		if (insn->prefix & X86_PFX_REXW)
			insn->opsize = 8;
	} else if (mode & X86_MODE_CODE32) {
		insn->opsize = opsize ? 2 : 4;
		insn->adsize = adsize ? 2 : 4;
	} else {
		insn->opsize = opsize ? 4 : 2;
		insn->adsize = adsize ? 4 : 2;
	}
}

static uint8_t default_segment(const struct x86_insn *insn)
{
	bool stack = insn->mem &&
		     (insn->base == X86_RSP || insn->base == X86_RBP);

	return stack ? X86_SS : X86_DS;
}

static int too_short(const struct cursor *c)
{
	return c->p - c->start >= X86_INSN_MAX ? -1 : 0;
}

/* The first byte behind all prefixes. `seg`: the segment that one names, or
 * unchanged. */
static uint8_t take_prefixes(struct x86_insn *insn, struct cursor *c,
			     uint32_t mode, uint8_t *seg)
{
	for (;;) {
		uint8_t byte = (uint8_t)take(c, 1);
		bool rex = (mode & X86_MODE_CODE64) && (byte & 0xf0) == 0x40;

		if (c->over || (!rex && !take_prefix(insn, byte, mode, seg)))
			return byte;
		/* A REX before another prefix does nothing. */
		insn->rex = rex ? byte : 0;
		insn->prefix &= (uint8_t) ~(X86_PFX_REX | X86_PFX_REXW);
		if (rex)
			insn->prefix |= X86_PFX_REX |
					(byte & 8 ? X86_PFX_REXW : 0);
	}
}

int x86_decode(struct x86_insn *insn, const uint8_t *bytes, unsigned int size,
	       uint32_t mode)
{
	struct cursor c = { bytes, bytes, bytes + size, false };
	uint8_t seg = X86_NO_REG, byte, attr;

	if (size > X86_INSN_MAX)
		c.end = bytes + X86_INSN_MAX;
	*insn = (struct x86_insn){ .base = X86_NO_REG, .index = X86_NO_REG };
	byte = take_prefixes(insn, &c, mode, &seg);
	if (c.over)
		return too_short(&c);
	if (is_vex(&c, byte, mode)) {
		int refused = -2;

		if (!(insn->prefix & NOT_BEFORE_VEX))
			refused = byte == 0x62 ?
					  decode_evex(insn, &c, mode) :
					  decode_vex(insn, &c, byte, mode);
		if (refused)
			return refused;
	} else {
		decode_opcode(insn, &c, byte);
	}
	set_sizes(insn, mode);
	attr = attributes(insn);
	if (attr & MODRM)
		decode_modrm(insn, &c, mode);
	else
		insn->rm = (uint8_t)((insn->opcode & 7) | (insn->rex & 1) << 3);

	/* TEST in group 3 alone has an immediate there. */
	if (insn->map == X86_MAP_ONE && (insn->opcode & 0xfe) == 0xf6 &&
	    (insn->modrm & 0x30) == 0)
		attr |= insn->opcode == 0xf6 ? IMM_B : IMM_Z;
	decode_immediate(insn, &c, attr & IMM_KIND, mode);
	if (attr & BYTE)
		insn->opsize = 1;
	insn->seg = seg != X86_NO_REG ? seg : default_segment(insn);
	if (seg != X86_NO_REG)
		insn->prefix |= X86_PFX_SEG;
	if ((mode & X86_MODE_CODE64) && seg < X86_FS)
		insn->seg = default_segment(insn);
	if (c.over)
		return too_short(&c);
	insn->length = (uint8_t)(c.p - c.start);
	memcpy(insn->bytes, bytes, insn->length);
	return insn->length;
}
