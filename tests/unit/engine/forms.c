/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instruction forms there are: every opcode of every map and prefix
 * is put to the decoder, and each new pair of mnemonic and operand types is
 * a form. Left out: control transfers, system and privileged instructions,
 * what is not deterministic, and what the guest is not offered.
 */
#include "compare.h"

#include <string.h>

static const uint8_t allowed_isa[] = {
	ZYDIS_ISA_SET_ADOX_ADCX,   ZYDIS_ISA_SET_AES,
	ZYDIS_ISA_SET_AVX,	   ZYDIS_ISA_SET_AVX2,
	ZYDIS_ISA_SET_AVX2GATHER,  ZYDIS_ISA_SET_AVXAES,
	ZYDIS_ISA_SET_AVX_GFNI,	   ZYDIS_ISA_SET_BMI1,
	ZYDIS_ISA_SET_BMI2,	   ZYDIS_ISA_SET_CMOV,
	ZYDIS_ISA_SET_F16C,	   ZYDIS_ISA_SET_FCMOV,
	ZYDIS_ISA_SET_FMA,	   ZYDIS_ISA_SET_GFNI,
	ZYDIS_ISA_SET_I186,	   ZYDIS_ISA_SET_I386,
	ZYDIS_ISA_SET_I486REAL,	   ZYDIS_ISA_SET_I86,
	ZYDIS_ISA_SET_LAHF,	   ZYDIS_ISA_SET_LONGMODE,
	ZYDIS_ISA_SET_LZCNT,	   ZYDIS_ISA_SET_MOVBE,
	ZYDIS_ISA_SET_PCLMULQDQ,   ZYDIS_ISA_SET_PENTIUMMMX,
	ZYDIS_ISA_SET_PENTIUMREAL, ZYDIS_ISA_SET_POPCNT,
	ZYDIS_ISA_SET_PPRO,	   ZYDIS_ISA_SET_SHA,
	ZYDIS_ISA_SET_SSE,	   ZYDIS_ISA_SET_SSE2,
	ZYDIS_ISA_SET_SSE2MMX,	   ZYDIS_ISA_SET_SSE3,
	ZYDIS_ISA_SET_SSE3X87,	   ZYDIS_ISA_SET_SSE4,
	ZYDIS_ISA_SET_SSE42,	   ZYDIS_ISA_SET_SSEMXCSR,
	ZYDIS_ISA_SET_SSSE3,	   ZYDIS_ISA_SET_SSSE3MMX,
	ZYDIS_ISA_SET_VAES,	   ZYDIS_ISA_SET_VPCLMULQDQ,
	ZYDIS_ISA_SET_X87,	   ZYDIS_ISA_SET_CMPXCHG16B,
};

static const uint8_t refused_category[] = {
	ZYDIS_CATEGORY_CALL,	   ZYDIS_CATEGORY_COND_BR,
	ZYDIS_CATEGORY_INTERRUPT,  ZYDIS_CATEGORY_IO,
	ZYDIS_CATEGORY_IOSTRINGOP, ZYDIS_CATEGORY_RET,
	ZYDIS_CATEGORY_SEGOP,	   ZYDIS_CATEGORY_SYSCALL,
	ZYDIS_CATEGORY_SYSRET,	   ZYDIS_CATEGORY_SYSTEM,
	ZYDIS_CATEGORY_UNCOND_BR,  ZYDIS_CATEGORY_XSAVE,
	ZYDIS_CATEGORY_XSAVEOPT,   ZYDIS_CATEGORY_PREFETCH,
};

/*
 * Flags beyond the arithmetic ones (POPF, CLI, STI), an address of their own
 * (MOV moffs), x87 environments (they hold pointers), or bits that only the
 * host has (MXCSR.MM).
 */
static const uint16_t refused[] = {
	ZYDIS_MNEMONIC_POPF,	  ZYDIS_MNEMONIC_POPFD,
	ZYDIS_MNEMONIC_POPFQ,	  ZYDIS_MNEMONIC_PUSHF,
	ZYDIS_MNEMONIC_PUSHFD,	  ZYDIS_MNEMONIC_PUSHFQ,
	ZYDIS_MNEMONIC_CLI,	  ZYDIS_MNEMONIC_STI,
	ZYDIS_MNEMONIC_ENTER,	  ZYDIS_MNEMONIC_FNSTENV,
	ZYDIS_MNEMONIC_FNSAVE,	  ZYDIS_MNEMONIC_FLDENV,
	ZYDIS_MNEMONIC_FRSTOR,	  ZYDIS_MNEMONIC_HLT,
	ZYDIS_MNEMONIC_UD0,	  ZYDIS_MNEMONIC_UD1,
	ZYDIS_MNEMONIC_UD2,	  ZYDIS_MNEMONIC_FXSAVE,
	ZYDIS_MNEMONIC_FXRSTOR,	  ZYDIS_MNEMONIC_FXSAVE64,
	ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_LSL,
	ZYDIS_MNEMONIC_LAR,	  ZYDIS_MNEMONIC_VERR,
	ZYDIS_MNEMONIC_VERW,	  ZYDIS_MNEMONIC_CPUID,
	ZYDIS_MNEMONIC_LDMXCSR,	  ZYDIS_MNEMONIC_VLDMXCSR,
};

