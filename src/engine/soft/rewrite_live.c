/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector and x87 registers that stay in the host across blocks. They are
 * loaded on demand, all of a set at once, and parked in the canonical XSAVE
 * area when host code calls C: C code sees them nowhere else. WORD_LIVE tells
 * which sets the host holds. Code that uses none never looks at it.
 *
 * A block asks for the sets that it needs at its front, so that a block that
 * is known to lead here with them live jumps in behind the question
 * (block.live_code).
 *
 * MXCSR goes with the vectors, the x87 control word with x87. Both are
 * loaded only while they mask every exception: an unmasked one would strike
 * lodge. Otherwise host code is left and the block interpreted.
 *
 * With AVX-512 there are 32 registers of 64 bytes and eight opmasks. What of
 * them is beyond YMM is a set of its own, which is live whenever the vectors
 * are and x86_cpu.upper says that some of it is in use: then VEX instructions,
 * too, clear what they have to clear. So who uses none pays one comparison
 * each time the vectors are loaded or parked.
 *
 * FXSAVE and FXRSTOR move x87 several times faster than XSAVE and XRSTOR do,
 * and take the lower halves of the vectors along; so x87 is never live
 * without the vectors.
 */
#include "engine/soft/rewrite_impl.h"

#include "x86/fpu.h"

#define VECTORS 16u

static struct emit_mem area(unsigned int offset)
{
	return emit_gs(offsetof(struct x86_state, xsave) + offset);
}

/* The byte of one set. */
static struct emit_mem flag_of(unsigned int what)
{
	unsigned int byte = what & REWRITE_WIDE ? 2 : what & REWRITE_X87 ? 1 : 0;

	return emit_gs(rewrite_word_offset(WORD_LIVE) + byte);
}

static void compare_0(struct emit *e, const struct emit_mem *flag)
{
	emit_rm_mem(e, 0, false, 0x80, 7, flag);
	emit_8(e, 0);
}

static void set_1(struct emit *e, const struct emit_mem *flag)
{
	emit_rm_mem(e, 0, false, 0xc6, 0, flag);
	emit_8(e, 1);
}

/* --- stubs ---------------------------------------------------------------- */

/* VEX.128/256 instruction with a gs: operand and register `n`. */
static void put_vex_gs(struct emit *e, unsigned int map, unsigned int pp,
		       bool wide, unsigned int opcode, unsigned int n,
		       unsigned int vvvv, unsigned int offset)
{
	const struct emit_mem m = area(offset);

	emit_8(e, 0x65);
	emit_8(e, 0xc4);
	emit_8(e, (~n & 8) << 4 | 0x60 | map);
	emit_8(e, (~vvvv & 15) << 3 | (wide ? 4u : 0) | pp);
	emit_8(e, opcode);
	emit_8(e, 4 | (n & 7) << 3);
	emit_8(e, 0x25);
	emit_32(e, (uint32_t)m.disp);
}

/* KMOVQ: 90 loads, 91 stores. */
static void put_kmov(struct emit *e, unsigned int opcode, unsigned int n,
		     unsigned int offset)
{
	const struct emit_mem m = area(offset);

	emit_8(e, 0x65);
	emit_bytes(e, "\xc4\xe1\xf8", 3);
	emit_8(e, opcode);
	emit_8(e, 4 | n << 3);
	emit_8(e, 0x25);
	emit_32(e, (uint32_t)m.disp);
}

/* An EVEX.512 instruction likewise; pp with W in bit 7. Registers 0 to 31. */
static void put_evex_gs(struct emit *e, unsigned int map, unsigned int pp,
			unsigned int opcode, unsigned int n, unsigned int vvvv,
			unsigned int offset)
{
	const struct emit_mem m = area(offset);

	emit_8(e, 0x65);
	emit_8(e, 0x62);
	emit_8(e, (~n & 8) << 4 | 0x60 | (~n & 16) | map);
	emit_8(e, (~vvvv & 15) << 3 | 4 | pp);
	emit_8(e, 0x40 | (~vvvv & 16) >> 1);
	emit_8(e, opcode);
	emit_8(e, 4 | (n & 7) << 3);
	emit_8(e, 0x25);
	emit_32(e, (uint32_t)m.disp);
}

