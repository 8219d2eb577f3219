/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions that a kernel's entries and exits are made of, in host
 * code: SYSCALL, SYSRET, SWAPGS, CLI, STI, PUSHF, STAC, CLAC, RDTSC, RDTSCP,
 * RDPKRU. Each does what its handler in src/x86 does in the usual case, and
 * leaves every other case to that handler: another CPL than 0 or 3, a register
 * that forbids it, TF or AC set by a system call.
 *
 * Those that change the mode do what x86_update_mode() and rewrite_set_key()
 * would: the mode is known when the block is rewritten, and the key and
 * return stack of each mode that they lead to are kept ready in struct
 * rewriter. A request that waits is looked at once the new key is in place,
 * for it may have zeroed the old one.
 */
#include "engine/soft/rewrite_impl.h"

#include "x86/reg.h"

/* As SYSRET takes them from R11: see src/x86/syscall.c. */
#define SYSRET_FLAGS                                                     \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF |     \
	 X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_VIF |      \
	 X86_FLAG_VIP | X86_FLAG_ID)

#define CODE_ATTR                                                        \
	(X86_ATTR_G | X86_ATTR_P | X86_ATTR_S | X86_TYPE_CODE |          \
	 X86_TYPE_WRITE | X86_TYPE_ACCESSED | X86_ATTR_L)
#define DATA_ATTR                                                        \
	(X86_ATTR_G | X86_ATTR_DB | X86_ATTR_P | X86_ATTR_S |            \
	 X86_TYPE_WRITE | X86_TYPE_ACCESSED)

#define STATE(field) emit_gs(offsetof(struct x86_state, field))

/* What follows the kind of mode that is entered. */
struct side {
	unsigned int stack; /* index in rewriter.stack */
	enum x86_tlb_kind tlb;
	unsigned int cpl;
};

static const struct side super = { REWRITE_STACK_SUPER, X86_TLB_SUPER, 0 };
static const struct side super_ac = { REWRITE_STACK_AC, X86_TLB_SUPER_AC, 0 };
static const struct side user = { REWRITE_STACK_USER, X86_TLB_USER, 3 };

/* --- pieces ------------------------------------------------------------- */

/* op [m], imm32: group 81, C7 or F7 with ModRM.reg `op`. */
static void with_imm(struct emit *e, unsigned int opcode, unsigned int op,
		     const struct emit_mem *m, uint32_t imm)
{
	emit_rm_mem(e, 0, false, opcode, op, m);
	emit_32(e, imm);
}

static void reg_imm(struct emit *e, unsigned int opcode, unsigned int op,
		    unsigned int reg, uint32_t imm)
{
	emit_rm_reg(e, 0, false, false, opcode, op, reg);
	emit_32(e, imm);
}

static void store_16(struct emit *e, const struct emit_mem *m, unsigned int v)
{
	emit_rm_mem(e, 0x66, false, 0xc7, 0, m);
	emit_8(e, v);
	emit_8(e, v >> 8);
}

/* Flat CS and SS; the selector of CS is in r9, that of SS `behind` above. */
static void put_segments(struct emit *e, unsigned int behind,
			 unsigned int cpl)
{
	const unsigned int dpl = cpl << X86_ATTR_DPL_SHIFT;
	static const unsigned int which[2] = { X86_CS, X86_SS };
	const struct emit_mem next = emit_at(HOST_R9, (int32_t)behind);

	for (unsigned int i = 0; i < 2; i++) {
		size_t at = offsetof(struct x86_state, seg) +
			    which[i] * sizeof(struct x86_segment);
		const struct emit_mem base =
			emit_gs(at + offsetof(struct x86_segment, base));
		const struct emit_mem limit =
			emit_gs(at + offsetof(struct x86_segment, limit));
		const struct emit_mem selector =
			emit_gs(at + offsetof(struct x86_segment, selector));
		const struct emit_mem attr =
			emit_gs(at + offsetof(struct x86_segment, attr));

		if (i)
			emit_lea(e, false, HOST_R9, &next);
		emit_rm_mem(e, 0, true, 0xc7, 0, &base);
		emit_32(e, 0);
		with_imm(e, 0xc7, 0, &limit, UINT32_MAX);
		emit_rm_mem(e, 0x66, false, 0x89, HOST_R9, &selector);
		store_16(e, &attr, (i ? DATA_ATTR : CODE_ATTR) | dpl);
	}
}