static ZydisDecoder decoder;

static bool accepted(const ZydisDecodedInstruction *zi)
{
	unsigned int i;
	bool known = false;

	for (i = 0; i < sizeof(allowed_isa); i++)
		known |= allowed_isa[i] == zi->meta.isa_set;
	for (i = 0; i < sizeof(refused_category); i++)
		known &= refused_category[i] != zi->meta.category;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		known &= refused[i] != zi->mnemonic;
	return known && !(zi->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED);
}

static uint32_t signature(const ZydisDecodedInstruction *zi,
			  const ZydisDecodedOperand *zo)
{
	uint32_t h = zi->encoding * 31u + zi->opcode_map;
	unsigned int i;

	for (i = 0; i < zi->operand_count_visible; i++) {
		h = h * 31 + zo[i].type;
		h = h * 31 + zo[i].size;
		if (zo[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			h = h * 31 + ZydisRegisterGetClass(zo[i].reg.value) %
					     ZYDIS_REGCLASS_TEST;
	}
	return h * 31 + zi->raw.imm[0].size;
}

/* --- building bytes ---------------------------------------------------- */

struct fields {
	unsigned int reg, rm, vvvv; /* 0 .. 15 */
	unsigned int base, index, scale;
	bool has_index, rex;
	int32_t disp;
	uint64_t imm;
	uint8_t rep; /* F2 or F3 before a string instruction */
};

static void put(struct sample *s, unsigned int byte)
{
	s->bytes[s->length++] = (uint8_t)byte;
}

static void put_value(struct sample *s, uint64_t v, unsigned int bytes)
{
	memcpy(s->bytes + s->length, &v, bytes);
	s->length += bytes;
}

static void put_vex(struct sample *s, const struct form *f,
		    const struct fields *x, unsigned int rxb)
{
	static const uint8_t pp[] = { [0x66 & 15] = 1,
				      [0xf3 & 15] = 2,
				      [0xf2 & 15] = 3 };
	unsigned int p = f->prefix ? pp[f->prefix & 15] : 0;
	unsigned int tail = (~x->vvvv & 15) << 3 | (unsigned int)f->l << 2 | p;

	if (f->map == 1 && !f->w && !(rxb & 3) && x->scale & 1) {
		put(s, 0xc5);
		put(s, (rxb & 4 ? 0 : 0x80) | tail);
		return;
	}
	put(s, 0xc4);
	put(s, (~rxb & 7) << 5 | f->map);
	put(s, (unsigned int)f->w << 7 | tail);
}

static void put_modrm(struct sample *s, const struct form *f,
		      const struct fields *x)
{
	unsigned int reg = f->ext == FREE ? x->reg & 7 : f->ext;

	if (!f->mem) {
		put(s, 0xc0 | reg << 3 | (f->rm == FREE ? x->rm & 7u : f->rm));
		return;
	}
	put(s, 0x80 | reg << 3 | 4);
	put(s, x->scale << 6 | (x->has_index ? (x->index & 7) << 3 : 4 << 3) |
		       (x->base & 7));
	put_value(s, (uint32_t)x->disp, 4);
}

static void build(struct sample *s, const struct form *f,
		  const struct fields *x)
{
	static const uint8_t escape[] = { 0, 0, 0x38, 0x3a };
	unsigned int reg = f->modrm && f->ext == FREE ? x->reg : 0;
	bool rm_free = f->modrm ? f->rm == FREE : f->opcode_register;
	unsigned int b = f->mem ? x->base : rm_free ? x->rm : 0;
	unsigned int rxb = (reg >> 3) << 2 | b >> 3 |
			   (f->mem && x->has_index ? (x->index >> 3) << 1 : 0);

	s->length = 0;
	if (f->vex) {
		put_vex(s, f, x, rxb);
	} else {
		if (x->rep)
			put(s, x->rep);
		if (f->prefix)
			put(s, f->prefix);
		if (rxb || f->w || x->rex)
			put(s, 0x40 | (unsigned int)f->w << 3 | rxb);
		if (f->map)
			put(s, 0x0f);
		if (f->map >= 2)
			put(s, escape[f->map]);
	}
	put(s, f->opcode | (f->opcode_register ? x->rm & 7 : 0));
	if (f->modrm)
		put_modrm(s, f, x);
	put_value(s, x->imm, f->imm);
}

static bool decode(struct sample *s, ZydisDecodedOperand *zo)
{
	uint8_t padded[16] = { 0 };

	memcpy(padded, s->bytes, s->length);
	return ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&decoder, padded, 15, &s->zi, zo));
}

