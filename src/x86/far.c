/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far jumps and calls: direct, through call gates of 16, 32 and 64 bits,
 * and to tasks; software interrupts. Intel SDM vol. 2 (JMP, CALL, INT),
 * vol. 3, 5.8; AMD64 APM vol. 2, 4.10, 12.3. With REX.W a far pointer in
 * memory has 64 bits of offset, as on Intel processors.
 */
#include "x86/handlers.h"

#include "x86/access.h"
#include "x86/event.h"
#include "x86/operand.h"
#include "x86/reg.h"
#include "x86/segment.h"
#include "x86/stack.h"

#define PARAMETERS_MAX 31

/* A far jump or call on its way. */
struct far {
	uint16_t selector; /* as the instruction gives it */
	uint64_t offset;
	unsigned int size; /* of what a call pushes, in bytes */
	bool call;
};

/* The operand: in the instruction or in memory. */
static enum x86_result far_operand(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   struct far *far)
{
	far->size = insn->opsize;
	if (insn->opcode == 0xff)
		return x86_read_far_pointer(cpu, insn, &far->selector,
					    &far->offset);
	far->selector = insn->selector;
	far->offset = truncate(insn->imm, far->size);
	return X86_NEXT;
}

/* Pushes the return address onto the stack in use. */
static enum x86_result push_return(struct x86_cpu *cpu, unsigned int size)
{
	uint64_t frame[2] = { cpu->state.seg[X86_CS].selector, cpu->next_rip };
	struct x86_stack stack;
	enum x86_result r;

	x86_stack_current(cpu, &stack);
	r = x86_stack_push(cpu, &stack, frame, 2, size);
	if (!r)
		cpu->state.gpr[X86_RSP] = stack.sp;
	return r;
}

static enum x86_result far_real(struct x86_cpu *cpu, const struct far *far)
{
	enum x86_result r;

	if (far->offset > cpu->state.seg[X86_CS].limit)
		return x86_raise_error(cpu, X86_GP, 0);
	r = far->call ? push_return(cpu, far->size) : X86_NEXT;
	if (r)
		return r;
	x86_load_real_segment(cpu, X86_CS, far->selector);
	cpu->next_rip = far->offset;
	return X86_NEXT;
}

/* Enters a checked code segment at the present privilege. */
static enum x86_result go(struct x86_cpu *cpu, const struct far *far,
			  struct x86_segment *cs)
{
	enum x86_result r = x86_check_rip(cpu, cs, far->offset);

	if (!r)
		r = x86_mark_accessed(cpu, cs);
	if (!r && far->call)
		r = push_return(cpu, far->size);
	if (r)
		return r;
	cs->selector = (uint16_t)((cs->selector & ~3u) | cpu->cpl);
	cpu->state.seg[X86_CS] = *cs;
	cpu->next_rip = far->offset;
	return X86_NEXT;
}

static enum x86_result far_code(struct x86_cpu *cpu, const struct far *far,
				struct x86_segment *cs)
{
	const uint16_t both = X86_ATTR_L | X86_ATTR_DB;
	uint32_t error = far->selector & ~3u;
	unsigned int dpl = x86_attr_dpl(cs->attr);
	bool bad;