static struct emit_mem stack_field(unsigned int stack, size_t field)
{
	return emit_at(HOST_R10,
		       (int32_t)(offsetof(struct rewriter, stack) +
				 stack * sizeof(struct rewrite_stack) + field));
}

/* The processor's derived state, key and return stack of a mode. Uses r9 and
 * r10, changes no flags. */
static void enter_side(struct rewrite *t, unsigned int from,
		       const struct side *to, uint32_t mode)
{
	const struct emit_mem old = stack_field(
		from, offsetof(struct rewrite_stack, top));
	const struct emit_mem top = stack_field(
		to->stack, offsetof(struct rewrite_stack, top));
	const struct emit_mem bottom = stack_field(
		to->stack, offsetof(struct rewrite_stack, bottom));
	const struct emit_mem key = stack_field(
		to->stack, offsetof(struct rewrite_stack, key));
	const struct emit_mem now = emit_at(
		HOST_R10, offsetof(struct rewriter, stack_now));
	const struct emit_mem self = rewrite_word(WORD_SELF);
	const struct emit_mem tables = emit_at(
		HOST_R9, (int32_t)(offsetof(struct x86_cpu, tlbs) +
				   to->tlb * sizeof(struct x86_tlb)));
	const struct emit_mem tlb = emit_gs(offsetof(struct x86_cpu, tlb));
	const struct emit_mem cpl = emit_gs(offsetof(struct x86_cpu, cpl));
	const struct emit_mem at_mode = emit_gs(offsetof(struct x86_cpu, mode));
	const struct emit_mem word_bottom = rewrite_word(WORD_BOTTOM);
	const struct emit_mem word_key = rewrite_word(WORD_KEY);
	struct emit *e = &t->e;

	emit_const(e, HOST_R10, (uint64_t)(uintptr_t)t->rw);
	emit_store(e, HOST_RSP, &old);
	emit_load(e, HOST_RSP, &top);
	emit_load(e, HOST_R9, &bottom);
	emit_store(e, HOST_R9, &word_bottom);
	with_imm(e, 0xc7, 0, &now, to->stack);
	emit_load(e, HOST_R9, &self);
	emit_lea(e, true, HOST_R9, &tables);
	emit_store(e, HOST_R9, &tlb);
	with_imm(e, 0xc7, 0, &at_mode, mode);
	emit_rm_mem(e, 0, false, 0xc6, 0, &cpl);
	emit_8(e, to->cpl);
	emit_load(e, HOST_R9, &key);
	emit_rm_mem(e, 0, true, 0x87, HOST_R9, &word_key); /* xchg: a fence */
}

/* Arithmetic flags of guest flags in r11 into the host's; uses r10. */
static void load_flags(struct emit *e)
{
	const struct emit_mem rax = rewrite_word(WORD_TARGET);

	emit_store(e, HOST_RAX, &rax);
	emit_rm_reg(e, 0, false, false, 0x8b, HOST_R10, HOST_R11);
	emit_rm_reg(e, 0, false, false, 0xc1, 5, HOST_R10); /* shr: OF */
	emit_8(e, 11);
	reg_imm(e, 0x81, 4, HOST_R10, 1);
	emit_rm_reg(e, 0, false, false, 0x8b, HOST_RAX, HOST_R11);
	emit_rm_reg(e, 0, false, false, 0xc1, 4, HOST_RAX); /* shl: to AH */
	emit_8(e, 8);
	emit_rm_reg(e, 0, false, false, 0x0b, HOST_RAX, HOST_R10);
	emit_8(e, 0x04); /* add al, 0x7f */
	emit_8(e, 0x7f);
	emit_8(e, 0x9e); /* sahf */
	emit_load(e, HOST_RAX, &rax);
}

/* The whole host flags into r11, and from there. */
static void flags_to_r11(struct emit *e)
{
	emit_8(e, 0x9c); /* pushfq */
	emit_8(e, 0x41); /* pop r11 */
	emit_8(e, 0x5b);
}

static void flags_from_r11(struct emit *e)
{
	emit_8(e, 0x41);
	emit_8(e, 0x53);
	emit_8(e, 0x9d);
}

