/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the stub of a native_op: load the operands from the guest's state,
 * the renamed instruction, store the results. Register use is described in
 * native_op.h. Encodings: Intel SDM vol. 2.
 */
#include "engine/soft/native_op.h"

#include <stddef.h>

struct emitter {
	uint8_t *start, *p;
	uint32_t at; /* offset of `start` in the code memory */
};

#define STATE(member)	 ((uint32_t)offsetof(struct x86_state, member))
#define XSAVE_AT(offset) (STATE(xsave) + (offset))

#define HOST_MXCSR_AT 0 /* constant, at the start of the code memory */

static void put(struct emitter *e, const uint8_t *bytes, unsigned int count)
{
	memcpy(e->p, bytes, count);
	e->p += count;
}

#define EMIT(e, ...)                                                           \
	put(e, (const uint8_t[]){ __VA_ARGS__ },                               \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void put32(struct emitter *e, uint32_t v)
{
	put(e, (const uint8_t *)&v, sizeof(v));
}

/* ModRM and SIB of [rdi + rax << scale + disp32]. */
static void put_indexed(struct emitter *e, unsigned int reg, unsigned int scale,
			uint32_t disp)
{
	EMIT(e, (uint8_t)(0x84 | (reg & 7) << 3), (uint8_t)(scale << 6 | 7));
	put32(e, disp);
}

/* ModRM of [rdi + disp32]. */
static void put_fixed(struct emitter *e, unsigned int reg, uint32_t disp)
{
	EMIT(e, (uint8_t)(0x87 | (reg & 7) << 3));
	put32(e, disp);
}

/* eax = number of the guest register, times 16 if it is XMM, YMM or MMX. */
static void emit_number(struct emitter *e, const struct native_op *op,
			const struct native_operand *o)
{
	static const uint8_t field[] = {
		[NATIVE_VVVV] = offsetof(struct x86_insn, vvvv),
		[NATIVE_RM] = offsetof(struct x86_insn, rm),
		[NATIVE_REG] = offsetof(struct x86_insn, reg),
		[NATIVE_IS4] = offsetof(struct x86_insn, imm),
		[NATIVE_AAA] = offsetof(struct x86_insn, evex),
	};
	bool eight = op->flags & NATIVE_NARROW || o->kind == NATIVE_MMX ||
		     o->kind == NATIVE_OPMASK;
	bool evex = op->flags & NATIVE_EVEX;

	_Static_assert(offsetof(struct x86_insn, imm) < 128, "8-bit offset");
	/* movzx eax, byte [r11 + field] */
	EMIT(e, 0x41, 0x0f, 0xb6, 0x43, field[o->field]);
	if (o->field == NATIVE_IS4)
		EMIT(e, 0xc1, 0xe8, 4); /* shr eax, 4 */
	if (eight)
		EMIT(e, 0x83, 0xe0, 7); /* and eax, 7 */
	else if (evex && o->kind == NATIVE_GPR)
		EMIT(e, 0x83, 0xe0, 15);
	if (o->kind == NATIVE_MMX || (o->kind == NATIVE_VECTOR && !evex))
		EMIT(e, 0xc1, 0xe0, 4); /* shl eax, 4 */
}

/* An EVEX prefix: map, W, pp and L'L; registers below 8 but for vvvv. */
static void put_evex(struct emitter *e, unsigned int map, unsigned int pp,
		     unsigned int vvvv, unsigned int length)
{
	EMIT(e, 0x62, (uint8_t)(0xf0 | map), (uint8_t)((~vvvv & 15) << 3 | 4 | pp),
	     (uint8_t)(length << 5 | 8));
}

/* eax >= 16 -> all of register n there: vmovups loads (10) or stores (11). */
static void emit_high16(struct emitter *e, unsigned int opcode, unsigned int n)
{
	EMIT(e, 0xc1, 0xe0, 6); /* shl eax, 6 */
	put_evex(e, 1, 0, 0, 2);
	EMIT(e, (uint8_t)opcode);
	put_indexed(e, n, 0, XSAVE_AT(X86_XSAVE_HI16_ZMM) - 16 * 64);
}

/*
 * A register of EVEX: 0 to 15 lie in three pieces, 16 to 31 in one. eax is
 * its number.
 */
static void emit_evex_vector(struct emitter *e, const struct native_op *op,
			     const struct native_operand *o, bool store)
{
	unsigned int opcode = store ? 0x11 : 0x10, n = o->number;
	uint8_t *high, *done;
	bool wide = o->wide || store;

	EMIT(e, 0xa8, 0x10, /* test al, 16 */
	     0x75, 0);	    /* jnz */
	high = e->p;
	EMIT(e, 0xc1, 0xe0, 4); /* shl eax, 4 */
	EMIT(e, 0xc5, 0xf8, (uint8_t)opcode);
	put_indexed(e, n, 0, XSAVE_AT(FPU_XMM));
	if (wide) { /* vextractf128, vinsertf128 */
		unsigned int vvvv = store ? 0 : n;

		EMIT(e, 0xc4, 0xe3, (uint8_t)((~vvvv & 15) << 3 | 5),
		     store ? 0x19 : 0x18);
		put_indexed(e, n, 0, XSAVE_AT(X86_XSAVE_YMM));
		EMIT(e, 1);
		put_evex(e, 3, 1 | 0x80, vvvv, 2); /* vextractf64x4, .. */
		EMIT(e, store ? 0x1b : 0x1a);
		put_indexed(e, n, 1, XSAVE_AT(X86_XSAVE_ZMM_HI256));
		EMIT(e, 1);
	}
	EMIT(e, 0xeb, 0); /* jmp */
	done = e->p;
	high[-1] = (uint8_t)(e->p - high);
	emit_high16(e, opcode, n);
	done[-1] = (uint8_t)(e->p - done);
}

/* With VEX: (v)movups xmm, [rdi+rax+XMM]; vinsertf128 of the upper half. */
static void emit_load_vector(struct emitter *e, const struct native_op *op,
			     const struct native_operand *o)
{
	unsigned int n = o->number;

	if (op->flags & NATIVE_EVEX) {
		emit_evex_vector(e, op, o, false);
		return;
	}
	if (op->flags & NATIVE_VEX)
		EMIT(e, 0xc5, 0xf8, 0x10);
	else
		EMIT(e, 0x0f, 0x10);
	put_indexed(e, n, 0, XSAVE_AT(FPU_XMM));
	if (!o->wide)
		return;
	EMIT(e, 0xc4, 0xe3, (uint8_t)((~n & 15) << 3 | 5), 0x18);
	put_indexed(e, n, 0, XSAVE_AT(X86_XSAVE_YMM));
	EMIT(e, 1);
}

/* A VEX instruction zeroes what lies above its result. */
static void emit_store_vector(struct emitter *e, const struct native_op *op,
			      const struct native_operand *o)
{
	unsigned int n = o->number;

	if (op->flags & NATIVE_EVEX) {
		emit_evex_vector(e, op, o, true);
		return;
	}
	if (!(op->flags & NATIVE_VEX)) {
		EMIT(e, 0x0f, 0x11);
		put_indexed(e, n, 0, XSAVE_AT(FPU_XMM));
		return;
	}
	EMIT(e, 0xc5, 0xf8, 0x11);
	put_indexed(e, n, 0, XSAVE_AT(FPU_XMM));
	if (o->wide) {
		EMIT(e, 0xc4, 0xe3, 0x7d, 0x19); /* vextractf128 */
		put_indexed(e, n, 0, XSAVE_AT(X86_XSAVE_YMM));
		EMIT(e, 1);
	}
	if (!o->wide || op->flags & NATIVE_CLEAR_ZMM)
		EMIT(e, 0xc5, 0xd0, 0x57, 0xed); /* vxorps xmm5,xmm5,xmm5 */
	if (!o->wide) {
		EMIT(e, 0xc5, 0xf8, 0x11);
		put_indexed(e, 5, 0, XSAVE_AT(X86_XSAVE_YMM));
	}
	if (op->flags & NATIVE_CLEAR_ZMM) {
		EMIT(e, 0xc5, 0xfc, 0x11);
		put_indexed(e, 5, 1, XSAVE_AT(X86_XSAVE_ZMM_HI256));
	}
}

/* KMOVQ: 90 loads, 91 stores; eax: number. */
static void emit_opmask(struct emitter *e, unsigned int opcode, unsigned int n)
{
	EMIT(e, 0xc4, 0xe1, 0xf8, (uint8_t)opcode);
	put_indexed(e, n, 3, XSAVE_AT(X86_XSAVE_OPMASK));
}

static void emit_store_opmask(struct emitter *e, const struct native_op *op,
			      const struct native_operand *o)
{
	if (op->flags & NATIVE_PAIR)
		EMIT(e, 0x83, 0xe0, 6); /* and eax, 6 */
	emit_opmask(e, 0x91, o->number);
	if (op->flags & NATIVE_PAIR) {
		EMIT(e, 0x83, 0xc8, 1); /* or eax, 1 */
		emit_opmask(e, 0x91, o->number + 1u);
	}
}

static void emit_load(struct emitter *e, const struct native_op *op,
		      const struct native_operand *o)
{
	unsigned int n = o->number;

	if (o->field == NATIVE_FIXED && o->kind == NATIVE_GPR) {
		EMIT(e, 0x48, 0x8b);
		put_fixed(e, n, STATE(gpr) + 8 * n);
		return;
	}
	if (o->field == NATIVE_FIXED)
		EMIT(e, 0x31, 0xc0); /* xor eax, eax: XMM0 */
	else
		emit_number(e, op, o);
	switch (o->kind) {
	case NATIVE_VECTOR:
		emit_load_vector(e, op, o);
		break;
	case NATIVE_MMX:
		EMIT(e, 0x0f, 0x6f);
		put_indexed(e, n, 0, XSAVE_AT(FPU_ST));
		break;
	case NATIVE_OPMASK:
		emit_opmask(e, 0x90, n);
		break;
	default:
		EMIT(e, 0x4c, 0x8b); /* mov r8..r10, [rdi+rax*8+gpr] */
		put_indexed(e, n, 3, STATE(gpr));
	}
}

static void emit_store(struct emitter *e, const struct native_op *op,
		       const struct native_operand *o)
{
	unsigned int n = o->number;

	if (o->field == NATIVE_FIXED)
		EMIT(e, 0x31, 0xc0);
	else
		emit_number(e, op, o);
	switch (o->kind) {
	case NATIVE_VECTOR:
		emit_store_vector(e, op, o);
		break;
	case NATIVE_MMX: /* and ones into the register's sign and exponent */
		EMIT(e, 0x0f, 0x7f);
		put_indexed(e, n, 0, XSAVE_AT(FPU_ST));
		EMIT(e, 0x66, 0xc7);
		put_indexed(e, 0, 0, XSAVE_AT(FPU_ST + 8));
		EMIT(e, 0xff, 0xff);
		break;
	case NATIVE_OPMASK:
		emit_store_opmask(e, op, o);
		break;
	default:
		EMIT(e, 0x4c, 0x89);
		put_indexed(e, n, 3, STATE(gpr));
	}
}

static bool is_fixed_gpr(const struct native_operand *o)
{
	return o->field == NATIVE_FIXED && o->kind == NATIVE_GPR;
}

static void emit_loads(struct emitter *e, const struct native_op *op)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		if (op->operand[i].load && !is_fixed_gpr(&op->operand[i]))
			emit_load(e, op, &op->operand[i]);
	if (op->flags & NATIVE_MXCSR) {
		EMIT(e, 0x0f, 0xae); /* ldmxcsr */
		put_fixed(e, 2, XSAVE_AT(FPU_MXCSR));
	}
	if (op->flags & NATIVE_X87) {
		EMIT(e, 0x48, 0x0f, 0xae); /* fxrstor64 */
		put_fixed(e, 1, XSAVE_AT(0));
	}
	if (op->flags & NATIVE_FLAGS_IN)
		EMIT(e, 0x89, 0xc8, /* mov eax, ecx */
		     0x04, 0x7f,    /* add al, 0x7f: OF = bit 0 */
		     0x9e);	    /* sahf */
	for (i = 0; i < op->count; i++)
		if (op->operand[i].load && is_fixed_gpr(&op->operand[i]))
			emit_load(e, op, &op->operand[i]);
}