/* ZF: all of ZMM_Hi256 in memory is zero. Changes zmm16 and k1. */
static void test_hi256(struct emit *e)
{
	put_evex_gs(e, 1, 0x82, 0x6f, 16, 0, X86_XSAVE_ZMM_HI256);
	for (unsigned int i = 1; i < 8; i++) /* vporq */
		put_evex_gs(e, 1, 0x81, 0xeb, 16, 16,
			    X86_XSAVE_ZMM_HI256 + i * 64);
	emit_bytes(e, "\x62\xb2\xfd\x40\x27\xc8", 6); /* vptestmq k1, zmm16 */
	emit_bytes(e, "\xc5\xf9\x98\xc9", 4); /* kortestb k1, k1 */
}

static void move_hi256(struct emit *e, bool store)
{
	for (unsigned int n = 0; n < VECTORS; n++) { /* v..f64x4 */
		put_evex_gs(e, 3, 0x81, store ? 0x1b : 0x1a, n, store ? 0 : n,
			    X86_XSAVE_ZMM_HI256 + n * 32);
		emit_8(e, 1);
	}
}

/*
 * What the wide set has beyond the vectors; these are live, and zero beyond
 * YMM before it is loaded. It stays at that where there is nothing to load:
 * an AMD processor runs scalar SSE code at half its speed on registers whose
 * upper halves were written, be it with zeros (Zen 5: 29 instead of 57 million
 * steps of a Mandelbrot set a second).
 */
static void move_wide(struct emit *e, bool store)
{
	uint8_t *clean;

	if (store) {
		move_hi256(e, true);
	} else {
		test_hi256(e);
		clean = emit_jcc(e, 4, 0);
		move_hi256(e, false);
		emit_land_32(e, clean);
	}
	for (unsigned int n = 0; n < VECTORS; n++) /* vmovups */
		put_evex_gs(e, 1, 0, store ? 0x11 : 0x10, VECTORS + n, 0,
			    X86_XSAVE_HI16_ZMM + n * 64);
	for (unsigned int n = 0; n < 8; n++) /* kmovq */
		put_kmov(e, store ? 0x91 : 0x90, n, X86_XSAVE_OPMASK + n * 8);
}

/* vmovdqu: 6f loads, 7f stores */
static void move_low(struct emit *e, unsigned int opcode)
{
	for (unsigned int n = 0; n < VECTORS; n++)
		put_vex_gs(e, 1, 2, false, opcode, n, 0, FPU_XMM + n * 16);
}

static void store_high(struct emit *e)
{
	for (unsigned int n = 0; n < VECTORS; n++) {
		put_vex_gs(e, 3, 1, true, 0x19, n, 0, /* vextractf128 */
			   X86_XSAVE_YMM + n * 16);
		emit_8(e, 1);
	}
}

static void load_high(struct emit *e)
{
	for (unsigned int n = 0; n < VECTORS; n++) {
		put_vex_gs(e, 3, 1, true, 0x18, n, n, /* vinsertf128 */
			   X86_XSAVE_YMM + n * 16);
		emit_8(e, 1);
	}
}

static void put_vzeroupper(struct emit *e)
{
	emit_bytes(e, "\xc5\xf8\x77", 3);
}

/* ZF: all upper halves in memory are zero. Changes ymm0 and ymm1. */
static void test_high(struct emit *e)
{
	for (unsigned int i = 0; i < 2; i++)
		put_vex_gs(e, 1, 2, true, 0x6f, i, 0, /* vmovdqu */
			   X86_XSAVE_YMM + i * 32);
	for (unsigned int i = 2; i < 8; i++)
		put_vex_gs(e, 1, 1, true, 0xeb, i & 1, i & 1, /* vpor */
			   X86_XSAVE_YMM + i * 32);
	emit_bytes(e, "\xc5\xfd\xeb\xc1", 4); /* vpor ymm0, ymm0, ymm1 */
	emit_bytes(e, "\xc4\xe2\x7d\x17\xc0", 5); /* vptest ymm0, ymm0 */
}

/* 0F AE with a gs: operand; `op` is ModRM.reg. */
static void put_0fae(struct emit *e, unsigned int op, bool wide,
		     const struct emit_mem *m)
{
	emit_rm_mem(e, 0, wide, 0x0fae, op, m);
}