/* ecx = request; JRCXZ when none waits. */
static uint8_t *no_request(struct emit *e)
{
	const struct emit_mem request =
		emit_gs(offsetof(struct x86_cpu, request));

	emit_rm_mem(e, 0, false, 0x8b, HOST_RCX, &request);
	return emit_jrcxz(e);
}

/* The jumps at `slow` go to the interpreter, with the flags of r11. */
static void put_slow(struct rewrite *t, uint8_t **slow, unsigned int count)
{
	while (count)
		emit_land_32(&t->e, slow[--count]);
	flags_from_r11(&t->e);
	rewrite_miss(t, emit_jmp(&t->e, 0), HOST_RCX);
}

static uint64_t next_rip(const struct rewrite *t, const struct x86_insn *insn)
{
	return t->block->linear + insn->offset + insn->length;
}

/* --- system calls --------------------------------------------------------- */

/* Of the host's flags in r9, the guest's but RF. Uses r10. */
static void add_system_flags(struct emit *e)
{
	const struct emit_mem rflags = STATE(rflags);

	reg_imm(e, 0x81, 4, HOST_R9, X86_FLAGS_ARITH);
	emit_load(e, HOST_R10, &rflags);
	reg_imm(e, 0x81, 4, HOST_R10, ~(X86_FLAGS_ARITH | X86_FLAG_RF));
	emit_rm_reg(e, 0, false, false, 0x0b, HOST_R9, HOST_R10);
}

/* The same, into r9; the host's are in r11. */
static void collect_flags(struct emit *e)
{
	emit_mov(e, HOST_R9, HOST_R11);
	add_system_flags(e);
}

/* JZ when EFER.SCE is clear. */
static uint8_t *disabled(struct emit *e)
{
	const struct emit_mem efer = STATE(efer);

	emit_rm_mem(e, 0, false, 0xf6, 0, &efer);
	emit_8(e, X86_EFER_SCE);
	return emit_jcc(e, 4, 0);
}

/* To the guest address in `from`, and `rcx` into rcx; or to that in rcx. A
 * request that waits: to the run loop. */
static void go_to(struct rewrite *t, const struct emit_mem *from,
		  uint64_t rcx)
{
	struct emit *e = &t->e;
	uint8_t *none;

	if (!from)
		emit_mov(e, HOST_R9, HOST_RCX);
	else
		emit_load(e, HOST_R9, from);
	none = no_request(e);
	if (from)
		emit_const(e, HOST_RCX, rcx);
	else
		emit_mov(e, HOST_RCX, HOST_R9);
	emit_jmp(e, t->rw->leave);
	emit_land_8(e, none);
	if (from)
		emit_const(e, HOST_RCX, rcx);
	else
		emit_mov(e, HOST_RCX, HOST_R9);
	rewrite_look_up(e, false);
}

static bool put_syscall(struct rewrite *t, const struct x86_insn *insn)
{
	const struct emit_mem r11 = rewrite_home(X86_R11);
	const struct emit_mem mask = STATE(sfmask), rflags = STATE(rflags);
	const struct emit_mem lstar = STATE(lstar);
	const struct emit_mem star =
		emit_gs(offsetof(struct x86_state, star) + 4);
	uint32_t mode = t->block->mode & ~(X86_MODE_USER | X86_MODE_AC);
	struct emit *e = &t->e;
	uint8_t *slow[2];

	flags_to_r11(e);
	slow[0] = disabled(e);
	collect_flags(e);
	emit_store(e, HOST_R9, &r11); /* the handler would do so too */
	emit_load(e, HOST_R10, &mask);
	emit_rm_reg(e, 0, true, false, 0xf7, 2, HOST_R10); /* not */
	emit_rm_reg(e, 0, false, false, 0x23, HOST_R9, HOST_R10);
	reg_imm(e, 0x81, 1, HOST_R9, X86_FLAG_1);
	reg_imm(e, 0xf7, 0, HOST_R9, X86_FLAG_AC | X86_FLAG_TF);
	slow[1] = emit_jcc(e, 5, 0);
	emit_store(e, HOST_R9, &rflags);
	emit_mov(e, HOST_R11, HOST_R9);
	emit_rm_mem(e, 0, false, 0x0fb7, HOST_R9, &star);
	reg_imm(e, 0x81, 4, HOST_R9, 0xfffc);
	put_segments(e, 8, 0);
	enter_side(t, REWRITE_STACK_USER, &super, mode);
	load_flags(e);
	go_to(t, &lstar, next_rip(t, insn));
	put_slow(t, slow, 2);
	return true;
}

