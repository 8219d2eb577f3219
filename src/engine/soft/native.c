/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes data instructions on the host: the handlers that find the memory
 * operand, call the stub and deal with exceptions, and the store of shapes
 * and stubs. native_op.h explains the parts.
 *
 * SIMD floating point runs with all exceptions masked. When the guest has
 * unmasked some, the instruction works on a copy of the registers, which is
 * kept only if it raised none of those.
 */
#include "engine/soft/native_op.h"

#include <cpuid.h>
#include <stddef.h>

#include "vm/error.h"

#define INLINE static inline __attribute__((always_inline))

enum x86_result native_refuse(struct x86_cpu *cpu, uint32_t need)
{
	const uint64_t avx = X86_XCR0_SSE | X86_XCR0_AVX;
	const uint64_t avx512 = avx | X86_XCR0_AVX512;
	bool ok = true;

	if (need & X86_MODE_PROT && !(cpu->mode & X86_MODE_PROT))
		ok = false;
	if (need & X86_MODE_AVX && (!(cpu->state.cr4 & X86_CR4_OSXSAVE) ||
				    (cpu->state.xcr0 & avx) != avx))
		ok = false;
	if (need & X86_MODE_AVX512 && (!(cpu->state.cr4 & X86_CR4_OSXSAVE) ||
				       (cpu->state.xcr0 & avx512) != avx512))
		ok = false;
	if (need & X86_MODE_SSE &&
	    (!(cpu->state.cr4 & X86_CR4_OSFXSR) || cpu->state.cr0 & X86_CR0_EM))
		ok = false;
	return x86_raise(cpu, ok ? X86_NM : X86_UD);
}

/* --- memory operands --------------------------------------------------- */

static enum x86_result check_alignment(struct x86_cpu *cpu,
				       const struct native_op *op,
				       uint64_t linear)
{
	if (linear & (op->align - 1u))
		return x86_raise_error(cpu, X86_GP, 0);
	if (cpu->mode & X86_MODE_AC && op->size <= 8 &&
	    !(op->size & (op->size - 1)) && linear & (op->size - 1u))
		return x86_raise_error(cpu, X86_AC, 0);
	return X86_NEXT;
}

/* Copies the operand into the bounce buffer, or makes sure of the write. */
static enum x86_result bounce(struct x86_cpu *cpu, const struct native_op *op,
			      struct native_memory *m)
{
	struct native *n = cpu->native_ctx;
	enum x86_result r = X86_NEXT;

	m->host = n->bounce;
	m->bounced = true;
	if (op->flags & NATIVE_WRITE)
		r = x86_probe(cpu, m->linear, op->size, X86_WRITE);
	if (r == X86_NEXT && op->flags & NATIVE_READ)
		r = x86_read(cpu, m->linear, n->bounce, op->size);
	return r;
}

static __attribute__((noinline)) enum x86_result
map_slow(struct x86_cpu *cpu, const struct x86_insn *insn,
	 const struct native_op *op, bool private, struct native_memory *m)
{
	enum x86_access access =
		op->flags & NATIVE_WRITE ? X86_WRITE : X86_READ;
	enum x86_result r = check_alignment(cpu, op, m->linear);

	if (r != X86_NEXT)
		return r;
	m->host = NULL;
	m->bounced = false;
	if (!private && !(cpu->mode & X86_MODE_AC))
		r = x86_pointer(cpu, m->linear, op->size, access, &m->host);
	if (r == X86_NEXT && !m->host)
		r = bounce(cpu, op, m);
	return r;
}

/* #SS of an address that is not canonical comes after alignment's #GP. */
static __attribute__((noinline)) enum x86_result
no_operand(struct x86_cpu *cpu, const struct native_op *op, uint64_t linear)
{
	if (cpu->mode & X86_MODE_CODE64 && cpu->fault.vector == X86_SSF &&
	    linear & (op->align - 1u))
		return x86_raise_error(cpu, X86_GP, 0);
	return X86_FAULT;
}

INLINE enum x86_result map(struct x86_cpu *cpu, const struct x86_insn *insn,
			   const struct native_op *op, bool private,
			   struct native_memory *m)
{
	bool write = op->flags & NATIVE_WRITE;
	const struct x86_tlb_entry *e;
	enum x86_result r;

	r = x86_operand(cpu, insn, op->size, write ? X86_WRITE : X86_READ,
			&m->linear);
	if (r != X86_NEXT)
		return no_operand(cpu, op, m->linear);
	e = x86_tlb_at(cpu, m->linear, write ? X86_TLB_WRITE : X86_TLB_READ);
	if (__builtin_expect(!x86_tlb_hit(e->tag, m->linear, op->size) ||
				     cpu->mode & X86_MODE_AC || private ||
				     m->linear & (op->align - 1u),
			     0))
		return map_slow(cpu, insn, op, private, m);
	m->host = (void *)(e->addend + m->linear);
	m->bounced = false;
	return X86_NEXT;
}