/* --- finding the forms ------------------------------------------------- */

static bool known(const struct form *forms, unsigned int count,
		  const struct form *f)
{
	while (count--)
		if (forms[count].mnemonic == f->mnemonic &&
		    forms[count].signature == f->signature &&
		    forms[count].w == f->w && forms[count].l == f->l &&
		    forms[count].ext == f->ext)
			return true;
	return false;
}

/* Which fields name registers. False: not an operand for this test. */
static bool note_operand(struct form *f, const ZydisDecodedOperand *zo)
{
	switch (zo->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		f->ext = FREE;
		break;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		f->rm = FREE;
		break;
	case ZYDIS_OPERAND_ENCODING_OPCODE:
		f->opcode_register = 1;
		f->opcode &= 0xf8;
		break;
	case ZYDIS_OPERAND_ENCODING_DISP8:
	case ZYDIS_OPERAND_ENCODING_DISP16:
	case ZYDIS_OPERAND_ENCODING_DISP32:
	case ZYDIS_OPERAND_ENCODING_DISP64:
	case ZYDIS_OPERAND_ENCODING_DISP16_32_64:
	case ZYDIS_OPERAND_ENCODING_DISP32_32_64:
	case ZYDIS_OPERAND_ENCODING_DISP16_32_32:
		return false; /* MOV moffs */
	default:
		break;
	}
	return zo->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	       ZydisRegisterGetClass(zo->reg.value) != ZYDIS_REGCLASS_SEGMENT;
}

static unsigned int try_form(struct form *forms, unsigned int count,
			     struct form f, unsigned int reg, unsigned int rm)
{
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	struct fields x = { .reg = reg, .rm = rm, .base = 3 };
	struct sample s;
	unsigned int i;

	f.modrm = 1;
	f.ext = (uint8_t)reg;
	f.rm = (uint8_t)rm;
	build(&s, &f, &x);
	if (!decode(&s, zo)) {
		x.vvvv = 1; /* gathers want three registers */
		build(&s, &f, &x);
		if (!decode(&s, zo))
			return count;
	}
	f.modrm = !!(s.zi.attributes & ZYDIS_ATTRIB_HAS_MODRM);
	if (!accepted(&s.zi) || count == FORMS_MAX ||
	    (!f.modrm && (reg || rm || f.mem)))
		return count;
	for (i = 0; i < s.zi.operand_count; i++)
		if (!note_operand(&f, &zo[i]))
			return count;
	f.imm = s.zi.raw.imm[0].size / 8;
	f.mnemonic = s.zi.mnemonic;
	f.signature = signature(&s.zi, zo);
	if (s.zi.raw.imm[1].size || known(forms, count, &f))
		return count;
	forms[count] = f;
	return count + 1;
}

static unsigned int try_opcode(struct form *forms, unsigned int count,
			       const struct form *base)
{
	struct form f = *base;
	bool x87 = !f.vex && !f.map && (f.opcode & 0xf8) == 0xd8;
	unsigned int reg, rm;

	for (reg = 0; reg < 8; reg++) {
		f.mem = 1;
		count = try_form(forms, count, f, reg, 0);
		f.mem = 0;
		for (rm = 0; rm < (x87 ? 8 : 1); rm++)
			count = try_form(forms, count, f, reg, rm);
	}
	return count;
}

/* Prefixes and escapes are no opcodes of their map. */
static bool is_opcode(const struct form *f)
{
	unsigned int o = f->opcode;

	if (f->vex || f->map > 1)
		return true;
	if (f->map == 1)
		return o != 0x38 && o != 0x3a;
	return o != 0x0f && (o & 0xe7) != 0x26 && (o & 0xf0) != 0x40 &&
	       (o & 0xfc) != 0x64 && o != 0x62 && o != 0xc4 && o != 0xc5 &&
	       o != 0xf0 && o != 0xf2 && o != 0xf3;
}

unsigned int forms_find(struct form *forms)
{
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned int n = 0, at;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
			 ZYDIS_STACK_WIDTH_64);
	/* vex, map, prefix, w, l, opcode in one count */
	for (at = 0; at < 2u << 16; at++) {
		struct form f = {
			.vex = at >> 16 & 1,
			.l = at >> 15 & 1,
			.map = at >> 13 & 3,
			.prefix = prefixes[at >> 11 & 3],
			.w = at >> 10 & 1,
			.opcode = at & 0xff,
		};

		if (at >> 8 & 3 || (f.vex ? !f.map : f.l) || !is_opcode(&f))
			continue;
		n = try_opcode(forms, n, &f);
	}
	return n;
}