static bool put_sysret(struct rewrite *t)
{
	const struct emit_mem r11 = rewrite_home(X86_R11);
	const struct emit_mem rflags = STATE(rflags);
	const struct emit_mem star =
		emit_gs(offsetof(struct x86_state, star) + 6);
	const struct emit_mem above = emit_at(HOST_R9, 16);
	const struct emit_mem branch = rewrite_word(WORD_BRANCH);
	uint32_t mode = (t->block->mode & ~X86_MODE_SUPER_AC) | X86_MODE_USER;
	unsigned int from = t->block->mode & X86_MODE_SUPER_AC ?
				    REWRITE_STACK_AC :
				    REWRITE_STACK_SUPER;
	struct emit *e = &t->e;
	uint8_t *slow[2];

	flags_to_r11(e);
	slow[0] = disabled(e);
	emit_load(e, HOST_R9, &r11);
	reg_imm(e, 0xf7, 0, HOST_R9, X86_FLAG_AC | X86_FLAG_TF);
	slow[1] = emit_jcc(e, 5, 0);
	reg_imm(e, 0x81, 4, HOST_R9, SYSRET_FLAGS);
	reg_imm(e, 0x81, 1, HOST_R9, X86_FLAG_1);
	emit_store(e, HOST_R9, &rflags);
	emit_mov(e, HOST_R11, HOST_R9);
	/* Selectors: STAR[63:48] + 16 and + 8, RPL 3. */
	emit_rm_mem(e, 0, false, 0x0fb7, HOST_R9, &star);
	emit_lea(e, false, HOST_R9, &above);
	reg_imm(e, 0x81, 1, HOST_R9, 3);
	put_segments(e, (unsigned int)-8, 3);
	enter_side(t, from, &user, mode);
	load_flags(e);
	/* Not WORD_BRANCH's: faults at the target when that is no address. */
	emit_rm_mem(e, 0, false, 0xc7, 0, &branch);
	emit_32(e, 0);
	go_to(t, NULL, 0);
	put_slow(t, slow, 2);
	return true;
}

/* --- the others ------------------------------------------------------------ */

static void put_swapgs(struct rewrite *t)
{
	const struct emit_mem base =
		emit_gs(offsetof(struct x86_state, seg) +
			X86_GS * sizeof(struct x86_segment) +
			offsetof(struct x86_segment, base));
	const struct emit_mem other = STATE(kernel_gs_base);

	emit_load(&t->e, HOST_R9, &base);
	emit_load(&t->e, HOST_R10, &other);
	emit_store(&t->e, HOST_R9, &other);
	emit_store(&t->e, HOST_R10, &base);
}

static void put_cli(struct rewrite *t)
{
	const struct emit_mem rflags = STATE(rflags);

	if (t->flags_live)
		rewrite_save_flags(&t->e);
	with_imm(&t->e, 0x81, 4, &rflags, ~X86_FLAG_IF);
	if (t->flags_live)
		rewrite_restore_flags(&t->e);
}

/*
 * The block goes on: one instruction at least is executed before an interrupt
 * that comes now is looked for. One that waits already: the interpreter.
 */
static bool put_sti(struct rewrite *t)
{
	const struct emit_mem rflags = STATE(rflags);
	const struct emit_mem request =
		emit_gs(offsetof(struct x86_cpu, request));
	struct emit *e = &t->e;
	uint8_t *slow, *done;

	if (t->index + 1u >= t->block->count)
		return false;
	if (t->flags_live)
		rewrite_save_flags(e);
	emit_rm_mem(e, 0, false, 0x83, 7, &request); /* cmp */
	emit_8(e, 0);
	slow = emit_jcc(e, 5, 0);
	with_imm(e, 0x81, 1, &rflags, X86_FLAG_IF);
	if (!t->flags_live) {
		rewrite_miss(t, slow, HOST_RCX);
		return true;
	}
	rewrite_restore_flags(e);
	done = emit_jmp_8(e);
	emit_land_32(e, slow);
	rewrite_restore_flags(e);
	rewrite_miss(t, emit_jmp(e, 0), HOST_RCX);
	emit_land_8(e, done);
	return true;
}