static void put_fxsave(struct emit *e)
{
	const struct emit_mem fip = area(FPU_FIP), fdp = area(FPU_FDP);
	const struct emit_mem fop = area(FPU_FOP), all = area(0);
	const struct emit_mem mask = area(FPU_MXCSR_MASK);

	/* The host's pointers are not the guest's. */
	emit_load(e, HOST_RCX, &fip);
	emit_load(e, HOST_RDX, &fdp);
	emit_rm_mem(e, 0, false, 0x0fb7, HOST_RSI, &fop);
	put_0fae(e, 0, true, &all);
	emit_bytes(e, "\xdb\xe3", 2); /* fninit */
	emit_store(e, HOST_RCX, &fip);
	emit_store(e, HOST_RDX, &fdp);
	emit_rm_mem(e, 0x66, false, 0x89, HOST_RSI, &fop);
	emit_rm_mem(e, 0, false, 0xc7, 0, &mask);
	emit_32(e, FPU_MXCSR_USED);
}

void rewrite_stub_park(struct rewriter *rw, struct emit *e)
{
	const struct emit_mem mxcsr = area(FPU_MXCSR);
	const struct emit_mem host = rewrite_word(WORD_MXCSR);
	const struct emit_mem live = rewrite_word(WORD_LIVE);
	const struct emit_mem x87 = flag_of(REWRITE_X87);
	const struct emit_mem wide = flag_of(REWRITE_WIDE);
	uint8_t *no_x87, *saved, *narrow = NULL;

	rw->park = emit_here(e);
	if (rw->wide) {
		compare_0(e, &wide);
		narrow = emit_jcc(e, 4, 0);
		move_wide(e, true);
		emit_land_32(e, narrow);
	}
	compare_0(e, &x87);
	no_x87 = emit_jcc(e, 4, 0);
	put_fxsave(e);
	saved = emit_jmp(e, 0);
	emit_land_32(e, no_x87);
	put_0fae(e, 3, false, &mxcsr);
	move_low(e, 0x7f);
	emit_land_32(e, saved);
	store_high(e);
	put_vzeroupper(e);
	put_0fae(e, 2, false, &host);
	emit_rm_mem(e, 0, true, 0xc7, 0, &live);
	emit_32(e, 0);
	emit_8(e, 0xc3);
}

void rewrite_park(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem live = rewrite_word(WORD_LIVE);
	uint8_t *none;

	emit_rm_mem(e, 0, false, 0x83, 7, &live); /* cmp */
	emit_8(e, 0);
	none = emit_jcc(e, 4, 0);
	emit_call(e, rw->park);
	emit_land_32(e, none);
}

/* rax and the flags into r10 and r11; back. */
static void keep_flags(struct emit *e)
{
	emit_mov(e, HOST_R10, HOST_RAX);
	emit_8(e, 0x9f); /* lahf */
	emit_rm_reg(e, 0, false, false, 0x0f90, 0, HOST_RAX); /* seto al */
	emit_rm_reg(e, 0, false, false, 0x0fb7, HOST_R11, HOST_RAX);
}

static void restore_flags(struct emit *e)
{
	emit_mov(e, HOST_RAX, HOST_R11);
	emit_8(e, 0x04); /* add al, 0x7f */
	emit_8(e, 0x7f);
	emit_8(e, 0x9e); /* sahf */
	emit_mov(e, HOST_RAX, HOST_R10);
}

/* Of the word at `m`, all `bits` must be set; gives the jump if not. */
static uint8_t *check_masks(struct emit *e, const struct emit_mem *m,
			    uint32_t bits)
{
	emit_rm_mem(e, 0, false, 0x8b, HOST_RAX, m);
	emit_rm_reg(e, 0, false, false, 0xf7, 2, HOST_RAX); /* not */
	emit_8(e, 0xa9); /* test eax, imm32 */
	emit_32(e, bits);
	return emit_jcc(e, 5, 0);
}

/* Behind the loading of vectors: the wide set, if some of it is in use. */
static void load_upper(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem upper = emit_gs(offsetof(struct x86_cpu, upper));
	const struct emit_mem wide = flag_of(REWRITE_WIDE);
	uint8_t *none;

	if (!rw->wide)
		return;
	compare_0(e, &upper);
	none = emit_jcc(e, 4, 0);
	emit_call(e, rw->move_wide);
	set_1(e, &wide);
	emit_land_32(e, none);
}

