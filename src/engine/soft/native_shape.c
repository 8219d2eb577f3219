/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a decoded instruction to its shape: which operands it has, what they
 * need, and the instruction's bytes with renamed registers. Legacy
 * instructions are written with an explicit REX, VEX ones with the
 * three-byte prefix, EVEX ones with k1 for their opmask. The result is decoded
 * again and must be the same instruction.
 */
#include "engine/soft/native_op.h"

#include "x86/insn.h"

/* Renamed registers, by kind and field; see native_op.h. */
static const uint8_t renamed[][NATIVE_FIXED] = {
	[NATIVE_VECTOR] = { [NATIVE_REG] = 1,
			    [NATIVE_RM] = 2,
			    [NATIVE_VVVV] = 3,
			    [NATIVE_IS4] = 4 },
	[NATIVE_MMX] = { [NATIVE_REG] = 1, [NATIVE_RM] = 2 },
	[NATIVE_GPR] = { [NATIVE_REG] = 8,
			 [NATIVE_RM] = 9,
			 [NATIVE_VVVV] = 10 },
	[NATIVE_OPMASK] = { [NATIVE_REG] = 2,
			    [NATIVE_RM] = 4,
			    [NATIVE_VVVV] = 5,
			    [NATIVE_AAA] = 1 },
};

#define MEMORY_BASE 6 /* rsi */

static bool field_of(const ZydisDecodedOperand *zo, uint8_t *field)
{
	switch (zo->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		*field = NATIVE_REG;
		break;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		*field = NATIVE_RM;
		break;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		*field = NATIVE_VVVV;
		break;
	case ZYDIS_OPERAND_ENCODING_IS4:
		*field = NATIVE_IS4;
		break;
	case ZYDIS_OPERAND_ENCODING_MASK:
		*field = NATIVE_AAA;
		break;
	case ZYDIS_OPERAND_ENCODING_NONE:
		*field = NATIVE_FIXED;
		break;
	default:
		return false;
	}
	return true;
}

#define ACTION_READ                                                            \
	(ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD |           \
	 ZYDIS_OPERAND_ACTION_CONDWRITE)
#define ACTION_WRITE                                                           \
	(ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE)

/*
 * A register operand. Implicit ones are both loaded and stored, which is
 * always right. Destinations are loaded too unless they are written whole.
 */
static bool add_register(struct native_op *op, const ZydisDecodedOperand *zo)
{
	ZydisRegister reg = zo->reg.value;
	struct native_operand *o = &op->operand[op->count];
	int id = ZydisRegisterGetId(reg);

	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
		o->kind = NATIVE_VECTOR;
		if (op->flags & NATIVE_VEX)
			op->need |= X86_MODE_AVX;
		else if (!(op->flags & NATIVE_EVEX))
			op->need |= X86_MODE_SSE;
		break;
	case ZYDIS_REGCLASS_MMX:
		o->kind = NATIVE_MMX;
		op->flags |= NATIVE_HAS_MMX;
		break;
	case ZYDIS_REGCLASS_MASK:
		/* k0 in place of an opmask is none. */
		if (zo->encoding == ZYDIS_OPERAND_ENCODING_MASK && !id)
			return true;
		o->kind = NATIVE_OPMASK;
		op->need |= X86_MODE_AVX512;
		break;
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		o->kind = NATIVE_GPR;
		break;
	case ZYDIS_REGCLASS_FLAGS:
	case ZYDIS_REGCLASS_X87:
		return true;
	default: /* x87 control and status: saved with the rest */
		return op->flags & NATIVE_X87;
	}
	if (op->count == NATIVE_OPERANDS_MAX - 1 || !field_of(zo, &o->field))
		return false;
	o->wide = ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_YMM ||
		  ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_ZMM;
	if (o->wide)
		op->flags |= NATIVE_DIRTY_YMM;
	o->store = zo->actions & ACTION_WRITE;
	if (o->field == NATIVE_FIXED) {
		o->number = (uint8_t)id;
		o->load = o->store = true;
		op->count++;
		return o->kind == NATIVE_GPR ? id < 3 : id == 0;
	}
	o->number = renamed[o->kind][o->field];
	o->load = zo->actions & ACTION_READ ||
		  (o->kind == NATIVE_GPR && zo->size < 32) ||
		  (o->kind == NATIVE_VECTOR && !(op->flags & NATIVE_VEX));
	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR8 &&
	    reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		op->flags |= NATIVE_HIGH_BYTE;
	op->count++;
	return true;
}