/* STAC or CLAC; without CR4.SMAP they are the interpreter's. */
static void put_ac(struct rewrite *t, const struct x86_insn *insn, bool on)
{
	const struct emit_mem rflags = STATE(rflags), cr4 = STATE(cr4);
	bool was = t->block->mode & X86_MODE_SUPER_AC;
	uint32_t mode = t->block->mode & ~X86_MODE_SUPER_AC;
	struct emit *e = &t->e;
	uint8_t *slow, *none, *done;

	if (on && was)
		return; /* SMAP is on, and AC set */
	flags_to_r11(e);
	with_imm(e, 0xf7, 0, &cr4, X86_CR4_SMAP);
	slow = emit_jcc(e, 4, 0);
	if (on)
		with_imm(e, 0x81, 1, &rflags, X86_FLAG_AC);
	else
		with_imm(e, 0x81, 4, &rflags, ~X86_FLAG_AC);
	if (on != was)
		enter_side(t, was ? REWRITE_STACK_AC : REWRITE_STACK_SUPER,
			   on ? &super_ac : &super,
			   on ? mode | X86_MODE_SUPER_AC : mode);
	load_flags(e);
	emit_mov(e, HOST_R11, HOST_RCX);
	none = no_request(e);
	emit_mov(e, HOST_RCX, HOST_R11);
	emit_const(e, HOST_R9, next_rip(t, insn));
	emit_jmp(e, t->rw->leave);
	emit_land_8(e, none);
	emit_mov(e, HOST_RCX, HOST_R11);
	done = emit_jmp_8(e);
	put_slow(t, &slow, 1);
	emit_land_8(e, done);
}

static void put_rdtsc(struct rewrite *t, bool p)
{
	const struct emit_mem cr4 = STATE(cr4), aux = STATE(tsc_aux);
	const struct emit_mem offset = STATE(tsc_offset);
	const struct emit_mem sum = { .base = HOST_RAX, .index = HOST_RDX };
	const struct emit_mem moved = { .base = HOST_RAX, .index = HOST_R10 };
	struct emit *e = &t->e;
	uint8_t *allowed;

	if (t->block->mode & X86_MODE_USER) {
		emit_mov(e, HOST_R9, HOST_RCX);
		emit_load(e, HOST_RCX, &cr4);
		emit_pext_gs(e, HOST_RCX, HOST_RCX,
			     rewrite_word_offset(WORD_MASK_TSD));
		allowed = emit_jrcxz(e);
		emit_mov(e, HOST_RCX, HOST_R9);
		rewrite_miss(t, emit_jmp(e, 0), HOST_RCX);
		emit_land_8(e, allowed);
		emit_mov(e, HOST_RCX, HOST_R9);
	}
	if (p) {
		emit_8(e, 0x0f); /* lfence */
		emit_8(e, 0xae);
		emit_8(e, 0xe8);
	}
	emit_8(e, 0x0f);
	emit_8(e, 0x31);
	emit_rorx(e, HOST_RDX, HOST_RDX, 32);
	emit_lea(e, true, HOST_RAX, &sum);
	emit_load(e, HOST_R10, &offset);
	emit_lea(e, true, HOST_RAX, &moved);
	emit_rorx(e, HOST_RDX, HOST_RAX, 32);
	emit_rm_reg(e, 0, false, false, 0x8b, HOST_RDX, HOST_RDX);
	emit_rm_reg(e, 0, false, false, 0x8b, HOST_RAX, HOST_RAX);
	if (p)
		emit_rm_mem(e, 0, false, 0x8b, HOST_RCX, &aux);
}

