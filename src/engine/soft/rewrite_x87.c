/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 in host code, beyond what rewrite_vector.c does for every data
 * instruction: the pointers to the last instruction and operand, and the
 * instructions that move control and status words, MXCSR among them.
 *
 * What the host's pointers hold would show host addresses to the guest.
 * Each block with x87 instructions notes where it is to be found instead
 * (WORD_X87), once up to where it may be left; the instruction pointer and
 * the opcode follow from that when the registers have been parked. The
 * operand pointer is stored at once.
 * Environments (FNSTENV, FNSAVE ...) and FNINIT are the interpreter's.
 */
#include "engine/soft/native_op.h"
#include "engine/soft/rewrite_impl.h"

#define SIMD_PREFIXES (X86_PFX_OPSIZE | X86_PFX_REP | X86_PFX_REPNE)

static struct emit_mem area(unsigned int offset)
{
	return emit_gs(offsetof(struct x86_state, xsave) + offset);
}

/* --- pointers ----------------------------------------------------------------- */

void rewrite_x87_place(struct rewrite *t, unsigned int last)
{
	const struct emit_mem place = rewrite_word(WORD_X87);

	emit_rm_mem(&t->e, 0, false, 0xc7, 0, &place); /* mov */
	emit_32(&t->e, t->place | last);
}

static bool sets_pointers(const struct x86_insn *insn)
{
	const struct native_op *op = native_plain(insn);

	return op && op->flags & NATIVE_X87;
}

/* A conditional jump: nothing behind it may have been run. */
static bool may_leave(const struct x86_insn *insn)
{
	if (insn->encoding != X86_LEGACY)
		return false;
	if (insn->map == X86_MAP_0F)
		return (insn->opcode & 0xf0) == 0x80;
	return insn->map == X86_MAP_ONE && ((insn->opcode & 0xf0) == 0x70 ||
					    (insn->opcode & 0xfc) == 0xe0);
}

/* The last that sets pointers from `index` to where the block may be left. */
static unsigned int last_from(const struct block *block, unsigned int index)
{
	unsigned int last = index;

	for (; index < block->count && !may_leave(&block->insn[index]);
	     index++)
		if (sets_pointers(&block->insn[index]))
			last = index;
	return last;
}

void rewrite_x87_note(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem fdp = area(FPU_FDP);
	unsigned int last;

	if (insn->mem) {
		rewrite_address(t, insn);
		emit_store(&t->e, HOST_R9, &fdp);
	}
	if (t->live.placed > t->index)
		return;
	last = last_from(t->block, t->index);
	rewrite_x87_place(t, last);
	t->live.placed = (uint8_t)(last + 1);
}

/*
 * The instruction that the pointers are of, when `last` was noted and host
 * code called C at `index`: the latest before that, or `last` from the time
 * before.
 */
static unsigned int find_pointers(const struct block *block,
				  unsigned int last, unsigned int index)
{
	unsigned int i = index;

	if (index > last)
		return last;
	while (i-- > 0 && !may_leave(&block->insn[i]))
		if (sets_pointers(&block->insn[i]))
			return i;
	return last;
}

void rewrite_x87_settle(struct rewriter *rw, struct x86_cpu *cpu,
			const struct block *at, unsigned int index)
{
	_Atomic uint64_t *word = &cpu->fast.word[WORD_X87];
	uint64_t place = atomic_load_explicit(word, memory_order_relaxed);
	const struct block *block;
	unsigned int i;

	if (!place)
		return;
	atomic_store_explicit(word, 0, memory_order_relaxed);
	i = place % REWRITE_PLACE;
	block = rewrite_placed(cpu, place);
	if (block == at)
		i = find_pointers(block, i, index);
	fpu_set16(&cpu->state, FPU_FOP,
		  (uint16_t)((block->insn[i].opcode & 7) << 8 |
			     block->insn[i].modrm));
	fpu_set64(&cpu->state, FPU_FIP,
		  block->rip + block->insn[i].offset);
}

/* --- control and status -------------------------------------------------------- */

enum state_insn {
	NONE,
	FLDCW,
	FNSTCW,
	FNSTSW,
	FNSTSW_AX,
	FNCLEX,
	FWAIT,
	EMMS,
	LDMXCSR,
	STMXCSR,
};

static enum state_insn x87_of(const struct x86_insn *insn)
{
	unsigned int reg = insn->modrm >> 3 & 7;

	if (insn->opcode == 0x9b)
		return FWAIT;
	if (insn->mem && insn->opcode == 0xd9)
		return reg == 5 ? FLDCW : reg == 7 ? FNSTCW : NONE;
	if (insn->mem && insn->opcode == 0xdd)
		return reg == 7 ? FNSTSW : NONE;
	if (!insn->mem && insn->opcode == 0xdf && insn->modrm == 0xe0)
		return FNSTSW_AX;
	if (!insn->mem && insn->opcode == 0xdb && insn->modrm == 0xe2)
		return FNCLEX;
	return NONE;
}

static enum state_insn state_insn(const struct x86_insn *insn)
{
	unsigned int reg = insn->modrm >> 3 & 7;
	bool vex = insn->encoding == X86_VEX;

