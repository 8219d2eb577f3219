/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One instruction at a time: fetch, decode, execute, debug traps. For
 * engines that borrow the interpreter for a single instruction, and for the
 * run loop of engine/soft where instructions must be seen one by one (TF,
 * code breakpoints, the shadow of STI). Intel SDM vol. 3, 6.8 and 17.3;
 * AMD64 APM vol. 2, 13.1.
 */
#include "vm/bytes.h"
#include "x86/access.h"
#include "x86/event.h"
#include "x86/flags.h"
#include "x86/handlers.h"
#include "x86/insn.h"

#define DR6_BS	    0x4000u
#define DR7_ENABLED 0xffu
#define DR7_TYPE(dr7, n) ((dr7) >> (16 + (n) * 4) & 3)

/* Copies instruction bytes of one page; reads MMIO as instructions too. */
static enum x86_result fetch_page(struct x86_cpu *cpu, uint64_t linear,
				  uint8_t *buf, unsigned int size)
{
	const void *host;
	unsigned int i;
	gpa_t address;
	enum x86_result r = x86_fetch_translate(cpu, linear, &address);

	if (r)
		return r;
	host = memory_for_read(&cpu->vm->memory, address, size);
	if (host) {
		memcpy(buf, host, size);
		return X86_NEXT;
	}
	for (i = 0; i < size; i++)
		buf[i] = (uint8_t)bus_read(&cpu->vm->mmio, address.v + i, 1);
	return X86_NEXT;
}

/* How many bytes at rip the code segment's limit leaves, 15 at most. */
static unsigned int limit_left(const struct x86_cpu *cpu)
{
	uint64_t limit = cpu->state.seg[X86_CS].limit, rip = cpu->state.rip;

	if (cpu->mode & X86_MODE_CODE64)
		return X86_INSN_MAX;
	if (rip > limit)
		return 0;
	return limit - rip < X86_INSN_MAX - 1 ? (unsigned int)(limit - rip) + 1
					      : X86_INSN_MAX;
}

/* Fetches and decodes the instruction at rip. */
static enum x86_result fetch_decode(struct x86_cpu *cpu, struct x86_insn *insn)
{
	uint64_t linear = cpu->state.rip + cpu->state.seg[X86_CS].base;
	unsigned int limit = limit_left(cpu), first;
	uint8_t bytes[X86_INSN_MAX];
	enum x86_result r;
	int length;

	if (!limit)
		return x86_raise_error(cpu, X86_GP, 0);
	if (!(cpu->mode & X86_MODE_LONG))
		linear = (uint32_t)linear;
	if (cpu->mode & X86_MODE_CODE64)
		linear = cpu->state.rip;
	first = PAGE_SIZE - (unsigned int)(linear & 0xfff);
	first = first < limit ? first : limit;
	r = fetch_page(cpu, linear, bytes, first);
	if (r)
		return r;
	length = x86_decode(insn, bytes, first, cpu->mode);
	if (length == 0 && first < limit) {
		r = fetch_page(cpu, linear + first, bytes + first,
			       limit - first);
		if (r)
			return r;
		length = x86_decode(insn, bytes, limit, cpu->mode);
	}
	if (length == -2)
		return x86_raise(cpu, X86_UD);
	if (length <= 0)
		return x86_raise_error(cpu, X86_GP, 0);
	return X86_NEXT;
}

/* DR6 bits of the enabled code breakpoints at rip. */
static uint32_t code_breakpoints(const struct x86_cpu *cpu)
{
	uint64_t dr7 = cpu->state.dr[7];
	uint64_t linear = cpu->state.rip;
	uint32_t hits = 0;
	unsigned int i;

	if (!(cpu->mode & X86_MODE_CODE64))
		linear = (uint32_t)(linear + cpu->state.seg[X86_CS].base);
	for (i = 0; i < 4; i++)
		if ((dr7 >> (i * 2) & 3) && DR7_TYPE(dr7, i) == 0 &&
		    cpu->state.dr[i] == linear)
			hits |= 1u << i;
	return hits;
}

/* Raises #DB with the given DR6 bits. */
static enum x86_result raise_debug(struct x86_cpu *cpu, uint32_t bits)
{
	enum x86_result r = x86_raise(cpu, X86_DB);

	cpu->fault.address = bits;
	return r;
}

/* Executes the decoded instruction; rip and flags are canonical after it. */
static enum x86_result execute(struct x86_cpu *cpu, struct x86_insn *insn)
{
	uint64_t rip = cpu->state.rip;
	enum x86_result r;

