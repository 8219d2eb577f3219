/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512: instructions with a stub, whose memory operands may be under an
 * opmask, and gathers and scatters, which move data only and need no host
 * instruction. An element that the opmask leaves out is neither accessed nor
 * faulted for: Intel SDM vol. 2, 2.7.5 and 2.8 (exception classes; those with
 * NF access their operand whole).
 */
#include "engine/soft/native_op.h"

#define ALL ((uint64_t)-1)

static uint64_t get_opmask(const struct x86_state *state, unsigned int n)
{
	return fpu_get64(state, X86_XSAVE_OPMASK + 8 * n);
}

static uint64_t low_bits(unsigned int count)
{
	return count < 64 ? ((uint64_t)1 << count) - 1 : ALL;
}

/* --- which bytes an opmask leaves out ------------------------------------ */

static bool accessed_whole(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) { /* of E4NF, other than the decoder says */
	case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
	case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
	case ZYDIS_MNEMONIC_VCVTNE2PS2BF16:
	case ZYDIS_MNEMONIC_VDBPSADBW:
		return true;
	default:
		break;
	}
	switch (zi->meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E4:
	case ZYDIS_EXCEPTION_CLASS_E5:
	case ZYDIS_EXCEPTION_CLASS_E6:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return false;
	default:
		return true;
	}
}

static bool is_scalar(const ZydisDecodedInstruction *zi)
{
	return zi->meta.isa_set == ZYDIS_ISA_SET_AVX512F_SCALAR ||
	       zi->meta.isa_set == ZYDIS_ISA_SET_AVX512DQ_SCALAR;
}

static bool is_packed(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_VCOMPRESSPS:
	case ZYDIS_MNEMONIC_VCOMPRESSPD:
	case ZYDIS_MNEMONIC_VPCOMPRESSB:
	case ZYDIS_MNEMONIC_VPCOMPRESSW:
	case ZYDIS_MNEMONIC_VPCOMPRESSD:
	case ZYDIS_MNEMONIC_VPCOMPRESSQ:
	case ZYDIS_MNEMONIC_VEXPANDPS:
	case ZYDIS_MNEMONIC_VEXPANDPD:
	case ZYDIS_MNEMONIC_VPEXPANDB:
	case ZYDIS_MNEMONIC_VPEXPANDW:
	case ZYDIS_MNEMONIC_VPEXPANDD:
	case ZYDIS_MNEMONIC_VPEXPANDQ:
		return true;
	default:
		return false;
	}
}

static const ZydisDecodedOperand *
memory_operand(const ZydisDecodedOperand *operands)
{
	while (operands->type != ZYDIS_OPERAND_TYPE_MEMORY)
		operands++;
	return operands;
}

/*
 * The opmask counts the elements of the destination, or of memory if that has
 * fewer (narrowing conversions) or the destination is an opmask.
 */
static unsigned int count_bits(const ZydisDecodedInstruction *zi,
			       const ZydisDecodedOperand *operands)
{
	const ZydisDecodedOperand *memory = memory_operand(operands);
	unsigned int count = memory->element_count;

	if (is_scalar(zi))
		return 1;
	if (zi->avx.broadcast.is_static)
		return operands[0].element_count;
	if (zi->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID)
		count = zi->avx.vector_length / memory->element_size;
	return count > operands[0].element_count && operands[0].element_size > 1 ?
		       operands[0].element_count :
		       count;
}

void native_find_pieces(struct native_op *op, const ZydisDecodedInstruction *zi,
			const ZydisDecodedOperand *operands)
{
	unsigned int element = operands[0].element_size / 8u;

	if (!op->size || !zi->avx.mask.reg ||
	    zi->avx.mask.mode == ZYDIS_MASK_MODE_DISABLED ||
	    accessed_whole(zi))
		return;
	if (is_packed(zi))
		op->flags |= NATIVE_PACKED;
	op->mask_bits = (uint8_t)count_bits(zi, operands);
	if (zi->avx.broadcast.mode == ZYDIS_BROADCAST_MODE_INVALID)
		op->piece = op->size / op->mask_bits;
	else if (zi->avx.broadcast.is_static && element < op->size)
		op->piece = (uint8_t)element;
	else
		op->piece = op->size;
}

