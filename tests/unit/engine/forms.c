/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instruction forms there are: every opcode of every map and prefix
 * is put to the decoder, and each new pair of mnemonic and operand types is
 * a form. Left out: control transfers, system and privileged instructions,
 * what is not deterministic, and what the guest is not offered.
 */
#include "compare.h"

#include <string.h>

#include "x86/cpuid.h"
#include "x86/insn.h"

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

/* Those of AVX-512, if the host has the leaf 7 bit: register 1 is EBX. */
static const struct {
	uint8_t first, last; /* ZydisISASet */
	uint8_t subleaf, reg, bit;
} avx512_isa[] = {
#define LENGTHS(name) \
	ZYDIS_ISA_SET_AVX512_##name##_128, ZYDIS_ISA_SET_AVX512_##name##_512
	{ ZYDIS_ISA_SET_AVX512BW_128, ZYDIS_ISA_SET_AVX512DQ_SCALAR, 0, 1, 16 },
	{ ZYDIS_ISA_SET_AVX512F_128, ZYDIS_ISA_SET_AVX512F_SCALAR, 0, 1, 16 },
	{ LENGTHS(IFMA), 0, 1, 21 },
	{ LENGTHS(VBMI), 0, 2, 1 },
	{ LENGTHS(VBMI2), 0, 2, 6 },
	{ LENGTHS(GFNI), 0, 2, 8 },
	{ LENGTHS(VAES), 0, 2, 9 },
	{ LENGTHS(VPCLMULQDQ), 0, 2, 10 },
	{ LENGTHS(VNNI), 0, 2, 11 },
	{ LENGTHS(BITALG), 0, 2, 12 },
	{ LENGTHS(VPOPCNTDQ), 0, 2, 14 },
	{ LENGTHS(VP2INTERSECT), 0, 3, 8 },
	{ LENGTHS(BF16), 1, 0, 5 },
	{ ZYDIS_ISA_SET_AVX_VNNI, ZYDIS_ISA_SET_AVX_VNNI, 1, 0, 4 },
#undef LENGTHS
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

static bool is_avx512(ZydisISASet isa)
{
	unsigned int i;

	for (i = 0; i < sizeof(avx512_isa) / sizeof(avx512_isa[0]); i++) {
		const uint32_t subleaf = avx512_isa[i].subleaf;
		const struct cpuid_regs r = cpuid_host(7, subleaf);
		const uint32_t v[] = { r.eax, r.ebx, r.ecx, r.edx };

		if (isa >= avx512_isa[i].first && isa <= avx512_isa[i].last)
			return on_host_avx512() &&
			       v[avx512_isa[i].reg] >> avx512_isa[i].bit & 1;
	}
	return false;
}

static bool accepted(const ZydisDecodedInstruction *zi)
{
	unsigned int i;
	bool known = is_avx512(zi->meta.isa_set);

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
	h = h * 31 + zi->avx.broadcast.mode;
	return h * 31 + zi->raw.imm[0].size;
}

/* Gathers and scatters: the index is a vector. */
static bool is_vsib(const struct form *f)
{
	if (!f->vex || f->map != 2 || !f->mem)
		return false;
	return (f->opcode & 0xfc) == 0x90 ||
	       (f->vex == X86_EVEX && (f->opcode & 0xfc) == 0xa0);
}

/* --- building bytes ---------------------------------------------------- */

struct fields {
	unsigned int reg, rm, vvvv; /* 0 .. 15, with EVEX 31 */
	unsigned int base, index, scale;
	bool has_index, rex, disp8;
	unsigned int aaa;
	bool z;
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

static void put_evex(struct sample *s, const struct form *f,
		     const struct fields *x, unsigned int rxb)
{
	static const uint8_t pp[] = { [0x66 & 15] = 1,
				      [0xf3 & 15] = 2,
				      [0xf2 & 15] = 3 };
	unsigned int p = f->prefix ? pp[f->prefix & 15] : 0;
	bool reg_high = f->ext == FREE && x->reg & 16;
	bool vvvv_high = is_vsib(f) ? x->index & 16 : x->vvvv & 16;

	if (!f->mem && x->rm & 16)
		rxb |= 2;
	put(s, 0x62);
	put(s, (~rxb & 7) << 5 | (reg_high ? 0u : 0x10) | f->map);
	put(s, (unsigned int)f->w << 7 | (~x->vvvv & 15) << 3 | 4 | p);
	put(s, (x->z ? 0x80u : 0) | (unsigned int)f->l << 5 |
		       (unsigned int)f->b << 4 | (vvvv_high ? 0 : 8u) | x->aaa);
}

static void put_modrm(struct sample *s, const struct form *f,
		      const struct fields *x)
{
	unsigned int reg = f->ext == FREE ? x->reg & 7 : f->ext;

	if (!f->mem) {
		put(s, 0xc0 | reg << 3 | (f->rm == FREE ? x->rm & 7u : f->rm));
		return;
	}
	put(s, (x->disp8 ? 0x40u : 0x80u) | reg << 3 | 4);
	put(s, x->scale << 6 | (x->has_index ? (x->index & 7) << 3 : 4 << 3) |
		       (x->base & 7));
	put_value(s, (uint32_t)x->disp, x->disp8 ? 1 : 4);
}

static void build(struct sample *s, const struct form *f,
		  const struct fields *x)
{
	static const uint8_t escape[] = { 0, 0, 0x38, 0x3a };
	unsigned int reg = f->modrm && f->ext == FREE ? x->reg : 0;
	bool rm_free = f->modrm ? f->rm == FREE : f->opcode_register;
	unsigned int b = f->mem ? x->base : rm_free ? x->rm : 0;
	unsigned int rxb = (reg >> 1 & 4) | (b >> 3 & 1) |
			   (f->mem && x->has_index ? x->index >> 2 & 2 : 0);

	s->length = 0;
	if (f->vex == X86_EVEX) {
		put_evex(s, f, x, rxb);
	} else if (f->vex) {
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
		    forms[count].b == f->b &&
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
	}
	if (!decode(&s, zo) && f.vex == X86_EVEX && f.mem) {
		/* or an opmask and an index */
		x.vvvv = 0;
		x.aaa = 1;
		x.has_index = true;
		x.index = 1;
		build(&s, &f, &x);
	}
	if (!decode(&s, zo))
		return count;
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
			.vex = at >> 16 & 1 ? X86_VEX : X86_LEGACY,
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
	/* EVEX: map, prefix, w, l, b, opcode */
	for (at = 0; at < 1u << 16 && on_host_avx512(); at++) {
		struct form f = {
			.vex = X86_EVEX,
			.map = at >> 14 & 3,
			.prefix = prefixes[at >> 12 & 3],
			.w = at >> 11 & 1,
			.l = at >> 9 & 3,
			.b = at >> 8 & 1,
			.opcode = at & 0xff,
		};

		if (f.map)
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
	unsigned int i, step = wide ? 8 : 4, end = on_host_avx512() ? 64 : 32;
	uint64_t v;

	for (i = 0; i < end; i += step) {
		uint8_t *at = m->xsave + i;

		if (vector >= 16)
			at += X86_XSAVE_HI16_ZMM + 64 * (vector - 16);
		else if (i < 16)
			at += 160 + 16 * vector;
		else if (i < 32)
			at += X86_XSAVE_YMM - 16 + 16 * vector;
		else
			at += X86_XSAVE_ZMM_HI256 - 32 + 32 * vector;
		v = random_below(48);
		memcpy(at, &v, step);
	}
}

static void draw_evex(const struct form *f, struct fields *x)
{
	x->reg = random_below(32);
	x->rm = random_below(32);
	x->vvvv = random_below(2) ? random_below(32) : 0;
	if (is_vsib(f))
		x->index = random_below(32);
	if (random_below(4) || is_vsib(f))
		x->aaa = random_below(8);
	x->z = x->aaa && !random_below(3);
	x->disp8 = random_below(2);
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
	if (f->vex == X86_EVEX)
		draw_evex(f, x);
	if (is_vsib(f))
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
	uint64_t at = data_address();

	/* The last elements of what an opmask covers may be missing. */
	if (x->aaa && !random_below(4) && !is_vsib(f))
		at = DATA_BASE + DATA_SIZE - 1 - random_below(64);
	at -= (uint64_t)(int64_t)x->disp;

	if (has_bit_offset(f))
		m->gpr[x->reg] = random_below(1 << 17) - (1ull << 16);
	if (is_vsib(f)) {
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
	unsigned int i;

	draw_fields(f, &x);
	build(s, f, &x);
	if (!decode(s, zo))
		return false;
	x.rep = f->vex ? 0 : extra_prefix(f, s);
	build(s, f, &x);
	if (!decode(s, zo) || s->zi.length != s->length ||
	    s->zi.mnemonic != f->mnemonic || !place_implicit(s, zo, f, &x, m))
		return false;
	for (i = 0; i < s->zi.operand_count && x.disp8; i++)
		if (zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			x.disp = (int32_t)zo[i].mem.disp.value;
	if (f->mem)
		place_explicit(f, &x, m);
	s->undefined = s->zi.cpu_flags ? s->zi.cpu_flags->undefined : 0;
	return true;
}

bool forms_draw(const struct form *form, struct sample *s, struct machine *m)
{
	unsigned int tries;

	for (tries = 0; tries < 1000; tries++)
		if (draw_once(form, s, m))
			return true;
	return false;
}