static bool add_memory(struct native_op *op, const ZydisDecodedOperand *zo)
{
	if (zo->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
	    zo->size > 8 * sizeof(((struct native *)0)->bounce))
		return false;
	if (zo->actions & ACTION_READ)
		op->flags |= NATIVE_READ;
	if (zo->actions & ACTION_WRITE)
		op->flags |= NATIVE_WRITE;
	op->size = (uint8_t)(zo->size / 8);
	return op->size != 0;
}

/* Legacy SSE faults on misaligned 16-byte operands, but for these. */
static bool may_misalign(ZydisMnemonic m)
{
	static const uint16_t exempt[] = {
		ZYDIS_MNEMONIC_MOVUPS,	  ZYDIS_MNEMONIC_MOVUPD,
		ZYDIS_MNEMONIC_MOVDQU,	  ZYDIS_MNEMONIC_LDDQU,
		ZYDIS_MNEMONIC_PCMPESTRI, ZYDIS_MNEMONIC_PCMPESTRM,
		ZYDIS_MNEMONIC_PCMPISTRI, ZYDIS_MNEMONIC_PCMPISTRM,
	};
	unsigned int i;

	for (i = 0; i < sizeof(exempt) / sizeof(exempt[0]); i++)
		if (exempt[i] == m)
			return true;
	return false;
}

/* VEX instructions do not, but for these. */
static bool must_align(ZydisMnemonic m)
{
	static const uint16_t aligned[] = {
		ZYDIS_MNEMONIC_VMOVAPS,	  ZYDIS_MNEMONIC_VMOVAPD,
		ZYDIS_MNEMONIC_VMOVDQA,	  ZYDIS_MNEMONIC_VMOVNTDQ,
		ZYDIS_MNEMONIC_VMOVNTPS,  ZYDIS_MNEMONIC_VMOVNTPD,
		ZYDIS_MNEMONIC_VMOVNTDQA, ZYDIS_MNEMONIC_VMOVDQA32,
		ZYDIS_MNEMONIC_VMOVDQA64,
	};
	unsigned int i;

	for (i = 0; i < sizeof(aligned) / sizeof(aligned[0]); i++)
		if (aligned[i] == m)
			return true;
	return false;
}

static void find_alignment(struct native_op *op,
			   const ZydisDecodedInstruction *zi)
{
	op->align = 1;
	if (op->flags & NATIVE_X87)
		return;
	if (op->flags & (NATIVE_VEX | NATIVE_EVEX)
		    ? must_align(zi->mnemonic)
		    : op->size == 16 && !may_misalign(zi->mnemonic))
		op->align = op->size;
}

/* MXCSR tells these only whether denormals are zeros. */
static bool is_quiet(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VFPCLASSPS:
	case ZYDIS_MNEMONIC_VFPCLASSPD:
	case ZYDIS_MNEMONIC_VFPCLASSSS:
	case ZYDIS_MNEMONIC_VFPCLASSSD:
	case ZYDIS_MNEMONIC_VRCP14PS:
	case ZYDIS_MNEMONIC_VRCP14PD:
	case ZYDIS_MNEMONIC_VRCP14SS:
	case ZYDIS_MNEMONIC_VRCP14SD:
	case ZYDIS_MNEMONIC_VRSQRT14PS:
	case ZYDIS_MNEMONIC_VRSQRT14PD:
	case ZYDIS_MNEMONIC_VRSQRT14SS:
	case ZYDIS_MNEMONIC_VRSQRT14SD:
		return true;
	default:
		return false;
	}
}

/* Rounding, denormal handling and exceptions depend on MXCSR. */
static bool obeys_mxcsr(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_CVTPI2PS:
	case ZYDIS_MNEMONIC_CVTPI2PD:
	case ZYDIS_MNEMONIC_CVTPS2PI:
	case ZYDIS_MNEMONIC_CVTPD2PI:
	case ZYDIS_MNEMONIC_CVTTPS2PI:
	case ZYDIS_MNEMONIC_CVTTPD2PI:
		return true;
	default:
		break;
	}
	switch (zi->meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E2NF:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E3NF:
	case ZYDIS_EXCEPTION_CLASS_E11:
	case ZYDIS_EXCEPTION_CLASS_E11NF:
		return true;
	default:
		return false;
	}
}

static void find_flags(struct native_op *op, const ZydisDecodedInstruction *zi)
{
	const ZydisAccessedFlags *f = zi->cpu_flags;
	uint32_t written;

	if (!f)
		return;
	written = (f->modified | f->set_0 | f->set_1 | f->undefined) &
		  X86_FLAGS_ARITH;
	if (written)
		op->flags |= NATIVE_FLAGS_OUT;
	if (f->tested & X86_FLAGS_ARITH ||
	    (written && written != X86_FLAGS_ARITH))
		op->flags |= NATIVE_FLAGS_IN;
}