static void emit_stores(struct emitter *e, const struct native_op *op)
{
	static const uint8_t order[] = { NATIVE_FIXED, NATIVE_VVVV, NATIVE_RM,
					 NATIVE_REG, NATIVE_IS4 };
	unsigned int i, k;

	for (i = 0; i < op->count; i++) {
		const struct native_operand *o = &op->operand[i];

		if (o->store && is_fixed_gpr(o)) {
			EMIT(e, 0x48, 0x89);
			put_fixed(e, o->number, STATE(gpr) + 8 * o->number);
		}
	}
	if (op->flags & NATIVE_FLAGS_OUT)
		EMIT(e, 0x0f, 0x90, 0xc0, /* seto al */
		     0x9f,		  /* lahf */
		     0x0f, 0xb7, 0xc8);	  /* movzx ecx, ax */
	if (op->flags & NATIVE_X87) {
		EMIT(e, 0x48, 0x0f, 0xae); /* fxsave64 */
		put_fixed(e, 0, XSAVE_AT(0));
		EMIT(e, 0xdb, 0xe3); /* fninit */
		EMIT(e, 0xc7);	     /* mov: the host's mask is its own */
		put_fixed(e, 0, XSAVE_AT(FPU_MXCSR_MASK));
		put32(e, FPU_MXCSR_USED);
	}
	if (op->flags & NATIVE_MXCSR) {
		EMIT(e, 0x0f, 0xae); /* stmxcsr */
		put_fixed(e, 3, XSAVE_AT(FPU_MXCSR));
	}
	for (k = 0; k < sizeof(order); k++)
		for (i = 0; i < op->count; i++)
			if (op->operand[i].store &&
			    op->operand[i].field == order[k] &&
			    !is_fixed_gpr(&op->operand[i]))
				emit_store(e, op, &op->operand[i]);
}