/* A bit for each piece of the memory operand that is accessed. */
static uint64_t enabled_pieces(const struct x86_cpu *cpu,
			       const struct x86_insn *insn,
			       const struct native_op *op)
{
	unsigned int pieces = op->size / op->piece, i;
	uint64_t mask = get_opmask(&cpu->state, insn->evex & X86_EVEX_MASK) &
			low_bits(op->mask_bits);
	uint64_t enabled = 0;

	if (op->flags & NATIVE_PACKED)
		return low_bits((unsigned int)__builtin_popcountll(mask));
	for (i = 0; i < op->mask_bits; i += pieces)
		enabled |= mask >> i & low_bits(pieces);
	return enabled;
}

/* --- memory operands under an opmask -------------------------------------- */

struct pieces {
	struct native_memory m;
	uint64_t enabled;
	uint64_t ea;
};

static enum x86_result find_piece(struct x86_cpu *cpu,
				  const struct x86_insn *insn,
				  const struct native_op *op,
				  const struct pieces *p, unsigned int i,
				  uint64_t *linear)
{
	uint64_t ea = p->ea + (uint64_t)i * op->piece;

	return x86_linear(cpu, insn->seg, ea, op->piece,
			  op->flags & NATIVE_WRITE ? X86_WRITE : X86_READ,
			  linear);
}

/* Reads the pieces, or makes sure that they can be written. */
static enum x86_result bounce_pieces(struct x86_cpu *cpu,
				     const struct x86_insn *insn,
				     const struct native_op *op,
				     struct pieces *p)
{
	struct native *n = cpu->native_ctx;
	enum x86_result r = X86_NEXT;
	uint64_t linear;
	unsigned int i;

	p->m.host = n->bounce;
	p->m.bounced = true;
	memset(n->bounce, 0, op->size);
	for (i = 0; r == X86_NEXT && i < op->size / op->piece; i++) {
		if (!(p->enabled >> i & 1))
			continue;
		r = find_piece(cpu, insn, op, p, i, &linear);
		if (r != X86_NEXT)
			break;
		r = op->flags & NATIVE_WRITE ?
			    x86_probe(cpu, linear, op->piece, X86_WRITE) :
			    x86_read(cpu, linear, n->bounce + i * op->piece,
				     op->piece);
	}
	return r;
}

/*
 * Where the operand is reachable at once, the host's instruction may have it;
 * else it is taken piece by piece.
 */
static enum x86_result map_pieces(struct x86_cpu *cpu,
				  const struct x86_insn *insn,
				  const struct native_op *op, bool private,
				  struct pieces *p)
{
	bool write = op->flags & NATIVE_WRITE;
	const struct x86_tlb_entry *e;
	uint64_t linear;

	p->ea = x86_effective(cpu, insn);
	p->enabled = enabled_pieces(cpu, insn, op);
	/* Nothing is accessed: nothing is misaligned. */
	if (p->enabled &&
	    x86_linear(cpu, insn->seg, p->ea, 1, write ? X86_WRITE : X86_READ,
		       &linear) == X86_NEXT &&
	    linear & (op->align - 1u))
		return x86_raise_error(cpu, X86_GP, 0);
	if (private || x86_linear(cpu, insn->seg, p->ea, op->size,
				  write ? X86_WRITE : X86_READ,
				  &linear) != X86_NEXT)
		return bounce_pieces(cpu, insn, op, p);
	e = x86_tlb_at(cpu, linear, write ? X86_TLB_WRITE : X86_TLB_READ);
	if (cpu->mode & X86_MODE_AC || !x86_tlb_hit(e->tag, linear, op->size))
		return bounce_pieces(cpu, insn, op, p);
	p->m.host = (void *)(e->addend + linear);
	return X86_NEXT;
}

