/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory instructions whose elements may be masked off, and must not fault
 * then: VMASKMOV, VPMASKMOV, MASKMOVDQU, MASKMOVQ, and gathers, which also
 * compute an address for each element. They move data only, so they need no
 * host instruction. Also VLDMXCSR and VSTMXCSR. Intel SDM vol. 2.
 */
#include "engine/soft/native_op.h"

static void get_vector(const struct x86_state *state, unsigned int n,
		       uint8_t v[32])
{
	memcpy(v, state->xsave + FPU_XMM + 16 * n, 16);
	memcpy(v + 16, state->xsave + X86_XSAVE_YMM + 16 * n, 16);
}

static void set_vector(struct x86_state *state, unsigned int n,
		       const uint8_t v[32])
{
	memcpy(state->xsave + FPU_XMM + 16 * n, v, 16);
	memcpy(state->xsave + X86_XSAVE_YMM + 16 * n, v + 16, 16);
	memset(state->xsave + X86_XSAVE_ZMM_HI256 + 32 * n, 0, 32);
}

static unsigned int vvvv(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
	return cpu->mode & X86_MODE_CODE64 ? insn->vvvv : insn->vvvv & 7u;
}

static bool enabled(const uint8_t *mask, unsigned int i, unsigned int size)
{
	return mask[(i + 1) * size - 1] & 0x80;
}

static enum x86_result check_avx(struct x86_cpu *cpu)
{
	const uint32_t need = X86_MODE_PROT | X86_MODE_AVX;

	return (cpu->mode & need) == need ? X86_NEXT : native_refuse(cpu, need);
}

static unsigned int vector_bytes(const struct x86_insn *insn)
{
	return insn->vector_length ? 32 : 16;
}

/* --- VMASKMOV, VPMASKMOV ----------------------------------------------- */

/* The integer forms choose by W, the floating-point ones by opcode. */
static unsigned int element_bytes(const struct x86_insn *insn)
{
	if (insn->opcode >= 0x8c)
		return insn->prefix & X86_PFX_REXW ? 8 : 4;
	return insn->opcode & 1 ? 8 : 4;
}

static enum x86_result run_masked_load(struct x86_cpu *cpu,
				       const struct x86_insn *insn)
{
	unsigned int size = element_bytes(insn);
	unsigned int i, count = vector_bytes(insn) / size;
	uint64_t ea = x86_effective(cpu, insn), linear;
	uint8_t mask[32], data[32] = { 0 };
	enum x86_result r = check_avx(cpu);

	get_vector(&cpu->state, vvvv(cpu, insn), mask);
	for (i = 0; r == X86_NEXT && i < count; i++) {
		if (!enabled(mask, i, size))
			continue;
		r = x86_linear(cpu, insn->seg, ea + i * size, size, X86_READ,
			       &linear);
		if (r == X86_NEXT)
			r = x86_read(cpu, linear, data + i * size, size);
	}
	if (r == X86_NEXT)
		set_vector(&cpu->state, insn->reg, data);
	return r;
}

/*
 * Stores the enabled ones of `count` elements at effective address `ea`:
 * probes them all before it writes any.
 */
static enum x86_result store_enabled(struct x86_cpu *cpu, unsigned int seg,
				     uint64_t ea, const uint8_t *data,
				     const uint8_t *mask, unsigned int count,
				     unsigned int size)
{
	uint64_t linear[16];
	enum x86_result r = X86_NEXT;
	unsigned int i;

	for (i = 0; r == X86_NEXT && i < count; i++) {
		if (!enabled(mask, i, size))
			continue;
		r = x86_linear(cpu, seg, ea + i * size, size, X86_WRITE,
			       &linear[i]);
		if (r == X86_NEXT)
			r = x86_probe(cpu, linear[i], size, X86_WRITE);
	}
	for (i = 0; r == X86_NEXT && i < count; i++)
		if (enabled(mask, i, size))
			r = x86_write(cpu, linear[i], data + i * size, size);
	return r;
}

