/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries at the front of code memory: into host code, out of it, and to
 * the interpreter for one instruction. They move the guest's registers and
 * flags between the host's and struct x86_cpu.
 */
#include "engine/soft/rewrite_impl.h"

/* System V callee-saved registers. */
static const uint8_t saved[6] = { HOST_RBX, HOST_RBP, HOST_R12,
				  HOST_R13, HOST_R14, HOST_R15 };

static void push(struct emit *e, unsigned int reg)
{
	if (reg >= 8)
		emit_8(e, 0x41);
	emit_8(e, 0x50 | (reg & 7));
}

static void pop(struct emit *e, unsigned int reg)
{
	if (reg >= 8)
		emit_8(e, 0x41);
	emit_8(e, 0x58 | (reg & 7));
}

/* ADD (5) or SUB ... rsp, 8: `op` is the ModRM.reg of 83. */
static void move_rsp(struct emit *e, unsigned int op)
{
	emit_rm_reg(e, 0, true, false, 0x83, op, HOST_RSP);
	emit_8(e, 8);
}

/* Registers, then flags (LAHF and SETO, as WORD_FLAGS holds them), then what
 * is live of the others. */
static void spill(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem flags = rewrite_word(WORD_FLAGS);

	for (unsigned int r = 0; r < 16; r++) {
		const struct emit_mem home = rewrite_home(r);

		if (rewrite_host[r] != HOST_NONE)
			emit_store(e, rewrite_host[r], &home);
	}
	emit_8(e, 0x9f); /* lahf */
	emit_rm_reg(e, 0, false, false, 0x0f90, 0, HOST_RAX); /* seto al */
	emit_store(e, HOST_RAX, &flags);
	rewrite_park(rw, e);
}

/* ADD of 0x7f to 1 overflows, to 0 does not; SAHF sets the rest. */
static void reload(struct emit *e)
{
	const struct emit_mem flags = rewrite_word(WORD_FLAGS);

	emit_load(e, HOST_RAX, &flags);
	emit_8(e, 0x04); /* add al, 0x7f */
	emit_8(e, 0x7f);
	emit_8(e, 0x9e); /* sahf */
	for (unsigned int r = 0; r < 16; r++) {
		const struct emit_mem home = rewrite_home(r);

		if (rewrite_host[r] != HOST_NONE)
			emit_load(e, rewrite_host[r], &home);
	}
}

/* From the return stack to the C stack, and back. */
static void to_c_stack(struct emit *e)
{
	const struct emit_mem stack = rewrite_word(WORD_STACK);
	const struct emit_mem top = rewrite_word(WORD_RETURN);

	emit_store(e, HOST_RSP, &top);
	emit_load(e, HOST_RSP, &stack);
}

static void to_return_stack(struct emit *e)
{
	const struct emit_mem top = rewrite_word(WORD_RETURN);

	emit_load(e, HOST_RSP, &top);
}

/* uint32_t enter(struct x86_cpu *, const void *code) */
static void stub_enter(struct emit *e)
{
	const struct emit_mem stack = rewrite_word(WORD_STACK);

	for (unsigned int i = 0; i < sizeof(saved); i++)
		push(e, saved[i]);
	move_rsp(e, 5);
	emit_store(e, HOST_RSP, &stack);
	emit_mov(e, HOST_R9, HOST_RSI);
	reload(e);
	to_return_stack(e);
	emit_rm_reg(e, 0, false, false, 0xff, 4, HOST_R9); /* jmp r9 */
}

static void stub_return(struct emit *e)
{
	move_rsp(e, 0);
	for (unsigned int i = sizeof(saved); i-- > 0;)
		pop(e, saved[i]);
	emit_8(e, 0xc3);
}

static void stub_leave(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem rip = emit_gs(offsetof(struct x86_state, rip));

	rw->leave = emit_here(e);
	emit_store(e, HOST_R9, &rip);
	to_c_stack(e);
	spill(rw, e);
	emit_const(e, HOST_RAX, X86_BRANCH);
	stub_return(e);
}