	if (x86_attr_conforming(cs->attr))
		bad = dpl > cpu->cpl;
	else
		bad = (far->selector & 3u) > cpu->cpl || dpl != cpu->cpl;
	if (cpu->mode & X86_MODE_LONG)
		bad |= (cs->attr & both) == both;
	if (bad)
		return x86_raise_error(cpu, X86_GP, error);
	if (!(cs->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	return go(cpu, far, cs);
}

/* --- call gates --------------------------------------------------------- */

/*
 * A call to more privilege: onto the stack that the TSS holds, with
 * `parameters` values carried over.
 */
static enum x86_result call_inner(struct x86_cpu *cpu, const struct far *far,
				  struct x86_segment *cs,
				  unsigned int parameters)
{
	unsigned int cpl = x86_attr_dpl(cs->attr);
	uint64_t carried[PARAMETERS_MAX], frame[PARAMETERS_MAX + 4];
	struct x86_stack old, inner;
	enum x86_result r;
	unsigned int n = 0;

	r = x86_stack_inner(cpu, cpl, &inner);
	if (!r)
		r = x86_check_rip(cpu, cs, far->offset);
	x86_stack_current(cpu, &old);
	if (!r && parameters)
		r = x86_stack_pop(cpu, &old, carried, parameters, far->size);
	if (!r)
		r = x86_mark_accessed(cpu, cs);
	if (r)
		return r;
	frame[n++] = cpu->state.seg[X86_SS].selector;
	frame[n++] = cpu->state.gpr[X86_RSP];
	for (unsigned int i = parameters; i > 0; i--)
		frame[n++] = carried[i - 1];
	frame[n++] = cpu->state.seg[X86_CS].selector;
	frame[n++] = cpu->next_rip;
	r = x86_stack_push(cpu, &inner, frame, n, far->size);
	if (r)
		return r;
	cs->selector = (uint16_t)((cs->selector & ~3u) | cpl);
	cpu->state.seg[X86_CS] = *cs;
	cpu->state.seg[X86_SS] = inner.ss;
	cpu->state.gpr[X86_RSP] = inner.sp;
	cpu->next_rip = far->offset;
	return X86_NEXT;
}

/* The code segment that a call gate leads to. */
static enum x86_result gate_target(struct x86_cpu *cpu, uint16_t selector,
				   bool call, struct x86_segment *cs)
{
	const uint16_t both = X86_ATTR_L | X86_ATTR_DB;
	uint32_t error = selector & ~3u;
	unsigned int dpl;
	enum x86_result r;
	bool bad;

	r = x86_read_code(cpu, selector, cs);
	if (r)
		return r;
	dpl = x86_attr_dpl(cs->attr);
	bad = !x86_attr_code(cs->attr) || dpl > cpu->cpl;
	if (!call && !x86_attr_conforming(cs->attr))
		bad |= dpl != cpu->cpl;
	if (cpu->mode & X86_MODE_LONG)
		bad |= (cs->attr & both) != X86_ATTR_L;
	if (bad)
		return x86_raise_error(cpu, X86_GP, error);
	if (!(cs->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	return X86_NEXT;
}

/* Gates and TSSs may be used from their DPL inwards. */
static bool reachable(const struct x86_cpu *cpu, uint16_t selector,
		      uint16_t attr)
{
	unsigned int dpl = x86_attr_dpl(attr);

	return dpl >= cpu->cpl && dpl >= (selector & 3u);
}

static enum x86_result far_gate(struct x86_cpu *cpu, struct far *far,
				const struct x86_descriptor *desc)
{
	uint16_t attr = x86_descriptor_attr(desc);
	uint32_t error = far->selector & ~3u;
	bool wide = attr & 8;
	struct x86_segment cs;
	enum x86_result r;

	/* In long mode the upper half holds a type of its own: none. */
	if (!reachable(cpu, far->selector, attr) || desc->high >> 40 & 0x1f)
		return x86_raise_error(cpu, X86_GP, error);
	if (!(attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	r = gate_target(cpu, (uint16_t)(desc->low >> 16), far->call, &cs);
	if (r)
		return r;
	far->offset = desc->low & 0xffff;
	if (wide)
		far->offset |= desc->low >> 32 & 0xffff0000;
	far->offset |= desc->high << 32;
	far->size = wide ? 4 : 2;
	if (cpu->mode & X86_MODE_LONG)
		far->size = 8;
	if (x86_attr_conforming(cs.attr) || x86_attr_dpl(cs.attr) == cpu->cpl)
		return go(cpu, far, &cs);
	return call_inner(cpu, far, &cs,
			  far->size == 8 ? 0 : desc->low >> 32 & 31);
}

/* --- tasks -------------------------------------------------------------- */

static enum x86_result far_task(struct x86_cpu *cpu, const struct far *far,
				const struct x86_descriptor *desc)
{
	uint16_t attr = x86_descriptor_attr(desc);
	uint16_t selector = far->selector;
	uint32_t error = selector & ~3u;

	if (!reachable(cpu, selector, attr))
		return x86_raise_error(cpu, X86_GP, error);
	if ((attr & X86_ATTR_TYPE) == X86_SYS_TASK) {
		if (!(attr & X86_ATTR_P))
			return x86_raise_error(cpu, X86_NP, error);
		selector = (uint16_t)(desc->low >> 16);
	}
	return x86_task_switch(cpu, selector,
			       far->call ? X86_TASK_CALL : X86_TASK_JUMP, false,
			       0);
}

/* In long mode call gates are all that is left, with 16 bytes each. */
static enum x86_result far_system(struct x86_cpu *cpu, struct far *far,
				  struct x86_descriptor *desc)
{
	bool lmode = cpu->mode & X86_MODE_LONG;
	enum x86_result r;

	switch (x86_descriptor_attr(desc) & X86_ATTR_TYPE) {
	case X86_SYS_CALL32:
		r = lmode ? x86_read_descriptor(cpu, far->selector, true,
						X86_GP, 0, desc)
			  : X86_NEXT;
		return r ? r : far_gate(cpu, far, desc);
	case X86_SYS_CALL16:
		if (!lmode)
			return far_gate(cpu, far, desc);
		break;
	case X86_SYS_TASK:
	case X86_SYS_TSS16:
	case X86_SYS_TSS32:
		if (!lmode)
			return far_task(cpu, far, desc);
		break;
	default:
		break;
	}
	return x86_raise_error(cpu, X86_GP, far->selector & ~3u);
}

static enum x86_result far_protected(struct x86_cpu *cpu, struct far *far)
{
	struct x86_descriptor desc;
	struct x86_segment cs;
	enum x86_result r;

	if (x86_selector_null(far->selector))
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_descriptor(cpu, far->selector, false, X86_GP, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, far->selector, &cs);
	if (x86_attr_code(cs.attr))
		return far_code(cpu, far, &cs);
	if (cs.attr & X86_ATTR_S)
		return x86_raise_error(cpu, X86_GP, far->selector & ~3u);
	return far_system(cpu, far, &desc);
}

static enum x86_result far_transfer(struct x86_cpu *cpu,
				    const struct x86_insn *insn, bool call)
{
	struct far far = { .call = call };
	enum x86_result r = far_operand(cpu, insn, &far);

	if (r)
		return r;
	if (cpu->mode & X86_MODE_PROT)
		return far_protected(cpu, &far);
	return far_real(cpu, &far);
}

enum x86_result x86_far_jump(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	return far_transfer(cpu, insn, false);
}

enum x86_result x86_far_call(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	return far_transfer(cpu, insn, true);
}

enum x86_result x86_int(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	switch (insn->opcode) {
	case 0xcc:
		return x86_software_interrupt(cpu, X86_BP, true);
	case 0xcd:
		return x86_software_interrupt(cpu, (uint8_t)insn->imm, false);
	case 0xce:
		if (cpu->mode & X86_MODE_CODE64)
			return x86_raise(cpu, X86_UD);
		if (!(cpu->state.rflags & X86_FLAG_OF))
			return X86_NEXT;
		return x86_software_interrupt(cpu, X86_OF, true);
	default:
		return x86_int1(cpu);
	}
}
