/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far returns and returns from interrupts: within one privilege, to an outer
 * one, to virtual-8086 mode, to compatibility mode, and out of tasks. Intel
 * SDM vol. 2 (RET, IRET), vol. 3, 5.8.6, 6.12.1, 20.2.5, 20.3; AMD64 APM
 * vol. 2, 4.10, 8.9.3, 12.3.4.
 */
#include "x86/handlers.h"

#include "x86/access.h"
#include "x86/operand.h"
#include "x86/reg.h"
#include "x86/segment.h"
#include "x86/stack.h"

/* What a return goes back to, checked. */
struct back {
	struct x86_segment cs;
	struct x86_segment ss;
	uint64_t rip;
	uint64_t sp;
	unsigned int cpl;
};

static enum x86_result check_code(struct x86_cpu *cpu, uint16_t selector,
				  struct back *to)
{
	const uint16_t both = X86_ATTR_L | X86_ATTR_DB;
	struct x86_segment *cs = &to->cs;
	uint32_t error = selector & ~3u;
	unsigned int dpl;
	enum x86_result r;
	bool bad;

	r = x86_read_code(cpu, selector, cs);
	if (r)
		return r;
	to->cpl = selector & 3u;
	dpl = x86_attr_dpl(cs->attr);
	bad = !x86_attr_code(cs->attr) || to->cpl < cpu->cpl;
	bad |= x86_attr_conforming(cs->attr) ? dpl > to->cpl : dpl != to->cpl;
	if (cpu->mode & X86_MODE_LONG)
		bad |= (cs->attr & both) == both;
	if (bad)
		return x86_raise_error(cpu, X86_GP, error);
	if (!(cs->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	r = x86_check_rip(cpu, cs, to->rip);
	return r ? r : x86_mark_accessed(cpu, cs);
}

/* 64-bit code below CPL 3 may run with a null SS. */
static enum x86_result check_stack(struct x86_cpu *cpu, uint16_t selector,
				   struct back *to)
{
	bool code64 = cpu->mode & X86_MODE_LONG && to->cs.attr & X86_ATTR_L;

	if (!x86_selector_null(selector) || !code64 || to->cpl == 3 ||
	    (selector & 3u) != to->cpl)
		return x86_check_stack_segment(cpu, selector, to->cpl, X86_GP,
					       &to->ss);
	to->ss = (struct x86_segment){
		.selector = selector,
		.attr = (uint16_t)(to->cpl << X86_ATTR_DPL_SHIFT),
	};
	return X86_NEXT;
}

/* 64-bit code sees the base of a null FS or GS, which stays as it was. */
static void drop_segment(struct x86_segment *s)
{
	*s = (struct x86_segment){ .base = s->base };
}

/*
 * Data segments that the outer privilege may not use become null; null ones
 * lose their RPL.
 */
static void drop_inner_segments(struct x86_cpu *cpu, unsigned int cpl)
{
	static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned int i = 0; i < sizeof(data); i++) {
		struct x86_segment *s = &cpu->state.seg[data[i]];

		if (!(s->attr & X86_ATTR_P))
			s->selector = 0;
		else if (x86_attr_dpl(s->attr) < cpl &&
			 !(x86_attr_code(s->attr) &&
			   x86_attr_conforming(s->attr)))
			drop_segment(s);
	}
}

/* A 16-bit stack takes only SP and leaves the rest of RSP as it was. */
static void set_outer_stack(struct x86_cpu *cpu, const struct back *to)
{
	bool code64 = cpu->mode & X86_MODE_LONG && to->cs.attr & X86_ATTR_L;

	cpu->state.seg[X86_SS] = to->ss;
	if (code64 || to->ss.attr & X86_ATTR_DB)
		cpu->state.gpr[X86_RSP] = to->sp;
	else
		memcpy(&cpu->state.gpr[X86_RSP], &to->sp, 2);
}

static void leave_to(struct x86_cpu *cpu, const struct back *to)
{
	cpu->state.seg[X86_CS] = to->cs;
	cpu->next_rip = to->rip;
	if (to->cpl > cpu->cpl)
		drop_inner_segments(cpu, to->cpl);
}

/* --- RETF --------------------------------------------------------------- */

static enum x86_result return_real(struct x86_cpu *cpu, const uint64_t at[2],
				   const struct x86_stack *stack)
{
	if (at[0] > cpu->state.seg[X86_CS].limit)
		return x86_raise_error(cpu, X86_GP, 0);
	x86_load_real_segment(cpu, X86_CS, (uint16_t)at[1]);
	cpu->state.gpr[X86_RSP] = stack->sp;
	cpu->next_rip = at[0];
	return X86_NEXT;
}

enum x86_result x86_far_return(struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	uint16_t released = insn->opcode == 0xca ? (uint16_t)insn->imm : 0;
	unsigned int size = insn->opsize;
	struct x86_stack stack, outer;
	uint64_t at[2], sp[2];
	struct back to;
	enum x86_result r;

	x86_stack_current(cpu, &stack);
	r = x86_stack_pop(cpu, &stack, at, 2, size);
	if (r)
		return r;
	x86_stack_move(&stack, released);
	if (!(cpu->mode & X86_MODE_PROT))
		return return_real(cpu, at, &stack);
	to.rip = at[0];
	r = check_code(cpu, (uint16_t)at[1], &to);
	if (r)
		return r;
	if (to.cpl == cpu->cpl) {
		leave_to(cpu, &to);
		cpu->state.gpr[X86_RSP] = stack.sp;
		return X86_NEXT;
	}
	r = x86_stack_pop(cpu, &stack, sp, 2, size);
	if (!r)
		r = check_stack(cpu, (uint16_t)sp[1], &to);
	if (r)
		return r;
	outer = (struct x86_stack){ .sp = sp[0], .width = 2 };
	if (cpu->mode & X86_MODE_LONG && to.cs.attr & X86_ATTR_L)
		outer.width = 8;
	else if (to.ss.attr & X86_ATTR_DB)
		outer.width = 4;
	x86_stack_move(&outer, released);
	to.sp = outer.sp;
	leave_to(cpu, &to);
	set_outer_stack(cpu, &to);
	return X86_NEXT;
}

/* --- IRET --------------------------------------------------------------- */

#define FLAGS_ANY                                                        \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT)
#define FLAGS_WIDE (X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_ID)

/* The flags that IRET may change at the present privilege. */
static uint64_t flags_mask(const struct x86_cpu *cpu, unsigned int size)
{
	unsigned int iopl = (cpu->state.rflags & X86_FLAG_IOPL) >> 12;
	uint64_t mask = FLAGS_ANY;

	if (size > 2)
		mask |= FLAGS_WIDE;
	if (cpu->cpl <= iopl)
		mask |= X86_FLAG_IF;
	if (cpu->cpl == 0) {
		mask |= X86_FLAG_IOPL;
		if (size > 2)
			mask |= X86_FLAG_VIF | X86_FLAG_VIP;
	}
	return mask;
}

static void set_flags(struct x86_cpu *cpu, uint64_t flags, uint64_t mask)
{
	cpu->state.rflags = (cpu->state.rflags & ~mask) | (flags & mask) |
			    X86_FLAG_1;
}

/*
 * Virtual-8086 extensions below IOPL 3: the popped IF is the virtual one,
 * unless it would let a pending interrupt in, or a trap.
 */
static enum x86_result virtual_flags(struct x86_cpu *cpu, uint64_t *flags,
				     uint64_t *mask)
{
	bool enable = *flags & X86_FLAG_IF;

	if ((cpu->state.rflags & X86_FLAG_VIP && enable) ||
	    *flags & X86_FLAG_TF)
		return x86_raise_error(cpu, X86_GP, 0);
	*mask = (*mask & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_VIF;
	*flags &= ~(uint64_t)X86_FLAG_VIF;
	if (enable)
		*flags |= X86_FLAG_VIF;
	return X86_NEXT;
}

static enum x86_result iret_real(struct x86_cpu *cpu, unsigned int size)
{
	bool vm86 = cpu->mode & X86_MODE_VM86;
	bool virtual = vm86 && (cpu->state.rflags & X86_FLAG_IOPL) !=
				       X86_FLAG_IOPL;
	uint64_t mask = FLAGS_ANY | X86_FLAG_IF;
	struct x86_stack stack;
	uint64_t at[3];
	enum x86_result r;

	if (virtual && (!(cpu->state.cr4 & X86_CR4_VME) || size != 2))
		return x86_raise_error(cpu, X86_GP, 0);
	if (size > 2)
		mask |= FLAGS_WIDE;
	if (!vm86)
		mask |= X86_FLAG_IOPL;
	x86_stack_current(cpu, &stack);
	r = x86_stack_pop(cpu, &stack, at, 3, size);
	if (!r && virtual)
		r = virtual_flags(cpu, &at[2], &mask);
	if (!r)
		r = return_real(cpu, at, &stack);
	if (!r)
		set_flags(cpu, at[2], mask);
	return r;
}

/* From CPL 0 to virtual-8086 mode; `stack` is behind EFLAGS. */
static enum x86_result iret_vm86(struct x86_cpu *cpu, struct x86_stack *stack,
				 const uint64_t at[3])
{
	static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS,
					 X86_GS };
	uint64_t frame[6]; /* ESP SS ES DS FS GS */
	enum x86_result r;

	r = x86_stack_pop(cpu, stack, frame, 6, 4);
	if (r)
		return r;
	if (at[0] > UINT16_MAX)
		return x86_raise_error(cpu, X86_GP, 0);
	set_flags(cpu, at[2], flags_mask(cpu, 4) | X86_FLAG_VM);
	x86_load_real_segment(cpu, X86_CS, (uint16_t)at[1]);
	for (unsigned int i = 0; i < sizeof(order); i++)
		x86_load_real_segment(cpu, order[i], (uint16_t)frame[i + 1]);
	cpu->state.gpr[X86_RSP] = frame[0];
	cpu->next_rip = at[0];
	return X86_NEXT;
}

static enum x86_result iret_task(struct x86_cpu *cpu)
{
	enum x86_result r;
	uint16_t link;