enum x86_result native_map(struct x86_cpu *cpu, const struct x86_insn *insn,
			   const struct native_op *op, bool private,
			   struct native_memory *m)
{
	return map(cpu, insn, op, private, m);
}

enum x86_result native_unmap(struct x86_cpu *cpu, const struct native_op *op,
			     const struct native_memory *m)
{
	const struct native *n = cpu->native_ctx;

	if (!m->bounced || !(op->flags & NATIVE_WRITE))
		return X86_NEXT;
	return x86_write(cpu, m->linear, n->bounce, op->size);
}

/* --- handlers ---------------------------------------------------------- */

#define CHECK_MODE(cpu, op)                                                    \
	do {                                                                   \
		if (__builtin_expect(((cpu)->mode & (op)->need) != (op)->need, \
				     0))                                       \
			return native_refuse(cpu, (op)->need);                 \
	} while (0)

static enum x86_result run_registers(struct x86_cpu *cpu,
				     const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;

	CHECK_MODE(cpu, op);
	native_call(cpu, insn, op, NULL);
	return X86_NEXT;
}

static enum x86_result run_memory(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;
	struct native_memory m;
	enum x86_result r;

	CHECK_MODE(cpu, op);
	r = map(cpu, insn, op, false, &m);
	if (r != X86_NEXT)
		return r;
	native_call(cpu, insn, op, m.host);
	return native_unmap(cpu, op, &m);
}

static enum x86_result run_high_byte(struct x86_cpu *cpu,
				     const struct x86_insn *insn)
{
	native_call(cpu, insn, insn->native,
		    (uint8_t *)&cpu->state.gpr[insn->rm & 3] + 1);
	return X86_NEXT;
}

/*
 * An unmasked exception: what it leaves in MXCSR. Invalid, denormal and
 * divide-by-zero are found before the result is computed.
 */
static enum x86_result raise_simd(struct x86_cpu *cpu, uint32_t mxcsr,
				  uint32_t raised, uint32_t unmasked)
{
	if (unmasked & 7)
		raised &= 7;
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr | raised);
	return x86_raise(cpu,
			 cpu->state.cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
}

/* Runs the stub on a fresh copy; gives the exceptions that it raised. */
static uint32_t run_copy(struct x86_cpu *cpu, const struct x86_insn *insn,
			 void *host, uint32_t mxcsr, uint32_t *flags)
{
	const struct native_op *op = insn->native;
	struct native *n = cpu->native_ctx;

	n->scratch = cpu->state;
	fpu_set32(&n->scratch, FPU_MXCSR,
		  (mxcsr & ~FPU_EXCEPT) | FPU_MXCSR_MASKS);
	*flags = op->stub(&n->scratch, host, insn,
			  native_pack_flags(cpu->state.rflags));
	return fpu_get32(&n->scratch, FPU_MXCSR) & FPU_EXCEPT;
}

/*
 * Some exceptions are unmasked. Unmasked underflow is raised by every tiny
 * result and turns flush-to-zero off, masked underflow only by inexact ones;
 * a first run with flush-to-zero on tells whether there was a tiny one.
 */
__attribute__((noinline)) enum x86_result
native_run_guarded(struct x86_cpu *cpu, const struct x86_insn *insn, void *host)
{
	const struct native_op *op = insn->native;
	const struct native *n = cpu->native_ctx;
	uint32_t mxcsr = fpu_get32(&cpu->state, FPU_MXCSR);
	uint32_t run = mxcsr, tiny = 0, flags, raised, unmasked;

	x86_flags(cpu);
	if (!(mxcsr & FPU_UE << FPU_MXCSR_MASKS_SHIFT)) {
		tiny = run_copy(cpu, insn, host, mxcsr | FPU_MXCSR_FTZ,
				&flags) &
		       FPU_UE;
		run = mxcsr & ~FPU_MXCSR_FTZ;
	}
	raised = run_copy(cpu, insn, host, run, &flags) | tiny;
	unmasked = raised & ~(mxcsr >> FPU_MXCSR_MASKS_SHIFT);
	if (unmasked)
		return raise_simd(cpu, mxcsr, raised, unmasked);
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr | raised);
	memcpy(cpu->state.gpr, n->scratch.gpr, sizeof(cpu->state.gpr));
	memcpy(cpu->state.xsave, n->scratch.xsave, FPU_MXCSR);
	memcpy(cpu->state.xsave + FPU_ST, n->scratch.xsave + FPU_ST,
	       X86_XSAVE_PKRU - FPU_ST);
	if (op->flags & NATIVE_FLAGS_OUT)
		x86_set_arith(cpu, native_unpack_flags(flags));
	return X86_NEXT;
}