unsigned int native_emit(const struct native_op *op, struct host_code *code,
			 uint32_t at)
{
	struct emitter e = { code->write + at, code->write + at, at };

	EMIT(&e, 0x49, 0x89, 0xd3); /* mov r11, rdx */
	emit_loads(&e, op);
	put(&e, op->code, op->length);
	emit_stores(&e, op);
	if (op->flags & (NATIVE_MXCSR | NATIVE_X87)) {
		EMIT(&e, 0x0f, 0xae, 0x15); /* ldmxcsr [rip + disp32] */
		put32(&e, HOST_MXCSR_AT - (uint32_t)(at + (e.p - e.start) + 4));
	}
	if (op->flags & NATIVE_HAS_MMX)
		EMIT(&e, 0x0f, 0x77); /* emms */
	if (op->flags & NATIVE_DIRTY_YMM)
		EMIT(&e, 0xc5, 0xf8, 0x77); /* vzeroupper */
	if (op->flags & NATIVE_FLAGS_OUT)
		EMIT(&e, 0x89, 0xc8); /* mov eax, ecx */
	EMIT(&e, 0xc3);
	bug_on(e.p - e.start > NATIVE_SLOT_SIZE);
	return (unsigned int)(e.p - e.start);
}

unsigned int native_emit_constants(struct host_code *code)
{
	uint32_t mxcsr = FPU_MXCSR_INIT;

	memcpy(code->write + HOST_MXCSR_AT, &mxcsr, sizeof(mxcsr));
	return 64;
}
