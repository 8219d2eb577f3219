/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment descriptors: where they stand, what they say, loading them into
 * segment registers, and the limit and type checks of each access. Intel SDM
 * vol. 3, 3.4, 5.2-5.8; AMD64 APM vol. 2, 4.5-4.12. A null FS or GS loses its
 * base, as on Intel and recent AMD processors.
 */
#include "x86/segment.h"

#include "x86/operand.h"
#include "x86/reg.h"

bool x86_segment_reaches(const struct x86_segment *seg, uint64_t ea,
			 unsigned int size)
{
	const unsigned int kind =
		X86_ATTR_S | X86_TYPE_CODE | X86_TYPE_EXPAND;
	uint64_t last = ea + size - 1;
	uint64_t top;

	if ((seg->attr & kind) == (X86_ATTR_S | X86_TYPE_EXPAND)) {
		top = seg->attr & X86_ATTR_DB ? UINT32_MAX : UINT16_MAX;
		return ea > seg->limit && last <= top;
	}
	return last >= ea && last <= seg->limit;
}

enum x86_result x86_linear_slow(struct x86_cpu *cpu, unsigned int seg,
				uint64_t ea, unsigned int size,
				enum x86_access access, uint64_t *linear)
{
	const struct x86_segment *s = &cpu->state.seg[seg];
	uint8_t vector = seg == X86_SS ? X86_SSF : X86_GP;

	if (cpu->mode & X86_MODE_CODE64) {
		*linear = seg >= X86_FS ? ea + s->base : ea;
		if (x86_is_canonical(*linear) &&
		    x86_is_canonical(*linear + size - 1))
			return X86_NEXT;
		return x86_raise_error(cpu, vector, 0);
	}
	if (cpu->mode & X86_MODE_PROT) {
		bool code = s->attr & X86_TYPE_CODE;
		bool rw = s->attr & X86_TYPE_WRITE;

		if (!(s->attr & X86_ATTR_P) ||
		    (access & X86_WRITE && (code || !rw)) ||
		    (!(access & (X86_WRITE | X86_EXEC)) && code && !rw))
			return x86_raise_error(cpu, vector, 0);
	}
	if (!x86_segment_reaches(s, ea, size))
		return x86_raise_error(cpu, vector, 0);
	*linear = (uint32_t)(s->base + ea);
	return X86_NEXT;
}

void x86_load_real_segment(struct x86_cpu *cpu, unsigned int seg,
			   uint16_t selector)
{
	struct x86_segment *s = &cpu->state.seg[seg];
	const uint16_t kept = X86_ATTR_G | X86_ATTR_DB | X86_ATTR_AVL;
	const uint16_t data = X86_ATTR_P | X86_ATTR_S | X86_TYPE_WRITE |
			      X86_TYPE_ACCESSED;

	s->selector = selector;
	s->base = (uint64_t)selector << 4;
	if (cpu->state.rflags & X86_FLAG_VM) {
		s->limit = UINT16_MAX;
		s->attr = data | X86_ATTR_DPL;
		return;
	}
	if (!(s->attr & X86_ATTR_P)) {
		s->limit = UINT16_MAX;
		s->attr = 0;
	}
	s->attr = (s->attr & kept) | data;
	if (seg == X86_CS)
		s->attr |= X86_TYPE_CODE;
}

void x86_null_segment(struct x86_segment *seg, uint16_t selector)
{
	*seg = (struct x86_segment){ .selector = selector };
}

bool x86_find_descriptor(const struct x86_cpu *cpu, uint16_t selector,
			 bool wide, uint64_t *linear)
{
	uint32_t offset = selector & ~7u;
	uint32_t last = offset + (wide ? 15 : 7);
	const struct x86_segment *ldt = &cpu->state.ldtr;

	if (selector & 4) {
		if (!(ldt->attr & X86_ATTR_P) || last > ldt->limit)
			return false;
		*linear = ldt->base + offset;
	} else {
		if (last > cpu->state.gdtr.limit)
			return false;
		*linear = cpu->state.gdtr.base + offset;
	}
	if (!(cpu->mode & X86_MODE_LONG))
		*linear = (uint32_t)*linear;
	return true;
}