static enum x86_result unmap_pieces(struct x86_cpu *cpu,
				    const struct x86_insn *insn,
				    const struct native_op *op,
				    const struct pieces *p)
{
	const struct native *n = cpu->native_ctx;
	enum x86_result r = X86_NEXT;
	uint64_t linear;
	unsigned int i;

	if (!p->m.bounced || !(op->flags & NATIVE_WRITE))
		return X86_NEXT;
	for (i = 0; r == X86_NEXT && i < op->size / op->piece; i++) {
		if (!(p->enabled >> i & 1))
			continue;
		r = find_piece(cpu, insn, op, p, i, &linear);
		if (r == X86_NEXT)
			r = x86_write(cpu, linear, n->bounce + i * op->piece,
				      op->piece);
	}
	return r;
}

static enum x86_result check_avx512(struct x86_cpu *cpu)
{
	const uint32_t need = X86_MODE_PROT | X86_MODE_AVX512;

	if ((cpu->mode & need) != need)
		return native_refuse(cpu, need);
	cpu->upper = true;
	return X86_NEXT;
}

enum x86_result native_run_evex(struct x86_cpu *cpu,
				const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;
	bool in_pieces = op->piece && insn->evex & X86_EVEX_MASK;
	struct pieces p = { .m = { 0 } };
	enum x86_result r = check_avx512(cpu);
	/* Embedded rounding suppresses all exceptions, like SAE alone. */
	bool sae = !insn->mem && insn->evex & X86_EVEX_B;
	bool guarded = op->flags & NATIVE_MXCSR && !sae &&
		       !(op->flags & NATIVE_QUIET) &&
		       ~fpu_get32(&cpu->state, FPU_MXCSR) & FPU_MXCSR_MASKS;

	if (r != X86_NEXT)
		return r;
	if (in_pieces)
		r = map_pieces(cpu, insn, op, guarded, &p);
	else if (op->size)
		r = native_map(cpu, insn, op, guarded, &p.m);
	if (r != X86_NEXT)
		return r;
	if (guarded) {
		r = native_run_guarded(cpu, insn, p.m.host);
		if (r != X86_NEXT)
			return r;
	} else {
		native_call(cpu, insn, op, p.m.host);
	}
	return in_pieces ? unmap_pieces(cpu, insn, op, &p) :
			   native_unmap(cpu, op, &p.m);
}

/* --- gathers and scatters -------------------------------------------------- */

static void get_zmm(const struct x86_state *state, unsigned int n,
		    uint8_t v[64])
{
	const uint8_t *x = state->xsave;

	if (n >= 16) {
		memcpy(v, x + X86_XSAVE_HI16_ZMM + 64 * (n - 16), 64);
		return;
	}
	memcpy(v, x + FPU_XMM + 16 * n, 16);
	memcpy(v + 16, x + X86_XSAVE_YMM + 16 * n, 16);
	memcpy(v + 32, x + X86_XSAVE_ZMM_HI256 + 32 * n, 32);
}

static void set_zmm(struct x86_state *state, unsigned int n,
		    const uint8_t v[64])
{
	uint8_t *x = state->xsave;

	if (n >= 16) {
		memcpy(x + X86_XSAVE_HI16_ZMM + 64 * (n - 16), v, 64);
		return;
	}
	memcpy(x + FPU_XMM + 16 * n, v, 16);
	memcpy(x + X86_XSAVE_YMM + 16 * n, v + 16, 16);
	memcpy(x + X86_XSAVE_ZMM_HI256 + 32 * n, v + 32, 32);
}

/* What a gather or scatter moves: `count` elements of `size` bytes. */
struct elements {
	unsigned int size, index_size, count;
	uint8_t data[64], index[64];
};

static void find_elements(const struct x86_cpu *cpu,
			  const struct x86_insn *insn, struct elements *e)
{
	unsigned int wider;

	e->size = insn->prefix & X86_PFX_REXW ? 8 : 4;
	e->index_size = insn->opcode & 1 ? 8 : 4;
	wider = e->size > e->index_size ? e->size : e->index_size;
	e->count = (16u << insn->vector_length) / wider;
	get_zmm(&cpu->state, insn->reg, e->data);
	get_zmm(&cpu->state, insn->index, e->index);
}

/* insn->index names the vector of indices. */
static enum x86_result find_element(struct x86_cpu *cpu,
				    const struct x86_insn *insn,
				    const struct elements *e, unsigned int i,
				    enum x86_access access, uint64_t *linear)
{
	uint64_t ea = (uint64_t)(int64_t)insn->disp;
	int64_t index;
	int32_t narrow;

