/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow in host code: jumps within the page lead from block to block
 * once they have been patched; calls, returns, indirect jumps and those to
 * other pages look their target up.
 */
#include "engine/soft/rewrite_impl.h"

static bool same_page(uint64_t a, uint64_t b)
{
	return !((a ^ b) & PAGE_MASK);
}

/*
 * To the guest address in r9, flags kept: the sum of target, key and table
 * entry is zero when the entry is the target's and valid now.
 */
static void look_up(struct rewrite *t)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem key = rewrite_word(WORD_KEY);
	const size_t fast = offsetof(struct x86_cpu, fast);
	const struct emit_mem from = emit_gs_index(
		HOST_R10, 3, fast + offsetof(struct x86_fast, from));
	const struct emit_mem to = emit_gs_index(
		HOST_R10, 3, fast + offsetof(struct x86_fast, to));
	const struct emit_mem plus_r9 = { .base = HOST_RCX,
					  .index = HOST_R9 };
	const struct emit_mem plus_r11 = { .base = HOST_RCX,
					   .index = HOST_R11 };
	struct emit *e = &t->e;
	uint8_t *hit;

	emit_store(e, HOST_RCX, &rcx);
	emit_pext_gs(e, HOST_R10, HOST_R9,
		     rewrite_word_offset(WORD_MASK_JUMP));
	emit_load(e, HOST_RCX, &key);
	emit_lea(e, true, HOST_RCX, &plus_r9);
	emit_load(e, HOST_R11, &from);
	emit_lea(e, true, HOST_RCX, &plus_r11);
	hit = emit_jrcxz(e);
	emit_load(e, HOST_RCX, &rcx);
	emit_jmp(e, t->rw->leave);
	emit_land_8(e, hit);
	emit_load(e, HOST_RCX, &rcx);
	emit_rm_mem(e, 0, false, 0xff, 4, &to);
}

/* Leaves to `target` when the key is zero: a request is waiting. */
static void poll(struct rewrite *t, uint64_t target)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem key = rewrite_word(WORD_KEY);
	struct emit *e = &t->e;
	uint8_t *zero, *go_on;

	emit_store(e, HOST_RCX, &rcx);
	emit_load(e, HOST_RCX, &key);
	zero = emit_jrcxz(e);
	emit_load(e, HOST_RCX, &rcx);
	emit_8(e, 0xeb); /* jmp rel8 */
	emit_8(e, 0);
	go_on = e->p - 1;
	emit_land_8(e, zero);
	emit_load(e, HOST_RCX, &rcx);
	emit_const(e, HOST_R9, target);
	emit_jmp(e, t->rw->leave);
	emit_land_8(e, go_on);
}

static void note_exit(struct rewrite *t, uint8_t *at, uint64_t target)
{
	t->exit[t->exit_count++] = (struct rewrite_out){
		.at = at,
		.target = target,
		.link = true,
	};
}

void rewrite_go(struct rewrite *t, uint64_t target)
{
	uint64_t here = t->block->linear + t->block->insn[t->index].offset;

	if (!same_page(target, t->block->linear)) {
		emit_const(&t->e, HOST_R9, target);
		look_up(t);
		return;
	}
	if (target <= here)
		poll(t, target);
	note_exit(t, emit_jmp(&t->e, 0), target);
}

static uint64_t next_rip(const struct rewrite *t, const struct x86_insn *insn)
{
	return t->block->linear + insn->offset + insn->length;
}

static void jump_conditional(struct rewrite *t, const struct x86_insn *insn)
{
	uint64_t next = next_rip(t, insn), target = next + insn->imm;
	unsigned int cc = insn->opcode & 15;
	uint8_t *not_taken;

	if (same_page(target, t->block->linear) && target >= next) {
		note_exit(t, emit_jcc(&t->e, cc, 0), target);
	} else {
		not_taken = emit_jcc(&t->e, cc ^ 1, 0);
		rewrite_go(t, target);
		emit_land_32(&t->e, not_taken);
	}
	rewrite_go(t, next);
}

/* The operand of an indirect jump or call into r9. */
static void read_target(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem home = rewrite_home(insn->rm);
	struct emit_mem from;

	if (insn->mem) {
		from = rewrite_operand(t, insn, 8, 1, false);
		emit_load(&t->e, HOST_R9, &from);
	} else if (rewrite_host[insn->rm] == HOST_NONE) {
		emit_load(&t->e, HOST_R9, &home);
	} else {
		emit_mov(&t->e, HOST_R9, rewrite_host[insn->rm]);
	}
}

static void call_indirect(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem target = rewrite_word(WORD_TARGET);

	read_target(t, insn);
	emit_store(&t->e, HOST_R9, &target);
	rewrite_push_const(t, next_rip(t, insn));
	emit_load(&t->e, HOST_R9, &target);
	look_up(t);
}

bool rewrite_branch(struct rewrite *t, const struct x86_insn *insn,
		    const struct rewrite_class *class)
{
	switch (class->kind) {
	case REWRITE_JCC:
		jump_conditional(t, insn);
		return true;
	case REWRITE_JMP:
		rewrite_go(t, next_rip(t, insn) + insn->imm);
		return true;
	case REWRITE_CALL:
		rewrite_push_const(t, next_rip(t, insn));
		rewrite_go(t, next_rip(t, insn) + insn->imm);
		return true;
	case REWRITE_RET:
		rewrite_pop_r9(t, (uint32_t)insn->imm);
		look_up(t);
		return true;
	case REWRITE_JMP_RM:
		read_target(t, insn);
		look_up(t);
		return true;
	case REWRITE_CALL_RM:
		call_indirect(t, insn);
		return true;
	default:
		return false;
	}
}