enum x86_result x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector,
				    bool wide, uint8_t vector, uint8_t ext,
				    struct x86_descriptor *desc)
{
	uint64_t linear;

	desc->high = 0;
	if (!x86_find_descriptor(cpu, selector, wide, &linear))
		return x86_raise_error(cpu, vector, (selector & ~3u) | ext);
	/* Constant sizes: each is inlined as loads. */
	return wide ? x86_read_table(cpu, linear, desc, 16)
		    : x86_read_table(cpu, linear, &desc->low, 8);
}

void x86_unpack_descriptor(const struct x86_descriptor *desc,
			   uint16_t selector, struct x86_segment *seg)
{
	uint64_t low = desc->low;
	uint32_t limit = (uint32_t)((low & 0xffff) | (low >> 32 & 0xf0000));

	seg->selector = selector;
	seg->attr = x86_descriptor_attr(desc);
	seg->base = (low >> 16 & 0xffffff) | (low >> 32 & 0xff000000) |
		    desc->high << 32;
	seg->limit = seg->attr & X86_ATTR_G ? limit << 12 | 0xfff : limit;
}

enum x86_result x86_read_code(struct x86_cpu *cpu, uint16_t selector,
			      struct x86_segment *cs)
{
	struct x86_descriptor desc;
	enum x86_result r;

	if (x86_selector_null(selector))
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_descriptor(cpu, selector, false, X86_GP, 0, &desc);
	if (!r)
		x86_unpack_descriptor(&desc, selector, cs);
	return r;
}

enum x86_result x86_read_far_pointer(struct x86_cpu *cpu,
				     const struct x86_insn *insn,
				     uint16_t *selector, uint64_t *offset)
{
	unsigned int size = insn->opsize;
	uint8_t pointer[10];
	uint64_t linear;
	enum x86_result r;

	if (!insn->mem)
		return x86_raise(cpu, X86_UD);
	r = x86_operand(cpu, insn, size + 2, X86_READ, &linear);
	if (!r)
		r = x86_read(cpu, linear, pointer, size + 2);
	if (r)
		return r;
	*offset = host_load(pointer, size);
	*selector = (uint16_t)host_load(pointer + size, 2);
	return X86_NEXT;
}

enum x86_result x86_mark_accessed(struct x86_cpu *cpu,
				  struct x86_segment *seg)
{
	uint64_t linear;
	uint8_t type;

	if (seg->attr & X86_TYPE_ACCESSED)
		return X86_NEXT;
	seg->attr |= X86_TYPE_ACCESSED;
	if (!x86_find_descriptor(cpu, seg->selector, false, &linear))
		return X86_NEXT; /* cannot be: it was read from there */
	type = (uint8_t)seg->attr;
	return x86_write_system(cpu, linear + 5, &type, 1);
}

enum x86_result x86_mark_busy(struct x86_cpu *cpu, uint16_t selector,
			      bool busy)
{
	uint64_t linear = cpu->state.gdtr.base + (selector & ~7u) + 5;
	enum x86_result r;
	uint8_t type;

	if (!(cpu->mode & X86_MODE_LONG))
		linear = (uint32_t)linear;
	r = x86_read_table(cpu, linear, &type, 1);
	if (r)
		return r;
	type = (uint8_t)(busy ? type | X86_TSS_BUSY : type & ~X86_TSS_BUSY);
	return x86_write_system(cpu, linear, &type, 1);
}

enum x86_result x86_check_stack_segment(struct x86_cpu *cpu,
					uint16_t selector, unsigned int cpl,
					uint8_t vector,
					struct x86_segment *ss)
{
	const uint16_t kind = X86_ATTR_S | X86_TYPE_CODE | X86_TYPE_WRITE;
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	enum x86_result r;