	if (insn->prefix & X86_PFX_LOCK || insn->encoding == X86_EVEX)
		return NONE;
	if (insn->map == X86_MAP_ONE && !vex)
		return x87_of(insn);
	if (insn->map != X86_MAP_0F || insn->prefix & SIMD_PREFIXES)
		return NONE;
	if (insn->opcode == 0x77 && !vex)
		return EMMS;
	if (insn->opcode != 0xae || !insn->mem || (reg & 6) != 2 ||
	    (vex && (insn->vector_length || insn->vvvv)))
		return NONE;
	return reg == 2 ? LDMXCSR : STMXCSR;
}

struct rewrite_class rewrite_state_class(const struct block *block,
					 const struct x86_insn *insn)
{
	const uint32_t avx = X86_MODE_PROT | X86_MODE_AVX;
	struct rewrite_class class = { .flags_read = X86_FLAGS_ARITH };
	enum state_insn which = state_insn(insn);
	uint32_t need = insn->encoding == X86_VEX ? avx : X86_MODE_SSE;

	if (which == NONE)
		return class;
	if (which < LDMXCSR) {
		if (block->mode & X86_MODE_FPU_OFF)
			return class;
		class.needs = REWRITE_VECTORS | REWRITE_X87;
	} else {
		if ((block->mode & need) != need)
			return class;
		class.needs = REWRITE_VECTORS;
	}
	class.kind = REWRITE_VECTOR;
	class.flags_read = 0;
	class.writes_memory = which == FNSTCW || which == FNSTSW ||
			      which == STMXCSR;
	return class;
}

/* Has the instruction interpreted when r9d has one of `bits`. */
static void refuse(struct rewrite *t, uint32_t bits)
{
	emit_rm_reg(&t->e, 0, false, false, 0xf7, 0, HOST_R9); /* test */
	emit_32(&t->e, bits);
	rewrite_miss(t, emit_jcc(&t->e, 5, 0), HOST_RCX);
}

/*
 * The value is checked and loaded from the same copy: guest memory may change
 * in between. Those that unmask an exception are the interpreter's.
 */
static bool put_fldcw(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem fcw = area(FPU_FCW);
	struct emit *e = &t->e;
	struct emit_mem at;

	if (t->flags_live)
		return false;
	at = rewrite_operand(t, insn, 2, 1, false);
	emit_rm_mem(e, 0, false, 0x0fb7, HOST_R10, &at); /* movzx */
	emit_rm_reg(e, 0, false, false, 0x8b, HOST_R9, HOST_R10);
	emit_rm_reg(e, 0, false, false, 0xf7, 2, HOST_R9); /* not */
	refuse(t, FPU_EXCEPT);
	emit_rm_mem(e, 0x66, false, 0x89, HOST_R10, &fcw);
	emit_rm_mem(e, 0, false, 0xd9, 5, &fcw);
	return true;
}

/* Less the mask bits no other bit than those in use may be left. */
static bool put_ldmxcsr(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem less = emit_at(HOST_R10, -(int)FPU_MXCSR_MASKS);
	const struct emit_mem mxcsr = area(FPU_MXCSR);
	struct emit *e = &t->e;
	struct emit_mem at;

	if (t->flags_live)
		return false;
	at = rewrite_operand(t, insn, 4, 1, false);
	emit_rm_mem(e, 0, false, 0x8b, HOST_R10, &at);
	emit_rm_mem(e, 0, false, 0x8d, HOST_R9, &less); /* lea */
	refuse(t, ~(uint32_t)FPU_MXCSR_USED | FPU_MXCSR_MASKS);
	emit_rm_mem(e, 0, false, 0x89, HOST_R10, &mxcsr);
	emit_rm_mem(e, 0, false, 0x0fae, 2, &mxcsr);
	return true;
}

/* Stores `size` bytes; the operation is ModRM.reg's. */
static bool put_store(struct rewrite *t, const struct x86_insn *insn,
		      unsigned int size)
{
	uint32_t opcode = insn->opcode;
	struct emit_mem at;

	if (insn->map == X86_MAP_0F)
		opcode |= 0x0f00;
	at = rewrite_operand(t, insn, size, 1, true);
	emit_rm_mem(&t->e, 0, false, opcode, insn->modrm >> 3 & 7, &at);
	return true;
}

bool rewrite_state_insn(struct rewrite *t, const struct x86_insn *insn)
{
	switch (state_insn(insn)) {
	case FLDCW:
		return put_fldcw(t, insn);
	case LDMXCSR:
		return put_ldmxcsr(t, insn);
	case FNSTCW:
	case FNSTSW:
		return put_store(t, insn, 2);
	case STMXCSR:
		return put_store(t, insn, 4);
	case FNSTSW_AX:
	case FNCLEX:
		emit_8(&t->e, insn->opcode);
		emit_8(&t->e, insn->modrm);
		return true;
	case EMMS:
		emit_bytes(&t->e, "\x0f\x77", 2);
		return true;
	case FWAIT: /* nothing is pending while all is masked */
		return true;
	default:
		return false;
	}
}
