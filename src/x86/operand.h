/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How integer handlers read and write their operands. Everything here is
 * inlined with a constant `size` (1, 2, 4 or 8), so that each handler is a
 * few host instructions.
 */
#ifndef LODGE_X86_OPERAND_H
#define LODGE_X86_OPERAND_H

#include "x86/access.h"
#include "x86/flags.h"
#include "x86/insn.h"

#define X86_INLINE static inline __attribute__((always_inline))

/* Handlers of one operation by log2(operand size) and operand kind. */
struct x86_forms {
	x86_handler *reg[4];
	x86_handler *mem[4];
};

X86_INLINE unsigned int size_log2(unsigned int size)
{
	return (unsigned int)__builtin_ctz(size);
}

/* Sign-extends the low `size` bytes. */
X86_INLINE int64_t sign_extend(uint64_t v, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (int64_t)(v << shift) >> shift;
}

X86_INLINE uint64_t truncate(uint64_t v, unsigned int size)
{
	return size == 8 ? v : v & ((1ull << (size * 8)) - 1);
}

X86_INLINE uint64_t host_load(const void *p, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, p, size);
	return v;
}

X86_INLINE void host_store(void *p, unsigned int size, uint64_t v)
{
	memcpy(p, &v, size);
}

/* AH, CH, DH, BH are registers 4-7 of byte instructions without REX. */
X86_INLINE uint8_t *byte_register(struct x86_cpu *cpu,
				  const struct x86_insn *insn, unsigned int r)
{
	if (r >= 4 && r < 8 && !(insn->prefix & X86_PFX_REX))
		return (uint8_t *)&cpu->state.gpr[r - 4] + 1;
	return (uint8_t *)&cpu->state.gpr[r];
}

X86_INLINE uint64_t get_register(struct x86_cpu *cpu,
				 const struct x86_insn *insn, unsigned int r,
				 unsigned int size)
{
	if (size == 1)
		return *byte_register(cpu, insn, r);
	return truncate(cpu->state.gpr[r], size);
}

X86_INLINE void set_register(struct x86_cpu *cpu, const struct x86_insn *insn,
			     unsigned int r, unsigned int size, uint64_t v)
{
	if (size == 1)
		*byte_register(cpu, insn, r) = (uint8_t)v;
	else if (size == 2)
		memcpy(&cpu->state.gpr[r], &v, 2);
	else
		cpu->state.gpr[r] = truncate(v, size);
}

/* Reads the memory operand. */
X86_INLINE enum x86_result read_memory(struct x86_cpu *cpu,
				       const struct x86_insn *insn,
				       unsigned int size, uint64_t *v)
{
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, size, X86_READ, &linear);

	*v = 0;
	return r ? r : x86_read(cpu, linear, v, size);
}

X86_INLINE enum x86_result write_memory(struct x86_cpu *cpu,
					const struct x86_insn *insn,
					unsigned int size, uint64_t v)
{
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, size, X86_WRITE, &linear);

	return r ? r : x86_write(cpu, linear, &v, size);
}

/* Reads the r/m operand of whichever kind. */
X86_INLINE enum x86_result read_rm(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   unsigned int size, uint64_t *v)
{
	if (insn->mem)
		return read_memory(cpu, insn, size, v);
	*v = get_register(cpu, insn, insn->rm, size);
	return X86_NEXT;
}

X86_INLINE enum x86_result write_rm(struct x86_cpu *cpu,
				    const struct x86_insn *insn,
				    unsigned int size, uint64_t v)
{
	if (insn->mem)
		return write_memory(cpu, insn, size, v);
	set_register(cpu, insn, insn->rm, size, v);
	return X86_NEXT;
}

/* A memory operand that is read, changed and written. */
struct modify {
	uint64_t linear;
	void *host; /* NULL: MMIO, ROM or page-straddling */
};

X86_INLINE enum x86_result modify_at(struct x86_cpu *cpu, struct modify *m,
				     unsigned int size, uint64_t *v)
{
	const struct x86_tlb_entry *e = x86_tlb_at(cpu, m->linear,
						   X86_TLB_WRITE);
	enum x86_result r;

	*v = 0;
	if (__builtin_expect(x86_tlb_hit(e->tag, m->linear, size) &&
			     !(cpu->mode & X86_MODE_AC), 1)) {
		m->host = (void *)(e->addend + m->linear);
	} else {
		r = x86_pointer(cpu, m->linear, size, X86_WRITE, &m->host);
		if (r)
			return r;
		if (!m->host)
			return x86_read(cpu, m->linear, v, size);
	}
	*v = host_load(m->host, size);
	return X86_NEXT;
}