	if (x86_selector_null(selector))
		return x86_raise_error(cpu, vector, 0);
	r = x86_read_descriptor(cpu, selector, false, vector, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, ss);
	if ((selector & 3u) != cpl || x86_attr_dpl(ss->attr) != cpl ||
	    (ss->attr & kind) != (X86_ATTR_S | X86_TYPE_WRITE))
		return x86_raise_error(cpu, vector, error);
	if (!(ss->attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_SSF, error);
	return x86_mark_accessed(cpu, ss);
}

static enum x86_result load_stack(struct x86_cpu *cpu, uint16_t selector)
{
	struct x86_segment ss;
	enum x86_result r;

	if (x86_selector_null(selector) && cpu->mode & X86_MODE_CODE64 &&
	    cpu->cpl < 3 && (selector & 3u) == cpu->cpl) {
		ss = (struct x86_segment){
			.selector = selector,
			.attr = (uint16_t)(cpu->cpl << X86_ATTR_DPL_SHIFT),
		};
	} else {
		r = x86_check_stack_segment(cpu, selector, cpu->cpl, X86_GP,
					    &ss);
		if (r)
			return r;
	}
	cpu->state.seg[X86_SS] = ss;
	return X86_NEXT;
}

enum x86_result x86_load_segment(struct x86_cpu *cpu, unsigned int seg,
				 uint16_t selector)
{
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	struct x86_segment s;
	unsigned int dpl;
	enum x86_result r;

	if (!(cpu->mode & X86_MODE_PROT)) {
		x86_load_real_segment(cpu, seg, selector);
		return X86_NEXT;
	}
	if (seg == X86_SS)
		return load_stack(cpu, selector);
	if (x86_selector_null(selector)) {
		x86_null_segment(&cpu->state.seg[seg], selector);
		return X86_NEXT;
	}
	r = x86_read_descriptor(cpu, selector, false, X86_GP, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, &s);
	dpl = x86_attr_dpl(s.attr);
	if (!(s.attr & X86_ATTR_S) ||
	    (x86_attr_code(s.attr) && !(s.attr & X86_TYPE_WRITE)))
		return x86_raise_error(cpu, X86_GP, error);
	if (!(x86_attr_code(s.attr) && x86_attr_conforming(s.attr)) &&
	    ((selector & 3u) > dpl || cpu->cpl > dpl))
		return x86_raise_error(cpu, X86_GP, error);
	if (!(s.attr & X86_ATTR_P))
		return x86_raise_error(cpu, X86_NP, error);
	r = x86_mark_accessed(cpu, &s);
	if (!r)
		cpu->state.seg[seg] = s;
	return r;
}

enum x86_result x86_load_ldtr(struct x86_cpu *cpu, uint16_t selector,
			      uint8_t vector)
{
	bool wide = cpu->mode & X86_MODE_LONG;
	uint32_t error = selector & ~3u;
	struct x86_descriptor desc;
	struct x86_segment ldt;
	enum x86_result r;

	if (x86_selector_null(selector)) {
		x86_null_segment(&cpu->state.ldtr, selector);
		return X86_NEXT;
	}
	if (selector & 4)
		return x86_raise_error(cpu, vector, error);
	r = x86_read_descriptor(cpu, selector, wide, vector, 0, &desc);
	if (r)
		return r;
	x86_unpack_descriptor(&desc, selector, &ldt);
	if ((ldt.attr & (X86_ATTR_S | X86_ATTR_TYPE)) != X86_SYS_LDT)
		return x86_raise_error(cpu, vector, error);
	if (!(ldt.attr & X86_ATTR_P))
		return x86_raise_error(cpu, vector == X86_GP ? X86_NP : vector,
				       error);
	if (!x86_is_canonical(ldt.base))
		return x86_raise_error(cpu, vector, error);
	cpu->state.ldtr = ldt;
	return X86_NEXT;
}

enum x86_result x86_check_rip(struct x86_cpu *cpu,
			      const struct x86_segment *cs, uint64_t rip)
{
	bool inside;

	if (cpu->mode & X86_MODE_LONG && cs->attr & X86_ATTR_L)
		inside = x86_is_canonical(rip);
	else
		inside = rip <= cs->limit;
	return inside ? X86_NEXT : x86_raise_error(cpu, X86_GP, 0);
}