	if (e->index_size == 8) {
		memcpy(&index, e->index + 8 * i, 8);
	} else {
		memcpy(&narrow, e->index + 4 * i, 4);
		index = narrow;
	}
	if (insn->base != X86_NO_REG)
		ea += cpu->state.gpr[insn->base];
	ea += (uint64_t)index << insn->scale;
	if (insn->adsize != 8)
		ea = (uint32_t)ea;
	return x86_linear(cpu, insn->seg, ea, e->size, access, linear);
}

static void set_opmask(struct x86_cpu *cpu, const struct x86_insn *insn,
		       uint64_t mask)
{
	fpu_set64(&cpu->state,
		  X86_XSAVE_OPMASK + 8u * (insn->evex & X86_EVEX_MASK), mask);
}

/*
 * Element by element from the lowest: at a fault, what was moved stays and its
 * bit is cleared, so that the instruction can go on afterwards.
 */
static enum x86_result move_elements(struct x86_cpu *cpu,
				     const struct x86_insn *insn,
				     enum x86_access access, struct elements *e)
{
	uint64_t mask = get_opmask(&cpu->state, insn->evex & X86_EVEX_MASK);
	enum x86_result r = X86_NEXT;
	uint64_t linear;

	for (unsigned int i = 0; i < e->count && r == X86_NEXT; i++) {
		uint8_t *data = e->data + i * e->size;

		if (!(mask >> i & 1))
			continue;
		r = find_element(cpu, insn, e, i, access, &linear);
		if (r == X86_NEXT)
			r = access == X86_READ ?
				    x86_read(cpu, linear, data, e->size) :
				    x86_write(cpu, linear, data, e->size);
		if (r == X86_NEXT)
			mask &= ~((uint64_t)1 << i);
	}
	set_opmask(cpu, insn, r == X86_NEXT ? 0 : mask);
	return r;
}

static enum x86_result run_gather(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	enum x86_result r = check_avx512(cpu);
	struct elements e;

	if (r != X86_NEXT)
		return r;
	find_elements(cpu, insn, &e);
	r = move_elements(cpu, insn, X86_READ, &e);
	if (r == X86_NEXT)
		memset(e.data + e.count * e.size, 0,
		       sizeof(e.data) - e.count * e.size);
	set_zmm(&cpu->state, insn->reg, e.data);
	return r;
}

static enum x86_result run_scatter(struct x86_cpu *cpu,
				   const struct x86_insn *insn)
{
	enum x86_result r = check_avx512(cpu);
	struct elements e;

	if (r != X86_NEXT)
		return r;
	find_elements(cpu, insn, &e);
	return move_elements(cpu, insn, X86_WRITE, &e);
}

static const struct {
	ZydisMnemonic mnemonic;
	x86_handler *handler;
	uint8_t memory; /* number of the operand */
} handlers[] = {
	{ ZYDIS_MNEMONIC_VGATHERDPS, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VGATHERDPD, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VGATHERQPS, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VGATHERQPD, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VPGATHERDD, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VPGATHERDQ, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VPGATHERQD, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VPGATHERQQ, run_gather, 2 },
	{ ZYDIS_MNEMONIC_VSCATTERDPS, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VSCATTERDPD, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VSCATTERQPS, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VSCATTERQPD, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VPSCATTERDD, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VPSCATTERDQ, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VPSCATTERQD, run_scatter, 0 },
	{ ZYDIS_MNEMONIC_VPSCATTERQQ, run_scatter, 0 },
};

x86_handler *native_pick_evex(struct x86_insn *insn, ZydisMnemonic mnemonic,
			      const ZydisDecodedOperand *operands)
{
	const ZydisDecodedOperand *memory;
	unsigned int i;

	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].mnemonic != mnemonic)
			continue;
		/* The decoder takes the SIB index for a general register. */
		memory = &operands[handlers[i].memory];
		insn->index = (uint8_t)ZydisRegisterGetId(memory->mem.index);
		insn->scale =
			memory->mem.scale ?
				(uint8_t)__builtin_ctz(memory->mem.scale) :
				0;
		return handlers[i].handler;
	}
	return NULL;
}