X86_INLINE enum x86_result modify_begin(struct x86_cpu *cpu,
					const struct x86_insn *insn,
					unsigned int size, struct modify *m,
					uint64_t *v)
{
	enum x86_result r = x86_operand(cpu, insn, size, X86_WRITE, &m->linear);

	return r ? r : modify_at(cpu, m, size, v);
}

X86_INLINE enum x86_result modify_end(struct x86_cpu *cpu,
				      const struct modify *m,
				      unsigned int size, uint64_t v)
{
	if (__builtin_expect(m->host == NULL, 0))
		return x86_write(cpu, m->linear, &v, size);
	host_store(m->host, size, v);
	return X86_NEXT;
}

/* rip behind this instruction, before any wrap. */
X86_INLINE uint64_t following(const struct x86_cpu *cpu,
			      const struct x86_insn *insn)
{
	return cpu->block_rip + insn->offset + insn->length;
}

/* Condition codes, the low four bits of Jcc, SETcc and CMOVcc. */
X86_INLINE bool condition(const struct x86_cpu *cpu, unsigned int cc)
{
	bool yes;

	switch (cc >> 1) {
	case 0:
		yes = x86_of(cpu);
		break;
	case 1:
		yes = x86_cf(cpu);
		break;
	case 2:
		yes = x86_zf(cpu);
		break;
	case 3:
		yes = x86_cf(cpu) || x86_zf(cpu);
		break;
	case 4:
		yes = x86_sf(cpu);
		break;
	case 5:
		yes = x86_pf(cpu);
		break;
	case 6:
		yes = x86_sf(cpu) != x86_of(cpu);
		break;
	default:
		yes = x86_zf(cpu) || x86_sf(cpu) != x86_of(cpu);
		break;
	}
	return yes != (cc & 1);
}

/* Width of the stack pointer in bytes. */
X86_INLINE unsigned int stack_width(const struct x86_cpu *cpu)
{
	if (cpu->mode & X86_MODE_CODE64)
		return 8;
	return cpu->mode & X86_MODE_STACK32 ? 4 : 2;
}

X86_INLINE void set_stack_pointer(struct x86_cpu *cpu, uint64_t sp)
{
	unsigned int width = stack_width(cpu);

	if (width == 2)
		memcpy(&cpu->state.gpr[X86_RSP], &sp, 2);
	else
		cpu->state.gpr[X86_RSP] = truncate(sp, width);
}

/* Linear address of `size` bytes at stack address `sp`. */
X86_INLINE enum x86_result stack_linear(struct x86_cpu *cpu, uint64_t sp,
					unsigned int size,
					enum x86_access access,
					uint64_t *linear)
{
	return x86_linear(cpu, X86_SS, truncate(sp, stack_width(cpu)), size,
			  access, linear);
}

X86_INLINE enum x86_result push_value(struct x86_cpu *cpu, uint64_t v,
				      unsigned int size)
{
	uint64_t sp = cpu->state.gpr[X86_RSP] - size, linear;
	enum x86_result r = stack_linear(cpu, sp, size, X86_WRITE, &linear);

	if (!r)
		r = x86_write(cpu, linear, &v, size);
	if (!r)
		set_stack_pointer(cpu, sp);
	return r;
}

/* Reads `size` bytes at the stack pointer + `skip`; does not pop. */
X86_INLINE enum x86_result peek_value(struct x86_cpu *cpu, uint64_t skip,
				      unsigned int size, uint64_t *v)
{
	uint64_t linear;
	enum x86_result r = stack_linear(cpu, cpu->state.gpr[X86_RSP] + skip,
					 size, X86_READ, &linear);

	*v = 0;
	return r ? r : x86_read(cpu, linear, v, size);
}

X86_INLINE enum x86_result pop_value(struct x86_cpu *cpu, unsigned int size,
				     uint64_t *v)
{
	enum x86_result r = peek_value(cpu, 0, size, v);

	if (!r)
		set_stack_pointer(cpu, cpu->state.gpr[X86_RSP] + size);
	return r;
}

/* Size of pushes, pops and near branches: 64-bit code knows no 32. */
X86_INLINE unsigned int stack_size(const struct x86_cpu *cpu,
				   const struct x86_insn *insn)
{
	if (!(cpu->mode & X86_MODE_CODE64))
		return insn->opsize;
	return insn->opsize == 2 ? 2 : 8;
}

#endif