/*
 * C code is called; the way back is taken from the return stack and may be
 * another then. A return leads there, as the host's return predictor expects.
 */
static void stub_event(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem self = rewrite_word(WORD_SELF);
	const struct emit_mem back = rewrite_word(WORD_BACK);
	uint8_t *out, *address;

	rw->event = emit_here(e);
	emit_rm_mem(e, 0, false, 0x8f, 0, &back); /* pop */
	to_c_stack(e);
	spill(rw, e);
	emit_load(e, HOST_RDI, &self);
	emit_const(e, HOST_RAX, (uint64_t)(uintptr_t)rewrite_event);
	emit_rm_reg(e, 0, false, false, 0xff, 2, HOST_RAX); /* call rax */
	emit_rm_reg(e, 0, true, false, 0x85, HOST_RAX, HOST_RAX);
	out = emit_jcc(e, 5, 0);
	reload(e);
	to_return_stack(e);
	emit_rm_mem(e, 0, false, 0xff, 6, &back); /* push */
	emit_8(e, 0xc3);
	emit_land_32(e, out);
	emit_rm_reg(e, 0, true, false, 0x83, 7, HOST_RAX); /* cmp */
	emit_8(e, X86_STOP);
	address = emit_jcc(e, 7, 0); /* above */
	stub_return(e);
	emit_land_32(e, address);
	emit_mov(e, HOST_R9, HOST_RAX);
	reload(e);
	to_return_stack(e);
	push(e, HOST_R9);
	emit_8(e, 0xc3);
}

/*
 * Where far entries go whose key is not the present one: r9: target. Every so
 * often the run loop is asked, which makes the entry anew for this key; else
 * the table knows the target.
 */
static void stub_look_up(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem count = rewrite_word(WORD_COUNT);
	const struct emit_mem bottom = rewrite_word(WORD_BOTTOM);
	const struct emit_mem sought = rewrite_word(WORD_SOUGHT);
	const struct emit_mem less = emit_at(HOST_RCX, -1);
	uint8_t *asked, *anew, *on;

	/* Or because the polling entry behind it leaves. */
	rw->far_miss = emit_here(e);
	emit_pext_gs(e, HOST_RCX, HOST_RSP, rewrite_word_offset(WORD_POLL));
	asked = emit_jrcxz(e);
	emit_load(e, HOST_RCX, &count);
	emit_lea(e, true, HOST_RCX, &less);
	emit_store(e, HOST_RCX, &count);
	anew = emit_jrcxz(e);
	emit_mov(e, HOST_RCX, HOST_R11);
	on = emit_jmp_8(e);
	emit_land_8(e, anew);
	emit_land_8(e, asked);
	emit_mov(e, HOST_RCX, HOST_R11);
	emit_jmp(e, rw->leave);

	/* Returns whose caller's entry is not on top: none is to be trusted. */
	rw->return_miss_r10 = emit_here(e);
	emit_mov(e, HOST_RCX, HOST_R10);
	rw->return_miss = emit_here(e);
	emit_load(e, HOST_RSP, &bottom);
	emit_land_8(e, on);
	rewrite_look_up(e, false);

	rw->sought_r11 = emit_here(e);
	emit_mov(e, HOST_RCX, HOST_R11);
	rw->sought = emit_here(e);
	emit_store(e, HOST_R9, &sought);
	emit_jmp(e, rw->leave);
}

void rewrite_stubs(struct rewriter *rw, struct emit *e)
{
	rw->enter = (uint32_t(*)(struct x86_cpu *, const void *))
		(uintptr_t)emit_here(e);
	stub_enter(e);
	rewrite_stub_park(rw, e);
	stub_leave(rw, e);
	stub_event(rw, e);
	stub_look_up(rw, e);
	rewrite_stub_find(rw, e);
	rewrite_stub_checks(rw, e);
	rewrite_stub_source(rw, e);
	rewrite_stub_load(rw, e);
}