	insn->offset = 0;
	cpu->block_rip = rip;
	x86_bind(cpu, insn);
	r = insn->handler(cpu, insn);
	if (r == X86_NEXT) {
		cpu->state.rip = rip + insn->length;
		if (!(cpu->mode & X86_MODE_CODE64))
			cpu->state.rip = (uint32_t)cpu->state.rip;
	}
	if (r == X86_FAULT)
		cpu->state.rip = rip;
	x86_flags(cpu);
	cpu->instructions++;
	return r;
}

/* These clear TF by themselves, and are not followed by a trap then. */
static bool enters_handler(const struct x86_insn *insn)
{
	return insn->handler == x86_run_slow &&
	       (insn->slow == x86_int || insn->slow == x86_syscall);
}

/* DR6 bits of the traps that the executed instruction is followed by. */
static uint32_t traps_after(struct x86_cpu *cpu, const struct x86_insn *insn,
			    uint64_t flags_before)
{
	uint32_t debug = cpu->debug_hits;

	/* INT1 is a debug exception itself: one for both. */
	if (enters_handler(insn) && insn->opcode == 0xf1)
		debug = 0;
	if (enters_handler(insn))
		flags_before &= cpu->state.rflags;
	if (insn->handler == x86_run_slow && insn->slow == x86_sysret)
		flags_before = 0; /* raises its own */
	if (flags_before & X86_FLAG_TF)
		debug |= DR6_BS;
	/*
	 * The shadow of MOV SS holds debug traps back as well: a data
	 * breakpoint until the next instruction is done, a step for good.
	 */
	if (cpu->state.int_shadow == X86_SHADOW_SS)
		return 0;
	cpu->debug_hits = 0;
	return debug;
}

enum x86_result x86_step(struct x86_cpu *cpu)
{
	uint64_t flags = x86_flags(cpu), rip = cpu->state.rip;
	uint8_t shadow = cpu->state.int_shadow;
	struct x86_insn insn;
	uint32_t debug = 0;
	enum x86_result r;

	if ((cpu->state.dr[7] & DR7_ENABLED) && !(flags & X86_FLAG_RF) &&
	    (shadow != X86_SHADOW_SS || cpu->cpuid->amd))
		debug = code_breakpoints(cpu);
	if (debug) {
		raise_debug(cpu, debug);
		return x86_deliver_fault(cpu);
	}
	if (shadow != X86_SHADOW_SS)
		cpu->debug_hits = 0;
	r = fetch_decode(cpu, &insn);
	if (!r) {
		cpu->state.rflags &= ~(uint64_t)X86_FLAG_RF;
		r = execute(cpu, &insn);
	}
	if (r == X86_FAULT) {
		cpu->state.rflags |= flags & X86_FLAG_RF;
		cpu->debug_hits = 0;
		return x86_deliver_fault(cpu);
	}
	/* A repetition that goes on is the same instruction still. */
	if (r == X86_BRANCH && cpu->state.rip == rip &&
	    (insn.prefix & (X86_PFX_REP | X86_PFX_REPNE)))
		cpu->state.rflags |= flags & X86_FLAG_RF;
	if (shadow)
		cpu->state.int_shadow = 0;
	debug = traps_after(cpu, &insn, flags);
	if (debug) {
		if (cpu->state.activity == X86_HALTED)
			cpu->state.activity = X86_RUNNING; /* it ends HLT */
		raise_debug(cpu, debug);
		return x86_deliver_fault(cpu);
	}
	return r == X86_STOP ? X86_STOP : X86_BRANCH;
}

/* Of what the mode depends on, these change RFLAGS and segments at most. */
static bool loads_segments(const struct x86_insn *insn)
{
	x86_handler *slow = insn->slow;

	return slow == x86_mov_to_seg || slow == x86_pop_seg ||
	       slow == x86_load_far || slow == x86_far_call ||
	       slow == x86_far_return || slow == x86_far_jump ||
	       slow == x86_int || slow == x86_iret;
}

enum x86_result x86_run_slow(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t mask = cpu->mode & X86_MODE_CODE64 ? UINT64_MAX : UINT32_MAX;
	enum x86_result r;

	x86_flags(cpu);
	cpu->state.rip = (cpu->block_rip + insn->offset) & mask;
	cpu->next_rip = (cpu->state.rip + insn->length) & mask;
	r = insn->slow(cpu, insn);
	if (r == X86_FAULT)
		return r;
	cpu->state.rip = cpu->next_rip;
	if (!x86_mode_stays(cpu) || !loads_segments(insn))
		x86_update_mode(cpu);
	return r ? r : X86_BRANCH;
}