static enum x86_result run_float(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;
	struct native_memory m = { 0 };
	enum x86_result r;
	bool masked;

	CHECK_MODE(cpu, op);
	masked = (fpu_get32(&cpu->state, FPU_MXCSR) & FPU_MXCSR_MASKS) ==
		 FPU_MXCSR_MASKS;
	if (op->size) {
		r = map(cpu, insn, op, !masked, &m);
		if (r != X86_NEXT)
			return r;
	}
	if (__builtin_expect(masked, 1)) {
		native_call(cpu, insn, op, m.host);
	} else {
		r = native_run_guarded(cpu, insn, m.host);
		if (r != X86_NEXT)
			return r;
	}
	return native_unmap(cpu, op, &m);
}

enum x86_result native_begin_mmx(struct x86_cpu *cpu)
{
	if (cpu->mode & X86_MODE_FPU_OFF)
		return x86_raise(cpu,
				 cpu->state.cr0 & X86_CR0_EM ? X86_UD : X86_NM);
	return fpu_check_pending(cpu);
}

void native_enter_mmx(struct x86_state *state)
{
	fpu_set_top(state, 0);
	state->xsave[FPU_FTW] = 0xff;
}

/*
 * MMX, alone or beside XMM. The pending x87 exception comes before the
 * memory operand's faults, the change to MMX state behind them.
 */
static enum x86_result run_mmx(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;
	struct native_memory m = { 0 };
	bool guarded = false;
	enum x86_result r;

	CHECK_MODE(cpu, op);
	r = native_begin_mmx(cpu);
	if (r != X86_NEXT)
		return r;
	if (op->flags & NATIVE_MXCSR)
		guarded = ~fpu_get32(&cpu->state, FPU_MXCSR) & FPU_MXCSR_MASKS;
	if (op->size) {
		r = map(cpu, insn, op, guarded, &m);
		if (r != X86_NEXT)
			return r;
	}
	native_enter_mmx(&cpu->state);
	if (guarded) {
		r = native_run_guarded(cpu, insn, m.host);
		if (r != X86_NEXT)
			return r;
	} else {
		native_call(cpu, insn, op, m.host);
	}
	return native_unmap(cpu, op, &m);
}

static x86_handler *pick_handler(const struct native_op *op)
{
	if (op->flags & NATIVE_X87)
		return native_run_x87;
	if (op->need & X86_MODE_AVX512)
		return native_run_evex;
	if (op->flags & NATIVE_HIGH_BYTE)
		return run_high_byte;
	if (op->flags & NATIVE_HAS_MMX)
		return run_mmx;
	if (op->flags & NATIVE_MXCSR)
		return run_float;
	return op->size ? run_memory : run_registers;
}

const struct native_op *native_plain(const struct x86_insn *insn)
{
	if (insn->handler != run_registers && insn->handler != run_memory &&
	    insn->handler != run_float && insn->handler != run_mmx &&
	    insn->handler != native_run_x87 && insn->handler != native_run_evex)
		return NULL;
	return insn->native;
}

/* --- shapes ------------------------------------------------------------ */

static ZydisMachineMode machine_mode(uint32_t mode, ZydisStackWidth *stack)
{
	*stack = ZYDIS_STACK_WIDTH_32;
	if (mode & X86_MODE_CODE64) {
		*stack = ZYDIS_STACK_WIDTH_64;
		return ZYDIS_MACHINE_MODE_LONG_64;
	}
	if (mode & X86_MODE_CODE32)
		return ZYDIS_MACHINE_MODE_LONG_COMPAT_32;
	*stack = ZYDIS_STACK_WIDTH_16;
	return ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
}

static bool find_shape(struct x86_cpu *cpu, const struct x86_insn *insn,
		       const ZydisDecodedInstruction *zi,
		       const ZydisDecodedOperand *operands,
		       struct native_op *op)
{
	if (!native_shape(op, insn, zi, operands))
		return false;
	if (op->flags & NATIVE_VEX && cpu->cpuid->avx512)
		op->flags |= NATIVE_CLEAR_ZMM;
	/* AMD's processors take misaligned operands for SHA, Intel's fault. */
	if (zi->meta.isa_set == ZYDIS_ISA_SET_SHA && cpu->cpuid->amd)
		op->align = 1;
	return true;
}

static bool decode(struct native *n, struct x86_cpu *cpu,
		   const struct x86_insn *insn, ZydisDecodedInstruction *zi,
		   ZydisDecodedOperand *operands)
{
	ZydisStackWidth stack;
	ZydisMachineMode mode = machine_mode(cpu->mode, &stack);
	ZydisDecoder decoder;

	if (ZYAN_FAILED(ZydisDecoderInit(&decoder, mode, stack)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, insn->bytes,
					       insn->length, zi, operands)))
		return false;
	return zi->length == insn->length && native_isa_offered(n, cpu, zi);
}