static enum x86_result run_masked_store(struct x86_cpu *cpu,
					const struct x86_insn *insn)
{
	unsigned int size = element_bytes(insn);
	uint8_t mask[32], data[32];
	enum x86_result r = check_avx(cpu);

	if (r != X86_NEXT)
		return r;
	get_vector(&cpu->state, vvvv(cpu, insn), mask);
	get_vector(&cpu->state, insn->reg, data);
	return store_enabled(cpu, insn->seg, x86_effective(cpu, insn), data,
			     mask, vector_bytes(insn) / size, size);
}

/* --- MASKMOVDQU, MASKMOVQ ---------------------------------------------- */

static uint64_t address_in_rdi(const struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	uint64_t rdi = cpu->state.gpr[X86_RDI];

	if (insn->adsize == 8)
		return rdi;
	return insn->adsize == 4 ? (uint32_t)rdi : (uint16_t)rdi;
}

static enum x86_result run_maskmovdqu(struct x86_cpu *cpu,
				      const struct x86_insn *insn)
{
	bool vex = insn->encoding == X86_VEX;
	uint8_t mask[32], data[32];
	enum x86_result r = X86_NEXT;

	if (vex)
		r = check_avx(cpu);
	else if (!(cpu->mode & X86_MODE_SSE))
		r = native_refuse(cpu, X86_MODE_SSE);
	if (r != X86_NEXT)
		return r;
	get_vector(&cpu->state, insn->reg, data);
	get_vector(&cpu->state, insn->rm, mask);
	return store_enabled(cpu, insn->seg, address_in_rdi(cpu, insn), data,
			     mask, 16, 1);
}

static enum x86_result run_maskmovq(struct x86_cpu *cpu,
				    const struct x86_insn *insn)
{
	const uint8_t *mm = cpu->state.xsave + FPU_ST;
	enum x86_result r = native_begin_mmx(cpu);

	if (r != X86_NEXT)
		return r;
	native_enter_mmx(&cpu->state);
	return store_enabled(cpu, insn->seg, address_in_rdi(cpu, insn),
			     mm + 16 * (insn->reg & 7),
			     mm + 16 * (insn->rm & 7), 8, 1);
}

/* --- gathers ----------------------------------------------------------- */

/* insn->index names the vector of indices. */
static uint64_t element_address(const struct x86_cpu *cpu,
				const struct x86_insn *insn,
				const uint8_t *indices, unsigned int i,
				unsigned int index_size)
{
	uint64_t ea = (uint64_t)(int64_t)insn->disp;
	int64_t index;
	int32_t narrow;

	if (index_size == 8) {
		memcpy(&index, indices + 8 * i, 8);
	} else {
		memcpy(&narrow, indices + 4 * i, 4);
		index = narrow;
	}
	if (insn->base != X86_NO_REG)
		ea += cpu->state.gpr[insn->base];
	ea += (uint64_t)index << insn->scale;
	return insn->adsize == 8 ? ea : (uint32_t)ea;
}

/*
 * Element by element from the lowest: at a fault, what was gathered stays
 * and its mask is cleared, so that the instruction can go on afterwards.
 */
static enum x86_result run_gather(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	unsigned int size = insn->prefix & X86_PFX_REXW ? 8 : 4;
	unsigned int index_size = insn->opcode & 1 ? 8 : 4;
	unsigned int wider = size > index_size ? size : index_size;
	unsigned int i, count = vector_bytes(insn) / wider;
	unsigned int mask_reg = vvvv(cpu, insn);
	uint8_t data[32], mask[32], indices[32];
	uint64_t linear;
	enum x86_result r = check_avx(cpu);

	if (r != X86_NEXT)
		return r;
	if (insn->reg == mask_reg || insn->reg == insn->index ||
	    mask_reg == insn->index || insn->adsize == 2)
		return x86_raise(cpu, X86_UD);
	get_vector(&cpu->state, insn->reg, data);
	get_vector(&cpu->state, mask_reg, mask);
	get_vector(&cpu->state, insn->index, indices);
	for (i = 0; i < count; i++) {
		if (!enabled(mask, i, size))
			continue;
		r = x86_linear(
			cpu, insn->seg,
			element_address(cpu, insn, indices, i, index_size),
			size, X86_READ, &linear);
		if (r == X86_NEXT)
			r = x86_read(cpu, linear, data + i * size, size);
		if (r != X86_NEXT)
			break;
		memset(mask + i * size, 0, size);
	}
	if (r == X86_NEXT) {
		memset(mask, 0, sizeof(mask));
		memset(data + count * size, 0, sizeof(data) - count * size);
	}
	set_vector(&cpu->state, insn->reg, data);
	set_vector(&cpu->state, mask_reg, mask);
	return r;
}

