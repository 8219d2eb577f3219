/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT. Intel SDM vol. 2;
 * AMD64 APM vol. 2, 6.1. Where the makers differ a guest gets what either
 * would give it: SYSCALL works outside 64-bit mode (AMD), SYSENTER works in
 * long mode (Intel). SYSRET does not check RCX, as on AMD: the fetch at CPL 3
 * raises the #GP. SYSRET sets all of SS (Intel).
 */
#include "x86/handlers.h"

#define DR6_BS 0x4000u

#include "x86/operand.h"
#include "x86/reg.h"
#include "x86/segment.h"

#define FLAT_CODE                                                       \
	(X86_ATTR_G | X86_ATTR_P | X86_ATTR_S | X86_TYPE_CODE |         \
	 X86_TYPE_WRITE | X86_TYPE_ACCESSED)
#define FLAT_DATA                                                       \
	(X86_ATTR_G | X86_ATTR_DB | X86_ATTR_P | X86_ATTR_S |           \
	 X86_TYPE_WRITE | X86_TYPE_ACCESSED)

/* CS `selector` and SS behind it, flat, at privilege `cpl`. */
static void set_flat(struct x86_cpu *cpu, unsigned int code,
		     unsigned int stack, unsigned int cpl, bool code64)
{
	const unsigned int dpl = cpl << X86_ATTR_DPL_SHIFT;

	cpu->state.seg[X86_CS] = (struct x86_segment){
		.selector = (uint16_t)((code & ~3u) | cpl),
		.limit = UINT32_MAX,
		.attr = (uint16_t)(FLAT_CODE | dpl |
				   (code64 ? X86_ATTR_L : X86_ATTR_DB)),
	};
	cpu->state.seg[X86_SS] = (struct x86_segment){
		.selector = (uint16_t)((stack & ~3u) | cpl),
		.limit = UINT32_MAX,
		.attr = (uint16_t)(FLAT_DATA | dpl),
	};
}

enum x86_result x86_syscall(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_state *st = &cpu->state;
	unsigned int code = st->star >> 32 & 0xffff;

	if (!(st->efer & X86_EFER_SCE) || !(cpu->mode & X86_MODE_PROT))
		return x86_raise(cpu, X86_UD);
	if (!(cpu->mode & X86_MODE_LONG)) {
		st->gpr[X86_RCX] = (uint32_t)cpu->next_rip;
		set_flat(cpu, code, code + 8, 0, false);
		st->rflags &= ~(uint64_t)(X86_FLAG_IF | X86_FLAG_RF);
		cpu->next_rip = (uint32_t)st->star;
		return X86_NEXT;
	}
	st->gpr[X86_RCX] = cpu->next_rip;
	st->gpr[X86_R11] = st->rflags & ~(uint64_t)X86_FLAG_RF;
	cpu->next_rip = cpu->mode & X86_MODE_CODE64 ? st->lstar : st->cstar;
	st->rflags &= ~(st->sfmask | X86_FLAG_RF);
	st->rflags |= X86_FLAG_1;
	set_flat(cpu, code, code + 8, 0, true);
	return X86_NEXT;
}

/* What SYSRET takes from R11: all but RF and VM. */
#define SYSRET_FLAGS                                                     \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF |     \
	 X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_VIF |      \
	 X86_FLAG_VIP | X86_FLAG_ID)

/* A TF that SYSRET sets traps at once, not behind one more instruction. */
static void trap_at_target(struct x86_cpu *cpu)
{
	struct x86_state *st = &cpu->state;

	st->dr[6] |= DR6_BS;
	st->fault_pending = 1;
	st->fault_vector = X86_DB;
	st->fault_has_error = 0;
	atomic_fetch_or(&cpu->request, X86_REQ_INTR);
}

enum x86_result x86_sysret(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_state *st = &cpu->state;
	unsigned int code = st->star >> 48 & 0xffff;
	bool wide = insn->opsize == 8;

	if (!(st->efer & X86_EFER_SCE) || !(cpu->mode & X86_MODE_PROT))
		return x86_raise(cpu, X86_UD);
	if (cpu->cpl)
		return x86_raise_error(cpu, X86_GP, 0);
	if (cpu->mode & X86_MODE_LONG)
		st->rflags = (st->gpr[X86_R11] & SYSRET_FLAGS) | X86_FLAG_1;
	else
		st->rflags |= X86_FLAG_IF;
	cpu->next_rip = truncate(st->gpr[X86_RCX], wide ? 8 : 4);
	set_flat(cpu, wide ? code + 16 : code, code + 8, 3, wide);
	if (st->rflags & X86_FLAG_TF)
		trap_at_target(cpu);
	return X86_NEXT;
}

enum x86_result x86_sysenter(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_state *st = &cpu->state;
	unsigned int code = st->sysenter_cs & 0xfffc;
	bool wide = cpu->mode & X86_MODE_LONG;

	if (!(st->cr0 & X86_CR0_PE) || !code)
		return x86_raise_error(cpu, X86_GP, 0);
	st->rflags &= ~(uint64_t)(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
	set_flat(cpu, code, code + 8, 0, wide);
	cpu->next_rip = truncate(st->sysenter_eip, wide ? 8 : 4);
	st->gpr[X86_RSP] = truncate(st->sysenter_esp, wide ? 8 : 4);
	return X86_NEXT;
}

enum x86_result x86_sysexit(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	struct x86_state *st = &cpu->state;
	unsigned int code = st->sysenter_cs & 0xfffc;
	unsigned int size = insn->opsize == 8 ? 8 : 4;
	unsigned int base = size == 8 ? code + 32 : code + 16;

	if (!(cpu->mode & X86_MODE_PROT) || !code || cpu->cpl)
		return x86_raise_error(cpu, X86_GP, 0);
	if (size == 8 && !(x86_is_canonical(st->gpr[X86_RCX]) &&
			   x86_is_canonical(st->gpr[X86_RDX])))
		return x86_raise_error(cpu, X86_GP, 0);
	set_flat(cpu, base, base + 8, 3, size == 8);
	cpu->next_rip = truncate(st->gpr[X86_RDX], size);
	st->gpr[X86_RSP] = truncate(st->gpr[X86_RCX], size);
	return X86_NEXT;
}
