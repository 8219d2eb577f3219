/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that load, store and question segment registers and their
 * descriptors. Intel SDM vol. 2 (MOV, PUSH, POP, LDS, SLDT, LAR, LSL, VERR,
 * ARPL, SWAPGS, RDFSBASE ...); AMD64 APM vol. 3.
 */
#include "x86/handlers.h"

#include "x86/access.h"
#include "x86/operand.h"
#include "x86/reg.h"
#include "x86/segment.h"
#include "x86/stack.h"

/* The segment register of ModRM.reg; REX.R does not count. */
static unsigned int modrm_segment(const struct x86_insn *insn)
{
	return insn->modrm >> 3 & 7;
}

/* A segment register's selector goes whole to memory, extended to GPRs. */
static enum x86_result store_selector(struct x86_cpu *cpu,
				      const struct x86_insn *insn,
				      uint16_t selector)
{
	return write_rm(cpu, insn, insn->mem ? 2 : insn->opsize, selector);
}

enum x86_result x86_mov_to_seg(struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	unsigned int seg = modrm_segment(insn);
	uint64_t selector;
	enum x86_result r;

	if (seg == X86_CS || seg > X86_GS)
		return x86_raise(cpu, X86_UD);
	r = read_rm(cpu, insn, 2, &selector);
	if (!r)
		r = x86_load_segment(cpu, seg, (uint16_t)selector);
	if (!r && seg == X86_SS)
		cpu->state.int_shadow = X86_SHADOW_SS;
	return r;
}

enum x86_result x86_mov_from_seg(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	unsigned int seg = modrm_segment(insn);

	if (seg > X86_GS)
		return x86_raise(cpu, X86_UD);
	return store_selector(cpu, insn, cpu->state.seg[seg].selector);
}

/* The segment register that the opcode of PUSH or POP names. */
static unsigned int opcode_segment(const struct x86_insn *insn)
{
	return insn->opcode >> 3 & 7;
}

enum x86_result x86_push_seg(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int seg = opcode_segment(insn);

	if (cpu->mode & X86_MODE_CODE64 && insn->map == X86_MAP_ONE)
		return x86_raise(cpu, X86_UD);
	return push_value(cpu, cpu->state.seg[seg].selector,
			  stack_size(cpu, insn));
}

enum x86_result x86_pop_seg(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int seg = opcode_segment(insn);
	struct x86_stack stack;
	uint64_t selector;
	enum x86_result r;

	if (cpu->mode & X86_MODE_CODE64 && insn->map == X86_MAP_ONE)
		return x86_raise(cpu, X86_UD);
	x86_stack_current(cpu, &stack);
	r = x86_stack_pop(cpu, &stack, &selector, 1, stack_size(cpu, insn));
	if (!r)
		r = x86_load_segment(cpu, seg, (uint16_t)selector);
	if (r)
		return r;
	cpu->state.gpr[X86_RSP] = stack.sp;
	if (seg == X86_SS)
		cpu->state.int_shadow = X86_SHADOW_SS;
	return X86_NEXT;
}

static unsigned int load_far_segment(const struct x86_insn *insn)
{
	if (insn->map == X86_MAP_ONE)
		return insn->opcode == 0xc4 ? X86_ES : X86_DS;
	switch (insn->opcode) {
	case 0xb2:
		return X86_SS;
	case 0xb4:
		return X86_FS;
	default:
		return X86_GS;
	}
}

enum x86_result x86_load_far(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t offset;
	uint16_t selector;
	enum x86_result r;

	r = x86_read_far_pointer(cpu, insn, &selector, &offset);
	if (!r)
		r = x86_load_segment(cpu, load_far_segment(insn), selector);
	if (!r)
		set_register(cpu, insn, insn->reg, insn->opsize, offset);
	return r;
}