/* --- VLDMXCSR, VSTMXCSR ------------------------------------------------- */

static enum x86_result run_vldmxcsr(struct x86_cpu *cpu,
				    const struct x86_insn *insn)
{
	uint64_t linear;
	uint32_t mxcsr;
	enum x86_result r = check_avx(cpu);

	if (r == X86_NEXT)
		r = x86_operand(cpu, insn, 4, X86_READ, &linear);
	if (r == X86_NEXT)
		r = x86_read(cpu, linear, &mxcsr, 4);
	if (r != X86_NEXT)
		return r;
	if (mxcsr & ~FPU_MXCSR_USED)
		return x86_raise_error(cpu, X86_GP, 0);
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr);
	return X86_NEXT;
}

static enum x86_result run_vstmxcsr(struct x86_cpu *cpu,
				    const struct x86_insn *insn)
{
	uint32_t mxcsr = fpu_get32(&cpu->state, FPU_MXCSR);
	uint64_t linear;
	enum x86_result r = check_avx(cpu);

	if (r == X86_NEXT)
		r = x86_operand(cpu, insn, 4, X86_WRITE, &linear);
	return r == X86_NEXT ? x86_write(cpu, linear, &mxcsr, 4) : r;
}

static const struct {
	ZydisMnemonic mnemonic;
	x86_handler *load;  /* operand 0 is a register */
	x86_handler *store; /* operand 0 is memory, or there is no choice */
} handlers[] = {
	{ ZYDIS_MNEMONIC_VMASKMOVPS, run_masked_load, run_masked_store },
	{ ZYDIS_MNEMONIC_VMASKMOVPD, run_masked_load, run_masked_store },
	{ ZYDIS_MNEMONIC_VPMASKMOVD, run_masked_load, run_masked_store },
	{ ZYDIS_MNEMONIC_VPMASKMOVQ, run_masked_load, run_masked_store },
	{ ZYDIS_MNEMONIC_MASKMOVDQU, run_maskmovdqu, NULL },
	{ ZYDIS_MNEMONIC_VMASKMOVDQU, run_maskmovdqu, NULL },
	{ ZYDIS_MNEMONIC_MASKMOVQ, run_maskmovq, NULL },
	{ ZYDIS_MNEMONIC_VGATHERDPS, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VGATHERDPD, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VGATHERQPS, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VGATHERQPD, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VPGATHERDD, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VPGATHERDQ, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VPGATHERQD, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VPGATHERQQ, run_gather, NULL },
	{ ZYDIS_MNEMONIC_VLDMXCSR, NULL, run_vldmxcsr },
	{ ZYDIS_MNEMONIC_VSTMXCSR, NULL, run_vstmxcsr },
};

/* The decoder takes the SIB index for a general register. */
static void fix_index(struct x86_insn *insn, const ZydisDecodedOperand *memory)
{
	insn->index = (uint8_t)ZydisRegisterGetId(memory->mem.index);
	insn->scale = memory->mem.scale
			      ? (uint8_t)__builtin_ctz(memory->mem.scale)
			      : 0;
}

x86_handler *native_pick_masked(struct x86_insn *insn, ZydisMnemonic mnemonic,
				const ZydisDecodedOperand *operands)
{
	unsigned int i;

	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].mnemonic != mnemonic)
			continue;
		if (handlers[i].load == run_gather)
			fix_index(insn, &operands[1]);
		if (operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return handlers[i].store;
		return handlers[i].load;
	}
	return NULL;
}