static void load_vectors(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem mxcsr = area(FPU_MXCSR);
	uint8_t *wide, *done;

	put_0fae(e, 2, false, &mxcsr);
	test_high(e);
	wide = emit_jcc(e, 5, 0);
	/* Clean upper halves keep SSE code fast on Intel's processors. */
	put_vzeroupper(e);
	move_low(e, 0x6f);
	done = emit_jmp(e, 0);
	emit_land_32(e, wide);
	move_low(e, 0x6f);
	load_high(e);
	emit_land_32(e, done);
	load_upper(rw, e);
}

/* With the vectors, unless they are live. */
static void load_wide(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem upper = emit_gs(offsetof(struct x86_cpu, upper));
	const struct emit_mem vectors = flag_of(REWRITE_VECTORS);
	const struct emit_mem wide = flag_of(REWRITE_WIDE);
	uint8_t *cold, *here, *done;

	compare_0(e, &wide);
	here = emit_jcc(e, 5, 0);
	set_1(e, &upper);
	compare_0(e, &vectors);
	cold = emit_jcc(e, 4, 0);
	emit_call(e, rw->move_wide);
	set_1(e, &wide);
	done = emit_jmp(e, 0);
	emit_land_32(e, cold);
	load_vectors(rw, e);
	emit_land_32(e, done);
	emit_land_32(e, here);
}

/* FXRSTOR leaves the upper halves alone. */
static void load_x87(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem vectors = flag_of(REWRITE_VECTORS);
	const struct emit_mem place = rewrite_word(WORD_X87);
	const struct emit_mem mxcsr = area(FPU_MXCSR), all = area(0);
	uint8_t *cold, *wide, *warm, *done;

	emit_rm_mem(e, 0, true, 0xc7, 0, &place);
	emit_32(e, 0);
	compare_0(e, &vectors);
	cold = emit_jcc(e, 4, 0);
	put_0fae(e, 3, false, &mxcsr);
	move_low(e, 0x7f);
	put_0fae(e, 1, true, &all);
	warm = emit_jmp(e, 0);
	emit_land_32(e, cold);
	test_high(e);
	wide = emit_jcc(e, 5, 0);
	put_vzeroupper(e);
	put_0fae(e, 1, true, &all);
	done = emit_jmp(e, 0);
	emit_land_32(e, wide);
	put_0fae(e, 1, true, &all);
	load_high(e);
	emit_land_32(e, done);
	load_upper(rw, e);
	emit_land_32(e, warm);
}

/* Called: loads `what`; when that cannot be, leaves to the rip in r9. */
static uint64_t stub_load(const struct rewriter *rw, struct emit *e,
			  unsigned int what)
{
	const struct emit_mem vectors = flag_of(REWRITE_VECTORS);
	const struct emit_mem x87 = flag_of(REWRITE_X87);
	const struct emit_mem mxcsr = area(FPU_MXCSR), fcw = area(FPU_FCW);
	const struct emit_mem above = emit_at(HOST_RSP, 8);
	uint64_t here = emit_here(e);
	uint8_t *refused[2] = { NULL, NULL };

	keep_flags(e);
	refused[0] = check_masks(e, &mxcsr, FPU_MXCSR_MASKS);
	if (what & REWRITE_X87) {
		refused[1] = check_masks(e, &fcw, FPU_EXCEPT);
		load_x87(rw, e);
		set_1(e, &x87);
	} else if (what & REWRITE_WIDE) {
		load_wide(rw, e);
	} else {
		load_vectors(rw, e);
	}
	set_1(e, &vectors);
	restore_flags(e);
	emit_8(e, 0xc3);
	emit_land_32(e, refused[0]);
	if (refused[1])
		emit_land_32(e, refused[1]);
	restore_flags(e);
	emit_lea(e, true, HOST_RSP, &above);
	emit_jmp(e, rw->leave);
	return here;
}

void rewrite_stub_load(struct rewriter *rw, struct emit *e)
{
	rw->move_wide = emit_here(e);
	if (rw->wide) {
		move_wide(e, false);
		emit_8(e, 0xc3);
	}
	rw->load_vectors = stub_load(rw, e, REWRITE_VECTORS);
	rw->load_x87 = stub_load(rw, e, REWRITE_VECTORS | REWRITE_X87);
	if (rw->wide)
		rw->load_wide = stub_load(rw, e, REWRITE_WIDE);
}

/* --- in blocks ---------------------------------------------------------------- */