/* Where the shape is, or where it would go. */
static struct native_op **find(struct native *n, const struct native_op *op)
{
	uint32_t h = 2166136261u ^ op->flags;
	unsigned int i;

	for (i = 0; i < op->length; i++)
		h = (h ^ op->code[i]) * 16777619u;
	for (;; h++) {
		struct native_op **at = &n->hash[h % NATIVE_HASH_SIZE];

		if (!*at ||
		    ((*at)->flags == op->flags && (*at)->length == op->length &&
		     !memcmp((*at)->code, op->code, op->length)))
			return at;
	}
}

static struct native_op *add(struct native *n, const struct native_op *op)
{
	struct native_op **at = find(n, op);

	if (*at)
		return *at;
	if (n->count == NATIVE_OPS_MAX ||
	    n->used + 2 * NATIVE_SLOT_SIZE > n->code.size)
		return NULL;
	*at = host_alloc(sizeof(**at));
	if (!*at)
		return NULL;
	**at = *op;
	(*at)->stub = (native_stub *)(uintptr_t)(n->code.exec + n->used);
	(*at)->handler = pick_handler(op);
	n->used += (native_emit(op, &n->code, n->used) + 15) & ~15u;
	n->count++;
	return *at;
}

/*
 * For shapes beyond the store's bounds: makes the stub anew at each call.
 * The processor may hold older bytes of the same place, so it serialises.
 */
static enum x86_result run_unstored(struct x86_cpu *cpu,
				    const struct x86_insn *insn)
{
	struct native *n = cpu->native_ctx;
	uint32_t at = (uint32_t)n->code.size - NATIVE_SLOT_SIZE;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	struct x86_insn copy = *insn;
	struct native_op op;
	uint32_t a, b, c, d;

	if (!decode(n, cpu, insn, &zi, operands) ||
	    !find_shape(cpu, insn, &zi, operands, &op))
		return x86_raise(cpu, X86_UD);
	native_emit(&op, &n->code, at);
	op.stub = (native_stub *)(uintptr_t)(n->code.exec + at);
	__cpuid(0, a, b, c, d);
	copy.native = &op;
	return pick_handler(&op)(cpu, &copy);
}

/* disp8 counts in units that depend on the instruction. */
static void scale_displacement(struct x86_insn *insn,
			       const ZydisDecodedInstruction *zi,
			       const ZydisDecodedOperand *operands)
{
	unsigned int i;

	for (i = 0; i < zi->operand_count && insn->disp_size == 1; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			insn->disp = (int32_t)operands[i].mem.disp.value;
}

static bool prepare(void *ctx, struct x86_cpu *cpu, struct x86_insn *insn)
{
	struct native *n = ctx;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const struct x86_insn whole = *insn;
	ZydisDecodedInstruction zi;
	struct native_op op;

	if (!decode(n, cpu, insn, &zi, operands))
		return false;
	insn->native = NULL;
	if (insn->encoding == X86_EVEX)
		scale_displacement(insn, &zi, operands);
	insn->handler =
		insn->encoding == X86_EVEX ?
			native_pick_evex(insn, zi.mnemonic, operands) :
			native_pick_masked(insn, zi.mnemonic, operands);
	if (!insn->handler && zi.meta.isa_set == ZYDIS_ISA_SET_X87)
		insn->handler = native_pick_x87(zi.mnemonic);
	if (insn->handler)
		return true;
	if (!find_shape(cpu, insn, &zi, operands, &op))
		return false;
	insn->native = add(n, &op);
	if (insn->native) {
		insn->handler = ((struct native_op *)insn->native)->handler;
	} else {
		/* It decodes the bytes, where the pointer lies. */
		memcpy(insn->bytes, whole.bytes, sizeof(insn->bytes));
		insn->handler = run_unstored;
	}
	return true;
}

static const struct x86_native_ops native_ops = {
	.prepare = prepare,
};

int native_open(struct x86_cpu *cpu)
{
	struct native *n = host_alloc(sizeof(*n));
	int error;

	if (!n)
		return -VM_ENOMEM;
	error = host_code_create(&n->code, NATIVE_CODE_SIZE);
	if (error) {
		host_free(n);
		return error;
	}
	n->used = native_emit_constants(&n->code);
	cpu->native = &native_ops;
	cpu->native_ctx = n;
	return 0;
}

void native_close(struct x86_cpu *cpu)
{
	struct native *n = cpu->native_ctx;
	unsigned int i;

	if (!n)
		return;
	for (i = 0; i < NATIVE_HASH_SIZE; i++)
		host_free(n->hash[i]);
	host_code_destroy(&n->code);
	host_free(n);
	cpu->native = NULL;
	cpu->native_ctx = NULL;
}