static bool find_operands(struct native_op *op,
			  const ZydisDecodedInstruction *zi,
			  const ZydisDecodedOperand *zo)
{
	unsigned int i;

	for (i = 0; i < zi->operand_count; i++) {
		bool ok = true;

		if (zo[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			ok = add_register(op, &zo[i]);
		else if (zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			ok = add_memory(op, &zo[i]);
		if (!ok)
			return false;
	}
	return true;
}

/* --- the renamed instruction ------------------------------------------- */

static void put(struct native_op *op, unsigned int byte)
{
	op->code[op->length++] = (uint8_t)byte;
}

/* The host register in an encoding field, or `otherwise` when none. */
static unsigned int host_register(const struct native_op *op,
				  enum native_field field,
				  unsigned int otherwise)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		if (op->operand[i].field == field)
			return op->operand[i].number;
	return otherwise;
}

static void put_modrm(struct native_op *op, const struct x86_insn *insn,
		      unsigned int reg, unsigned int rm)
{
	if (insn->mem)
		put(op, (reg & 7) << 3 | MEMORY_BASE);
	else
		put(op, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void put_immediate(struct native_op *op, const struct x86_insn *insn)
{
	unsigned int i;

	if (insn->imm_size != 1)
		return;
	for (i = 0; i < op->count; i++)
		if (op->operand[i].field == NATIVE_IS4) {
			put(op, op->operand[i].number << 4 | (insn->imm & 15));
			return;
		}
	put(op, (uint8_t)insn->imm);
}

static bool has_gpr(const struct native_op *op)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		if (op->operand[i].kind == NATIVE_GPR)
			return true;
	return false;
}

/* 66 is the operand size of these, besides the mandatory prefix. */
static bool sized_by_66(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_MOVBE || m == ZYDIS_MNEMONIC_CRC32;
}

static void put_legacy(struct native_op *op, const struct x86_insn *insn,
		       const ZydisDecodedInstruction *zi)
{
	static const uint8_t escape[] = {
		[X86_MAP_0F38] = 0x38, [X86_MAP_0F3A] = 0x3a
	};
	unsigned int reg = host_register(op, NATIVE_REG, insn->modrm >> 3 & 7);
	unsigned int rm = host_register(op, NATIVE_RM, insn->modrm & 7);
	unsigned int rex = 0x40 | (reg & 8) >> 1 | (insn->mem ? 0 : rm >> 3);
	unsigned int i;

	if (sized_by_66(zi->mnemonic) && zi->operand_width == 16)
		put(op, 0x66);
	for (i = 0; i < zi->raw.prefix_count; i++)
		if (zi->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			put(op, zi->raw.prefixes[i].value);
	if (zi->raw.rex.W)
		rex |= 8;
	if (!(op->flags & NATIVE_X87))
		put(op, rex);
	if (insn->map != X86_MAP_ONE)
		put(op, 0x0f);
	if (insn->map >= X86_MAP_0F38)
		put(op, escape[insn->map]);
	put(op, insn->opcode);
	put_modrm(op, insn, reg, rm);
	put_immediate(op, insn);
}

static void put_vex(struct native_op *op, const struct x86_insn *insn,
		    const ZydisDecodedInstruction *zi, bool w)
{
	unsigned int reg = host_register(op, NATIVE_REG, insn->modrm >> 3 & 7);
	unsigned int rm = host_register(op, NATIVE_RM, insn->modrm & 7);
	unsigned int vvvv = host_register(op, NATIVE_VVVV, 0);
	unsigned int b1 = insn->map;

	if (!(reg & 8))
		b1 |= 0x80;
	b1 |= 0x40;
	if (insn->mem || !(rm & 8))
		b1 |= 0x20;
	put(op, 0xc4);
	put(op, b1);
	put(op, (w ? 0x80u : 0) | (~vvvv & 15) << 3 |
			(unsigned int)zi->raw.vex.L << 2 | zi->raw.vex.pp);
	put(op, insn->opcode);
	put_modrm(op, insn, reg, rm);
	put_immediate(op, insn);
}

static void put_evex(struct native_op *op, const struct x86_insn *insn,
		     const ZydisDecodedInstruction *zi, bool w)
{
	unsigned int reg = host_register(op, NATIVE_REG, insn->modrm >> 3 & 7);
	unsigned int rm = host_register(op, NATIVE_RM, insn->modrm & 7);
	unsigned int vvvv = host_register(op, NATIVE_VVVV, 0);
	unsigned int aaa = host_register(op, NATIVE_AAA, 0);
	unsigned int b1 = 0x50u | insn->map;

	if (!(reg & 8))
		b1 |= 0x80;
	if (insn->mem || !(rm & 8))
		b1 |= 0x20;
	put(op, 0x62);
	put(op, b1);
	put(op, (w ? 0x80u : 0) | (~vvvv & 15) << 3 | 4 | zi->raw.evex.pp);
	put(op, (insn->evex & 0xf0u) | 8 | aaa); /* V' clear */
	put(op, insn->opcode);
	put_modrm(op, insn, reg, rm);
	put_immediate(op, insn);
}

/* True when the renamed bytes decode to the instruction that was meant. */
static bool same_instruction(const struct native_op *op,
			     const ZydisDecodedInstruction *zi)
{
	ZydisDecodedInstruction again;
	ZydisDecoder decoder;

	return ZYAN_SUCCESS(ZydisDecoderInit(&decoder,
					     ZYDIS_MACHINE_MODE_LONG_64,
					     ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
		       &decoder, NULL, op->code, op->length, &again)) &&
	       again.length == op->length && again.mnemonic == zi->mnemonic;
}

static bool rename_registers(struct native_op *op, const struct x86_insn *insn,
			     const ZydisDecodedInstruction *zi)
{
	bool evex = op->flags & NATIVE_EVEX;
	bool w = evex ? zi->raw.evex.W : zi->raw.vex.W;
	void (*put_encoding)(struct native_op *op, const struct x86_insn *insn,
			     const ZydisDecodedInstruction *zi, bool w);

	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
		put_legacy(op, insn, zi);
		return same_instruction(op, zi);
	}
	put_encoding = evex ? put_evex : put_vex;
	/* Outside 64-bit code W does not widen general registers. */
	if (op->flags & NATIVE_NARROW) {
		put_encoding(op, insn, zi, false);
		if (same_instruction(op, zi))
			return true;
		if (has_gpr(op) || !w)
			return false;
		op->length = 0;
	}
	put_encoding(op, insn, zi, w);
	return same_instruction(op, zi);
}

/*
 * AH, CH, DH and BH cannot be named beside a REX prefix: the byte is taken
 * from the guest's state as a memory operand.
 */
static bool rename_high_byte(struct native_op *op, const struct x86_insn *insn,
			     const ZydisDecodedInstruction *zi)
{
	struct x86_insn in_memory = *insn;
	unsigned int i = op->count;

	while (i > 0 && op->operand[i - 1].field != NATIVE_RM)
		i--;
	if (i == 0 || op->operand[i - 1].store)
		return false;
	op->operand[i - 1] = op->operand[--op->count];
	in_memory.mem = true;
	return rename_registers(op, &in_memory, zi);
}

bool native_shape(struct native_op *op, const struct x86_insn *insn,
		  const ZydisDecodedInstruction *zi,
		  const ZydisDecodedOperand *operands)
{
	if (!insn->has_modrm)
		return false;
	memset(op, 0, sizeof(*op));
	op->mnemonic = zi->mnemonic;
	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		op->flags |= NATIVE_VEX;
		op->need |= X86_MODE_PROT;
	} else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
		op->flags |= NATIVE_EVEX;
		op->need |= X86_MODE_PROT | X86_MODE_AVX512;
	} else if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
		return false;
	}
	if (zi->machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
		op->flags |= NATIVE_NARROW;
	if (insn->map == X86_MAP_ONE && (insn->opcode & 0xf8) == 0xd8 &&
	    !(op->flags & NATIVE_VEX))
		op->flags |= NATIVE_X87;
	if (!find_operands(op, zi, operands))
		return false;
	if (zi->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTD ||
	    zi->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTQ)
		op->flags |= NATIVE_PAIR;
	if (op->flags & NATIVE_EVEX)
		native_find_pieces(op, zi, operands);
	find_flags(op, zi);
	find_alignment(op, zi);
	if (is_quiet(zi->mnemonic))
		op->flags |= NATIVE_MXCSR | NATIVE_QUIET;
	else if (obeys_mxcsr(zi))
		op->flags |= NATIVE_MXCSR;
	if (op->flags & NATIVE_HIGH_BYTE)
		return rename_high_byte(op, insn, zi);
	return rename_registers(op, insn, zi);
}