	if (cpu->mode & X86_MODE_LONG)
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_table(cpu, cpu->state.tr.base, &link, 2);
	if (r)
		return r;
	return x86_task_switch(cpu, link, X86_TASK_IRET, false, 0);
}

static enum x86_result iret_protected(struct x86_cpu *cpu, unsigned int size)
{
	bool code64 = cpu->mode & X86_MODE_CODE64;
	uint64_t at[5]; /* RIP CS RFLAGS RSP SS */
	struct x86_stack stack;
	struct back to;
	enum x86_result r;
	bool outer;

	if (cpu->state.rflags & X86_FLAG_NT)
		return iret_task(cpu);
	x86_stack_current(cpu, &stack);
	r = x86_stack_pop(cpu, &stack, at, code64 ? 5 : 3, size);
	if (r)
		return r;
	if (at[2] & X86_FLAG_VM && cpu->cpl == 0 && size == 4 &&
	    !(cpu->mode & X86_MODE_LONG))
		return iret_vm86(cpu, &stack, at);
	to.rip = at[0];
	r = check_code(cpu, (uint16_t)at[1], &to);
	outer = code64 || (!r && to.cpl > cpu->cpl);
	if (!r && outer && !code64)
		r = x86_stack_pop(cpu, &stack, at + 3, 2, size);
	if (!r && outer)
		r = check_stack(cpu, (uint16_t)at[4], &to);
	if (r)
		return r;
	to.sp = at[3];
	set_flags(cpu, at[2], flags_mask(cpu, size));
	leave_to(cpu, &to);
	if (outer)
		set_outer_stack(cpu, &to);
	else
		cpu->state.gpr[X86_RSP] = stack.sp;
	return X86_NEXT;
}

enum x86_result x86_iret(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	enum x86_result r;

	if (cpu->mode & X86_MODE_PROT)
		r = iret_protected(cpu, insn->opsize);
	else
		r = iret_real(cpu, insn->opsize);
	if (!r)
		cpu->state.nmi_blocked = 0;
	return r;
}
