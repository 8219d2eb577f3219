/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow in host code: the entries of a block, and the instructions that
 * end one. Nothing here changes a flag but where the block that is entered is
 * known to need none.
 *
 * A block has a plain entry, and one that is made when it is first wanted:
 *   - the polling one, for jumps back and calls: leaves when a request is
 *     waiting or the return stack is full.
 * A block that needs registers to be live asks for them in front of both;
 * these are for who knows the answer (rewrite_live.c). So do two more that lie
 * apart (rewrite_event.c): the far one and, for jumps through the table, the
 * indirect one.
 *
 * Jumps within a page lead to their target's block once they have been
 * patched: both ends share the page, so whatever mapping led to one leads to
 * the other. Those to another page lead to the target's far entry, which
 * compares the key with that under which it was made. So do those to the
 * page's last bytes, where an instruction may be that ends in another page.
 */
#include "engine/soft/rewrite_impl.h"

/* True when what is at `rip` is in the block's page, to its end. */
static bool same_page(const struct rewrite *t, uint64_t rip)
{
	uint64_t linear = rewrite_linear(t, rip);

	return !((linear ^ t->block->linear) & PAGE_MASK) &&
	       !block_may_cross(linear);
}

static bool is_direct(const struct rewrite_class *class)
{
	return class->kind == REWRITE_JCC || class->kind == REWRITE_JMP ||
	       class->kind == REWRITE_CALL || class->kind == REWRITE_LOOP;
}

/* --- entries ---------------------------------------------------------- */

/* Goes by the jump that it gives when WORD_POLL is zero or its bit of rsp is;
 * then rcx is in r11 if `flags`. */
uint8_t *rewrite_put_poll(struct emit *e, bool flags)
{
	const size_t poll = rewrite_word_offset(WORD_POLL);
	const struct emit_mem mask = emit_gs(poll);
	uint8_t *out;

	if (!flags) {
		emit_rm_mem(e, 0, true, 0x85, HOST_RSP, &mask); /* test */
		return emit_jcc_8(e, 4);
	}
	emit_mov(e, HOST_R11, HOST_RCX);
	emit_pext_gs(e, HOST_RCX, HOST_RSP, poll);
	out = emit_jrcxz(e);
	emit_mov(e, HOST_RCX, HOST_R11);
	return out;
}

/* It is known already that jumps which look for requests lead here. */
static bool is_polled(const struct rewrite *t, const struct rewrite_class *end)
{
	const struct block *b = t->block;
	const struct rewriter *rw = t->rw;
	const struct x86_insn *last = &b->insn[b->count - 1];

	return b->needs || rewrite_is_sought(t) ||
	       (rw->link_site && rw->link_target == b->rip &&
		rewrite_link_polls(rw)) ||
	       (is_direct(end) && rewrite_target(t, last) == b->rip);
}

const uint8_t *rewrite_entries(struct rewrite *t, bool flags,
			       const struct rewrite_class *end)
{
	const uint8_t *out, *code, *poll;
	struct block *b = t->block;
	struct emit *e = &t->e;
	bool polls = is_polled(t, end);
	uint8_t *leaves;

	rewrite_put_head(t);
	out = e->p;
	if (polls && flags)
		emit_mov(e, HOST_RCX, HOST_R11);
	if (polls)
		emit_call(e, t->rw->event);
	rewrite_put_entries(t);
	code = e->p;
	t->flags_live = b->flags = flags;
	rewrite_need(t, b->needs);
	poll = e->p;
	if (polls) {
		leaves = rewrite_put_poll(e, flags);
		bug_on(leaves + 1 - out > 128);
		*leaves = (uint8_t)(out - (leaves + 1));
	}
	b->poll = polls ? (uint32_t)(poll - t->rw->code.write) : 0;
	if (!b->needs)
		code = e->p;
	b->live_code = e->p + e->to_exec;
	return code;
}

/* --- ways out --------------------------------------------------------- */

void rewrite_look_up(struct emit *e, bool call)
{
	const struct emit_mem to = emit_gs_index(
		HOST_R10, 3, offsetof(struct x86_cpu, fast) +
				     offsetof(struct x86_fast, to));

	emit_pext_gs(e, HOST_R10, HOST_R9,
		     rewrite_word_offset(WORD_MASK_JUMP));
	emit_rm_mem(e, 0, false, 0xff, call ? 2 : 4, &to);
}

static struct rewrite_exit *add_exit(struct rewrite *t, uint64_t target)
{
	uint64_t here = t->block->rip +
			rewrite_insn_at(t, t->index)->offset;
	struct rewrite_exit *exit;

	bug_on(t->exit_count == REWRITE_EXITS_MAX);
	exit = &t->exit[t->exit_count++];
	*exit = (struct rewrite_exit){
		.target = target,
		.far = !same_page(t, target),
		.poll = target <= here,
		.live = t->live.sets,
	};
	return exit;
}

void rewrite_go(struct rewrite *t, uint64_t target)
{
	struct rewrite_exit *exit = add_exit(t, target);

	exit->at = emit_call(&t->e, t->rw->event);
	exit->back = t->e.p;
	exit->in_line = true;
}

/* --- instructions ------------------------------------------------------- */

/* To `target` on condition `cc`, else on. */
static void go_if(struct rewrite *t, unsigned int cc, uint64_t target)
{
	add_exit(t, target)->at = emit_jcc(&t->e, cc, 0);
}