/* Linux asks for each page that a transfer past its cache is to reach. */
static bool put_rdpkru(struct rewrite *t)
{
	const struct emit_mem cr4 = STATE(cr4);
	const struct emit_mem pkru =
		emit_gs(offsetof(struct x86_state, xsave) + X86_XSAVE_PKRU);
	struct emit *e = &t->e;

	if (t->flags_live)
		return false;
	with_imm(e, 0xf7, 0, &cr4, X86_CR4_PKE); /* test */
	rewrite_miss(t, emit_jcc(e, 4, 0), HOST_RCX);
	emit_rm_reg(e, 0, false, false, 0x85, HOST_RCX, HOST_RCX); /* test */
	rewrite_miss(t, emit_jcc(e, 5, 0), HOST_RCX);
	emit_rm_mem(e, 0, false, 0x8b, HOST_RAX, &pkru);
	emit_const(e, HOST_RDX, 0);
	return true;
}

/* --- which ones --------------------------------------------------------------- */

struct rewrite_class rewrite_system_class(const struct x86_insn *insn,
					  uint32_t mode)
{
	const struct rewrite_class none = { .kind = REWRITE_NOT };
	const struct rewrite_class simple = { .kind = REWRITE_SYSTEM };
	const struct rewrite_class enters = { .kind = REWRITE_ENTER,
					      .flags_read = X86_FLAGS_ARITH };
	const struct rewrite_class flags = { .kind = REWRITE_SYSTEM,
					     .writes_memory = true,
					     .flags_read = X86_FLAGS_ARITH };
	bool at_3 = mode & X86_MODE_USER;

	if (!(mode & X86_MODE_CODE64) || mode & X86_MODE_INNER ||
	    insn->encoding != X86_LEGACY ||
	    insn->prefix & ~(X86_PFX_REX | X86_PFX_REXW))
		return none;
	if (insn->map == X86_MAP_ONE && insn->opcode == 0x9c)
		return flags;
	if (insn->map == X86_MAP_ONE)
		return (insn->opcode & 0xfe) == 0xfa && !at_3 ? simple : none;
	if (insn->map != X86_MAP_0F)
		return none;
	switch (insn->opcode) {
	case 0x01:
		if (insn->modrm == 0xf9 || insn->modrm == 0xee)
			return simple;
		return !at_3 && (insn->modrm == 0xf8 || insn->modrm == 0xca ||
				 insn->modrm == 0xcb) ?
			       simple :
			       none;
	case 0x05:
		return at_3 ? enters : none;
	case 0x07:
		return !at_3 && insn->opsize == 8 ? enters : none;
	case 0x31:
		return simple;
	default:
		return none;
	}
}

/* PUSHFQ. What it pushes waits while the stack is checked. r11 may hold the
 * address of a share that it is in. */
static void put_pushf(struct rewrite *t)
{
	const struct emit_mem value = rewrite_word(WORD_TARGET);
	const struct emit_mem below = emit_at(HOST_R8, -8);
	struct emit *e = &t->e;
	struct emit_mem to;

	emit_8(e, 0x9c); /* pushfq */
	emit_rm_mem(e, 0, false, 0x8f, 0, &value); /* pop */
	emit_load(e, HOST_R9, &value);
	add_system_flags(e);
	emit_rm_mem(e, 0, false, 0xff, 6, &value); /* push */
	emit_8(e, 0x9d); /* popfq */
	emit_store(e, HOST_R9, &value);
	to = rewrite_word_at(t, X86_RSP, -8, true);
	emit_load(e, HOST_R9, &value);
	emit_store(e, HOST_R9, &to);
	emit_lea(e, true, HOST_R8, &below);
}

bool rewrite_system(struct rewrite *t, const struct x86_insn *insn)
{
	if (insn->map == X86_MAP_ONE && insn->opcode == 0x9c) {
		put_pushf(t);
		return true;
	}
	if (insn->map == X86_MAP_ONE) {
		if (insn->opcode == 0xfb)
			return put_sti(t);
		put_cli(t);
		return true;
	}
	switch (insn->opcode) {
	case 0x05:
		return put_syscall(t, insn);
	case 0x07:
		return put_sysret(t);
	case 0x31:
		put_rdtsc(t, false);
		return true;
	default:
		break;
	}
	if (insn->modrm == 0xf9 && !t->rw->rdtscp)
		return false;
	if (insn->modrm == 0xee)
		return put_rdpkru(t);
	if (insn->modrm == 0xf8)
		put_swapgs(t);
	else if (insn->modrm == 0xf9)
		put_rdtsc(t, true);
	else
		put_ac(t, insn, insn->modrm == 0xcb);
	return true;
}