static enum x86_result load_task_register(struct x86_cpu *cpu,
					  uint16_t selector)
{
	bool wide = cpu->mode & X86_MODE_LONG;
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	struct x86_segment tr;
	unsigned int type;
	enum x86_result r;

	if (x86_selector_null(selector))
		return x86_raise_error(cpu, X86_GP, 0);
	if (selector & 4)
		return x86_raise_error(cpu, X86_GP, error);
	r = x86_read_descriptor(cpu, selector, wide, X86_GP, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, &tr);
	type = tr.attr & (X86_ATTR_S | X86_ATTR_TYPE);
	if (type != X86_SYS_TSS32 && (wide || type != X86_SYS_TSS16))
		return x86_raise_error(cpu, X86_GP, error);
	if (!(tr.attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	if (!x86_is_canonical(tr.base))
		return x86_raise_error(cpu, X86_GP, error);
	r = x86_mark_busy(cpu, selector, true);
	if (r)
		return r;
	tr.attr |= X86_TSS_BUSY;
	cpu->state.tr = tr;
	return X86_NEXT;
}

/*
 * The descriptor of `selector` for LAR, LSL, VERR and VERW, which look
 * without faulting. *found is false where there is none to be seen.
 */
static enum x86_result look_up(struct x86_cpu *cpu, uint16_t selector,
			       struct x86_segment *seg, bool *found)
{
	struct x86_descriptor desc = { 0 };
	enum x86_result r;
	uint64_t linear;
	unsigned int dpl;

	*found = false;
	if (x86_selector_null(selector) ||
	    !x86_find_descriptor(cpu, selector, false, &linear))
		return X86_NEXT;
	r = x86_read_table(cpu, linear, &desc.low, 8);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, seg);
	dpl = x86_attr_dpl(seg->attr);
	*found = (x86_attr_code(seg->attr) && x86_attr_conforming(seg->attr)) ||
		 (dpl >= cpu->cpl && dpl >= (selector & 3u));
	return X86_NEXT;
}

static void set_zero_flag(struct x86_cpu *cpu, bool set)
{
	uint64_t flags = cpu->state.rflags & ~(uint64_t)X86_FLAG_ZF;

	x86_set_arith(cpu, flags | (set ? X86_FLAG_ZF : 0));
}

static enum x86_result verify(struct x86_cpu *cpu, uint16_t selector,
			      bool write)
{
	struct x86_segment seg;
	bool found, code, rw;
	enum x86_result r;

	r = look_up(cpu, selector, &seg, &found);
	if (r)
		return r;
	if (found) {
		code = seg.attr & X86_TYPE_CODE;
		rw = seg.attr & X86_TYPE_WRITE;
		found = seg.attr & X86_ATTR_S &&
			(write ? !code && rw : !code || rw);
	}
	set_zero_flag(cpu, found);
	return X86_NEXT;
}

enum x86_result x86_group_0f00(struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	unsigned int what = insn->modrm >> 3 & 7;
	uint64_t value;
	enum x86_result r;

	if (!(cpu->mode & X86_MODE_PROT) || what > 5)
		return x86_raise(cpu, X86_UD);
	if (what <= 1) {
		if (cpu->cpl && cpu->state.cr4 & X86_CR4_UMIP)
			return x86_raise_error(cpu, X86_GP, 0);
		return store_selector(cpu, insn,
				      what ? cpu->state.tr.selector
					   : cpu->state.ldtr.selector);
	}
	if (what <= 3 && cpu->cpl)
		return x86_raise_error(cpu, X86_GP, 0);
	r = read_rm(cpu, insn, 2, &value);
	if (r)
		return r;
	switch (what) {
	case 2:
		return x86_load_ldtr(cpu, (uint16_t)value, X86_GP);
	case 3:
		return load_task_register(cpu, (uint16_t)value);
	default:
		return verify(cpu, (uint16_t)value, what == 5);
	}
}

/* Types of system descriptors that LAR and LSL show, one bit each. */
#define BIT(type) (1u << (type))
#define TSS_TYPES                                                       \
	(BIT(X86_SYS_TSS32) | BIT(X86_SYS_TSS32_BUSY) | BIT(X86_SYS_LDT))
#define TSS16_TYPES (BIT(X86_SYS_TSS16) | BIT(X86_SYS_TSS16_BUSY))

static const uint16_t lar_types[2] = {
	TSS_TYPES | TSS16_TYPES | BIT(X86_SYS_CALL16) | BIT(X86_SYS_TASK) |
		BIT(X86_SYS_CALL32),
	TSS_TYPES | BIT(X86_SYS_CALL32), /* long mode */
};
static const uint16_t lsl_types[2] = {
	TSS_TYPES | TSS16_TYPES,
	TSS_TYPES,
};

/* Reads what LAR or LSL may see; *found says whether it may. */
static enum x86_result question(struct x86_cpu *cpu,
				const struct x86_insn *insn,
				const uint16_t types[2],
				struct x86_segment *seg, bool *found)
{
	bool wide = cpu->mode & X86_MODE_LONG;
	uint64_t selector, linear;
	enum x86_result r;

	if (!(cpu->mode & X86_MODE_PROT))
		return x86_raise(cpu, X86_UD);
	r = read_rm(cpu, insn, 2, &selector);
	if (!r)
		r = look_up(cpu, (uint16_t)selector, seg, found);
	if (r || !*found || seg->attr & X86_ATTR_S)
		return r;
	*found = types[wide] >> (seg->attr & X86_ATTR_TYPE) & 1 &&
		 x86_find_descriptor(cpu, (uint16_t)selector, wide, &linear);
	return X86_NEXT;
}

enum x86_result x86_lar(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_segment seg;
	enum x86_result r;
	uint32_t rights;
	bool found;

	r = question(cpu, insn, lar_types, &seg, &found);
	if (r)
		return r;
	if (found) {
		/* Back to the descriptor's places: bits 8-15 and 20-23. */
		rights = (seg.attr & 0xffu) << 8 | (seg.attr & 0xf00u) << 12;
		set_register(cpu, insn, insn->reg, insn->opsize, rights);
	}
	set_zero_flag(cpu, found);
	return X86_NEXT;
}

enum x86_result x86_lsl(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_segment seg;
	enum x86_result r;
	bool found;

	r = question(cpu, insn, lsl_types, &seg, &found);
	if (r)
		return r;
	if (found)
		set_register(cpu, insn, insn->reg, insn->opsize, seg.limit);
	set_zero_flag(cpu, found);
	return X86_NEXT;
}

enum x86_result x86_arpl(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t selector, rpl;
	enum x86_result r;
	bool lower;

	if (!(cpu->mode & X86_MODE_PROT) || cpu->mode & X86_MODE_CODE64)
		return x86_raise(cpu, X86_UD);
	r = read_rm(cpu, insn, 2, &selector);
	if (r)
		return r;
	rpl = cpu->state.gpr[insn->reg] & 3;
	lower = (selector & 3) < rpl;
	if (lower)
		r = write_rm(cpu, insn, 2, (selector & ~3ull) | rpl);
	if (!r)
		set_zero_flag(cpu, lower);
	return r;
}

enum x86_result x86_swapgs(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t base = cpu->state.seg[X86_GS].base;

	if (!(cpu->mode & X86_MODE_CODE64))
		return x86_raise(cpu, X86_UD);
	if (cpu->cpl)
		return x86_raise_error(cpu, X86_GP, 0);
	cpu->state.seg[X86_GS].base = cpu->state.kernel_gs_base;
	cpu->state.kernel_gs_base = base;
	return X86_NEXT;
}

enum x86_result x86_fsgsbase(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int what = insn->modrm >> 3 & 7; /* RDFS RDGS WRFS WRGS */
	uint64_t *base = &cpu->state.seg[what & 1 ? X86_GS : X86_FS].base;
	uint64_t value;

	if (!(cpu->mode & X86_MODE_CODE64) || what > 3 ||
	    !(cpu->state.cr4 & X86_CR4_FSGSBASE))
		return x86_raise(cpu, X86_UD);
	if (what < 2) {
		set_register(cpu, insn, insn->rm, insn->opsize, *base);
		return X86_NEXT;
	}
	value = truncate(cpu->state.gpr[insn->rm], insn->opsize);
	if (!x86_is_canonical(value))
		return x86_raise_error(cpu, X86_GP, 0);
	*base = value;
	return X86_NEXT;
}