/* The next turn of a loop stands behind the jump that leads there. */
static void jump_conditional(struct rewrite *t, const struct x86_insn *insn)
{
	uint64_t next = rewrite_next(t, insn), target = rewrite_target(t, insn);
	unsigned int cc = insn->opcode & 15;
	bool last = rewrite_in_block(t, t->index) + 1u == t->block->count;

	if (last && t->pass != PASS_APART && t->index + 1 < rewrite_count(t)) {
		go_if(t, cc ^ 1, next);
		return;
	}
	go_if(t, cc, target);
	if (last)
		rewrite_go(t, next);
}

/* For rewrite_take_back(). */
static void note_branch(struct rewrite *t)
{
	const struct emit_mem word = rewrite_word(WORD_BRANCH);

	if (rewrite_narrow(t))
		return;
	emit_rm_mem(&t->e, 0, false, 0xc7, 0, &word); /* mov */
	emit_32(&t->e, t->place | t->index);
}

/* The operand of an indirect jump or call into r9. */
static void read_target(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem home = rewrite_home(insn->rm);
	struct emit_mem from;

	if (rewrite_narrow(t)) {
		rewrite_narrow_target(t, insn);
	} else if (insn->mem) {
		from = rewrite_operand(t, insn, 8, 1, false);
		emit_load(&t->e, HOST_R9, &from);
	} else if (rewrite_host[insn->rm] == HOST_NONE) {
		emit_load(&t->e, HOST_R9, &home);
	} else {
		emit_mov(&t->e, HOST_R9, rewrite_host[insn->rm]);
	}
}

static uint64_t return_address(const struct rewrite *t,
			       const struct x86_insn *insn)
{
	uint64_t next = rewrite_next(t, insn);

	return rewrite_narrow(t) && insn->opsize == 2 ? (uint16_t)next : next;
}

static void push_return_address(struct rewrite *t, const struct x86_insn *insn,
				bool indirect)
{
	uint64_t next = return_address(t, insn);

	if (rewrite_narrow(t))
		rewrite_narrow_push(t, insn->opsize, next);
	else
		rewrite_push_const(t, next, indirect);
}

/*
 * Behind the host's call: where a return comes back to, with the address that
 * it read from the guest's stack in r9.
 */
static void put_return_site(struct rewrite *t, const struct x86_insn *insn)
{
	uint64_t here = return_address(t, insn);
	struct emit_mem differ = emit_at(HOST_R9, 0);
	bool calls = !rewrite_is_hot(t);
	unsigned int to = calls ? HOST_R10 : HOST_RCX;
	struct emit *e = &t->e;
	uint8_t *same;

	if (!calls)
		emit_mov(e, HOST_R10, HOST_RCX);
	if (0 - here == (uint64_t)(int64_t)(int32_t)(0 - here)) {
		differ.disp = (int32_t)(0 - here);
	} else {
		emit_const(e, HOST_R11, 0 - here);
		differ.index = HOST_R11;
	}
	emit_lea(e, true, to, &differ);
	if (calls) {
		emit_call(e, t->rw->came_back);
	} else {
		same = emit_jrcxz(e);
		emit_jmp(e, t->rw->return_miss_r10);
		emit_land_8(e, same);
		emit_mov(e, HOST_RCX, HOST_R10);
	}
	rewrite_unknown(t);
	rewrite_go(t, here);
}

static void call_direct(struct rewrite *t, const struct x86_insn *insn)
{
	uint64_t next = rewrite_next(t, insn), target = rewrite_target(t, insn);
	struct rewrite_exit *exit;

	push_return_address(t, insn, false);
	if (target == next) { /* to learn its own address: no return */
		rewrite_go(t, next);
		return;
	}
	exit = add_exit(t, target);
	exit->at = emit_call(&t->e, 0);
	exit->poll = true;
	put_return_site(t, insn);
}

/* The target may be read behind the push when it is a register but rsp, and
 * of no concern to a limit. */
static void call_indirect(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem target = rewrite_word(WORD_TARGET);

	if (insn->mem || insn->rm == X86_RSP || rewrite_narrow(t)) {
		read_target(t, insn);
		emit_store(&t->e, HOST_R9, &target);
		push_return_address(t, insn, true);
		emit_load(&t->e, HOST_R9, &target);
	} else {
		push_return_address(t, insn, true);
		read_target(t, insn);
	}
	note_branch(t);
	rewrite_look_up(&t->e, true);
	put_return_site(t, insn);
}

bool rewrite_branch(struct rewrite *t, const struct x86_insn *insn,
		    const struct rewrite_class *class)
{
	if (is_direct(class) &&
	    !rewrite_in_segment(t, rewrite_target(t, insn)))
		return false;
	switch (class->kind) {
	case REWRITE_JCC:
		jump_conditional(t, insn);
		return true;
	case REWRITE_JMP:
		rewrite_go(t, rewrite_target(t, insn));
		return true;
	case REWRITE_CALL:
		call_direct(t, insn);
		return true;
	case REWRITE_RET:
		if (rewrite_narrow(t))
			rewrite_narrow_pop_r9(t, insn->opsize,
					      (uint32_t)insn->imm);
		else
			rewrite_pop_r9(t, (uint32_t)insn->imm);
		note_branch(t);
		emit_8(&t->e, 0xc3);
		return true;
	case REWRITE_JMP_RM:
		read_target(t, insn);
		note_branch(t);
		rewrite_look_up(&t->e, false);
		return true;
	case REWRITE_CALL_RM:
		call_indirect(t, insn);
		return true;
	case REWRITE_LOOP:
		return rewrite_loop(t, insn);
	default:
		return false;
	}
}