/* --- drawing an instruction -------------------------------------------- */

static uint64_t data_address(void)
{
	uint64_t at = random_below(DATA_SIZE - 1024) + 256;

	switch (random_below(4)) {
	case 0:
		return DATA_BASE + at;
	case 1:
		return DATA_BASE + (at & ~15ull);
	default:
		return DATA_BASE + (at & ~63ull);
	}
}

/* Indices of a gather stay near its base. */
static void small_indices(struct machine *m, unsigned int vector, bool wide)
{
	unsigned int i, step = wide ? 8 : 4;
	uint64_t v;

	for (i = 0; i < 32; i += step) {
		uint8_t *at =
			m->xsave + (i < 16 ? 160 : 576 - 16) + 16 * vector + i;

		v = random_below(48);
		memcpy(at, &v, step);
	}
}

static bool is_gather(const struct form *f)
{
	return f->vex && f->map == 2 && (f->opcode & 0xfc) == 0x90;
}

static void draw_fields(const struct form *f, struct fields *x)
{
	*x = (struct fields){
		.reg = random_below(16),
		.rm = random_below(16),
		.vvvv = random_below(2) ? random_below(16) : 0,
		.base = random_below(16),
		.index = random_below(16),
		.scale = random_below(4),
		.has_index = random_below(2),
		.rex = !random_below(4),
		.disp = (int32_t)random_below(4096) - 2048,
		.imm = random64(),
	};
	if (is_gather(f))
		x->has_index = true;
	else if (x->index == 4 || x->index == x->base)
		x->has_index = false;
}

/* Registers of implicit memory operands: string, stack, XLAT, MASKMOV. */
static bool place_implicit(const struct sample *s,
			   const ZydisDecodedOperand *zo, const struct form *f,
			   const struct fields *x, struct machine *m)
{
	unsigned int i;

	for (i = 0; i < s->zi.operand_count; i++) {
		int base;

		if (zo[i].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    zo[i].encoding != ZYDIS_OPERAND_ENCODING_NONE)
			continue;
		base = ZydisRegisterGetId(zo[i].mem.base);
		if (f->mem && ((int)x->base == base ||
			       (x->has_index && (int)x->index == base)))
			return false;
		m->gpr[base] = data_address() + 512;
	}
	if (s->zi.meta.category == ZYDIS_CATEGORY_STRINGOP)
		m->gpr[1] = random_below(6);
	return true;
}

/* BT and its kin with a bit offset that may lead anywhere. */
static bool has_bit_offset(const struct form *f)
{
	return f->ext == FREE && (f->mnemonic == ZYDIS_MNEMONIC_BT ||
				  f->mnemonic == ZYDIS_MNEMONIC_BTC ||
				  f->mnemonic == ZYDIS_MNEMONIC_BTR ||
				  f->mnemonic == ZYDIS_MNEMONIC_BTS);
}

static void place_explicit(const struct form *f, const struct fields *x,
			   struct machine *m)
{
	uint64_t at = data_address() - (uint64_t)(int64_t)x->disp;

	if (has_bit_offset(f))
		m->gpr[x->reg] = random_below(1 << 17) - (1ull << 16);
	if (is_gather(f)) {
		small_indices(m, x->index, f->opcode & 1);
	} else if (x->has_index) {
		m->gpr[x->index] = random_below(256) - 128ull;
		at -= m->gpr[x->index] << x->scale;
	}
	m->gpr[x->base] = at;
}

static uint8_t extra_prefix(const struct form *f, const struct sample *s)
{
	if (s->zi.meta.category == ZYDIS_CATEGORY_STRINGOP)
		return (const uint8_t[]){ 0, 0xf2, 0xf3 }[random_below(3)];
	if (f->mem && s->zi.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK)
		return random_below(2) ? 0xf0 : 0;
	return 0;
}

static bool draw_once(const struct form *f, struct sample *s, struct machine *m)
{
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	struct fields x;

	draw_fields(f, &x);
	build(s, f, &x);
	if (!decode(s, zo))
		return false;
	x.rep = extra_prefix(f, s);
	build(s, f, &x);
	if (!decode(s, zo) || s->zi.length != s->length ||
	    s->zi.mnemonic != f->mnemonic || !place_implicit(s, zo, f, &x, m))
		return false;
	if (f->mem)
		place_explicit(f, &x, m);
	s->undefined = s->zi.cpu_flags ? s->zi.cpu_flags->undefined : 0;
	return true;
}

bool forms_draw(const struct form *form, struct sample *s, struct machine *m)
{
	unsigned int tries;

	for (tries = 0; tries < 100; tries++)
		if (draw_once(form, s, m))
			return true;
	return false;
}