static void call_load(struct rewrite *t, unsigned int what, uint64_t rip)
{
	if (what != REWRITE_WIDE) {
		emit_const(&t->e, HOST_R9, rip);
		emit_call(&t->e, what & REWRITE_X87 ? t->rw->load_x87 :
						      t->rw->load_vectors);
	}
	if (what & REWRITE_WIDE) {
		emit_const(&t->e, HOST_R9, rip);
		emit_call(&t->e, t->rw->load_wide);
	}
}

static uint64_t rip_of(const struct rewrite *t, unsigned int index)
{
	uint64_t rip = t->block->rip + rewrite_insn_at(t, index)->offset;

	return rewrite_narrow(t) ? (uint32_t)rip : rip;
}

/* Jumps out of line when `what` is not live. */
static void ask(struct rewrite *t, unsigned int what)
{
	struct rewrite_load *out = &t->load[t->load_count++];
	const struct emit_mem flag = flag_of(what);
	uint8_t *zero, *over;

	out->what = (uint8_t)what;
	out->index = (uint8_t)t->index;
	out->rcx = t->flags_live;
	if (!t->flags_live) {
		emit_rm_mem(&t->e, 0, false, 0x80, 7, &flag); /* cmp */
		emit_8(&t->e, 0);
		out->at = emit_jcc(&t->e, 4, 0);
		out->back = t->e.p;
		return;
	}
	emit_mov(&t->e, HOST_R11, HOST_RCX);
	emit_rm_mem(&t->e, 0, false, 0x0fb6, HOST_RCX, &flag); /* movzx */
	zero = emit_jrcxz(&t->e);
	emit_mov(&t->e, HOST_RCX, HOST_R11);
	over = emit_jmp_8(&t->e);
	emit_land_8(&t->e, zero);
	out->at = emit_jmp(&t->e, 0);
	emit_land_8(&t->e, over);
	out->back = t->e.p;
}

void rewrite_need(struct rewrite *t, unsigned int what)
{
	unsigned int missing = what & ~(unsigned int)t->live.sets;

	/* Each of the others brings the vectors along. */
	if (missing & ~REWRITE_VECTORS)
		missing &= ~REWRITE_VECTORS;
	if (!missing)
		return;
	t->asks[t->index] = true;
	if (t->live.parked) {
		call_load(t, missing, rip_of(t, t->index));
	} else {
		if (missing != REWRITE_WIDE)
			ask(t, missing & ~REWRITE_WIDE);
		if (missing & REWRITE_WIDE)
			ask(t, REWRITE_WIDE);
	}
	t->live.sets |= (uint8_t)(REWRITE_VECTORS | missing);
	t->live.parked = false;
}

void rewrite_parked(struct rewrite *t)
{
	t->live = (struct rewrite_live){ 0 };
	t->live.parked = true;
}

void rewrite_unknown(struct rewrite *t)
{
	t->live = (struct rewrite_live){ 0 };
}

void rewrite_load_again(struct rewrite *t, unsigned int index)
{
	const struct rewrite_live *after = &t->after[index];
	const struct x86_insn *insn = rewrite_insn_at(t, index);

	/* What brings the vectors along needs no call of theirs. */
	if (after->sets)
		call_load(t,
			  after->sets & ~REWRITE_VECTORS ?
				  after->sets & ~REWRITE_VECTORS :
				  REWRITE_VECTORS, rip_of(t, index) + insn->length);
	if (after->placed)
		rewrite_x87_place(t, after->placed - 1u);
}

void rewrite_put_loads(struct rewrite *t)
{
	for (unsigned int i = 0; i < t->load_count; i++) {
		const struct rewrite_load *out = &t->load[i];

		emit_land_32(&t->e, out->at);
		if (out->rcx)
			emit_mov(&t->e, HOST_RCX, HOST_R11);
		call_load(t, out->what, rip_of(t, out->index));
		emit_jmp(&t->e, (uint64_t)((intptr_t)out->back +
					   t->e.to_exec));
	}
}

bool rewrite_may_run(const struct x86_cpu *cpu, const struct block *block)
{
	if (!block->needs)
		return true;
	if (~fpu_get32(&cpu->state, FPU_MXCSR) & FPU_MXCSR_MASKS)
		return false;
	return !(block->needs & REWRITE_X87) ||
	       !(~fpu_get16(&cpu->state, FPU_FCW) & FPU_EXCEPT);
}
