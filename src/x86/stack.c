/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks of far transfers and events. A frame within one page that the TLB
 * has is copied at once; others go element by element, probed first. Intel
 * SDM vol. 3, 5.8.5, 6.14, 7.2; AMD64 APM vol. 2, 8.9, 12.2.
 */
#include "x86/stack.h"

#include "x86/access.h"
#include "x86/segment.h"

void x86_stack_current(const struct x86_cpu *cpu, struct x86_stack *stack)
{
	stack->ss = cpu->state.seg[X86_SS];
	stack->sp = cpu->state.gpr[X86_RSP];
	stack->cpl = cpu->cpl;
	stack->error = 0;
	if (cpu->mode & X86_MODE_CODE64)
		stack->width = 8;
	else
		stack->width = stack->ss.attr & X86_ATTR_DB ? 4 : 2;
}

static uint64_t width_mask(const struct x86_stack *stack)
{
	return stack->width == 8 ? UINT64_MAX
				 : (1ull << stack->width * 8) - 1;
}

void x86_stack_move(struct x86_stack *stack, int64_t delta)
{
	uint64_t sp = stack->sp + (uint64_t)delta;

	if (stack->width == 2)
		stack->sp = (stack->sp & ~0xffffull) | (uint16_t)sp;
	else
		stack->sp = sp & width_mask(stack);
}

static enum x86_result stack_fault(struct x86_cpu *cpu,
				   const struct x86_stack *stack)
{
	return x86_raise_error(cpu, X86_SSF, stack->error);
}

/* Linear address of `size` bytes at `offset`, which do not wrap. */
static enum x86_result to_linear(struct x86_cpu *cpu,
				 const struct x86_stack *stack,
				 uint64_t offset, unsigned int size,
				 uint64_t *linear)
{
	if (stack->width == 8) {
		*linear = offset;
		if (x86_is_canonical(offset) &&
		    x86_is_canonical(offset + size - 1))
			return X86_NEXT;
		return stack_fault(cpu, stack);
	}
	if (!(stack->ss.attr & X86_ATTR_P) ||
	    !x86_segment_reaches(&stack->ss, offset, size))
		return stack_fault(cpu, stack);
	*linear = (uint32_t)(stack->ss.base + offset);
	return X86_NEXT;
}

/*
 * Inner and 64-bit stacks are written before the processor enters their
 * privilege or mode, so as the system that they belong to.
 */
static bool is_inner(const struct x86_cpu *cpu, const struct x86_stack *stack)
{
	return (cpu->cpl == 3 && stack->cpl != 3) ||
	       (stack->width == 8 && !(cpu->mode & X86_MODE_CODE64));
}

static enum x86_result write_stack(struct x86_cpu *cpu,
				   const struct x86_stack *stack,
				   uint64_t linear, const void *buf,
				   unsigned int size)
{
	if (is_inner(cpu, stack))
		return x86_write_system(cpu, linear, buf, size);
	return x86_write(cpu, linear, buf, size);
}

/* The frame's host address, where the TLB has it for this access. */
static uint8_t *frame_host(struct x86_cpu *cpu, const struct x86_stack *stack,
			   uint64_t linear, unsigned int bytes, bool write)
{
	const struct x86_tlb *tlb = is_inner(cpu, stack)
					    ? &cpu->tlbs[X86_TLB_SUPER]
					    : cpu->tlb;
	const struct x86_tlb_entry *e =
		&tlb->table[write ? X86_TLB_WRITE : X86_TLB_READ]
			 .entry[x86_tlb_index(linear)];

	if (!x86_tlb_hit(e->tag, linear, bytes) ||
	    cpu->mode & X86_MODE_AC)
		return NULL;
	return (uint8_t *)(e->addend + linear);
}

/* Lays out a frame in memory order: the last value is the lowest. */
static void pack(uint8_t *frame, const uint64_t *value, unsigned int count,
		 unsigned int size)
{
	if (size == 8) {
		for (unsigned int i = 0; i < count; i++)
			memcpy(frame + (count - 1 - i) * 8, &value[i], 8);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		memcpy(frame + (count - 1 - i) * size, &value[i], size);
}

static void unpack(uint64_t *value, const uint8_t *frame, unsigned int count,
		   unsigned int size)
{
	if (size == 8) {
		for (unsigned int i = 0; i < count; i++)
			memcpy(&value[i], frame + i * 8, 8);
		return;
	}
	for (unsigned int i = 0; i < count; i++) {
		value[i] = 0;
		memcpy(&value[i], frame + i * size, size);
	}
}

static enum x86_result push_each(struct x86_cpu *cpu, struct x86_stack *stack,
				 const uint64_t *value, unsigned int count,
				 unsigned int size)
{
	enum x86_access access = is_inner(cpu, stack)
					 ? X86_WRITE | X86_SYSTEM
					 : X86_WRITE;
	struct x86_stack probe = *stack;
	enum x86_result r;
	uint64_t linear;

	for (unsigned int i = 0; i < count; i++) {
		x86_stack_move(&probe, -(int64_t)size);
		r = to_linear(cpu, &probe, probe.sp & width_mask(&probe), size,
			      &linear);
		if (!r)
			r = x86_probe(cpu, linear, size, access);
		if (r)
			return r;
	}
	for (unsigned int i = 0; i < count; i++) {
		x86_stack_move(stack, -(int64_t)size);
		r = to_linear(cpu, stack, stack->sp & width_mask(stack), size,
			      &linear);
		if (!r)
			r = write_stack(cpu, stack, linear, &value[i], size);
		if (r)
			return r;
	}
	return X86_NEXT;
}

enum x86_result x86_stack_push(struct x86_cpu *cpu, struct x86_stack *stack,
			       const uint64_t *value, unsigned int count,
			       unsigned int size)
{
	unsigned int bytes = count * size;
	uint64_t mask = width_mask(stack);
	uint64_t offset = (stack->sp - bytes) & mask;
	enum x86_result r;
	uint64_t linear;
	uint8_t *host;

	if (offset > mask - (bytes - 1))
		return push_each(cpu, stack, value, count, size);
	r = to_linear(cpu, stack, offset, bytes, &linear);
	if (r)
		return r;
	host = frame_host(cpu, stack, linear, bytes, true);
	/* Element by element CR2 is right, too. */
	if (!host)
		return push_each(cpu, stack, value, count, size);
	pack(host, value, count, size);
	x86_stack_move(stack, -(int64_t)bytes);
	return X86_NEXT;
}

static enum x86_result pop_each(struct x86_cpu *cpu, struct x86_stack *stack,
				uint64_t *value, unsigned int count,
				unsigned int size)
{
	enum x86_result r;
	uint64_t linear;

	for (unsigned int i = 0; i < count; i++) {
		value[i] = 0;
		r = to_linear(cpu, stack, stack->sp & width_mask(stack), size,
			      &linear);
		if (!r)
			r = x86_read(cpu, linear, &value[i], size);
		if (r)
			return r;
		x86_stack_move(stack, size);
	}
	return X86_NEXT;
}

enum x86_result x86_stack_pop(struct x86_cpu *cpu, struct x86_stack *stack,
			      uint64_t *value, unsigned int count,
			      unsigned int size)
{
	unsigned int bytes = count * size;
	uint64_t mask = width_mask(stack);
	uint64_t offset = stack->sp & mask;
	enum x86_result r;
	uint64_t linear;
	uint8_t *host;

	if (offset > mask - (bytes - 1))
		return pop_each(cpu, stack, value, count, size);
	r = to_linear(cpu, stack, offset, bytes, &linear);
	if (r)
		return r;
	host = frame_host(cpu, stack, linear, bytes, false);
	if (!host)
		return pop_each(cpu, stack, value, count, size);
	unpack(value, host, count, size);
	x86_stack_move(stack, bytes);
	return X86_NEXT;
}

/* Reads a field of the current TSS; #TS(TR) when it ends before. */
static enum x86_result read_tss(struct x86_cpu *cpu, unsigned int offset,
				void *buf, unsigned int size)
{
	const struct x86_segment *tr = &cpu->state.tr;

	if (!(tr->attr & X86_ATTR_P) || offset + size - 1 > tr->limit)
		return x86_raise_error(cpu, X86_TS, tr->selector & ~3u);
	return x86_read_table(cpu, tr->base + offset, buf, size);
}

enum x86_result x86_stack_ist(struct x86_cpu *cpu, unsigned int ist,
			      uint64_t *sp)
{
	return read_tss(cpu, 0x24 + (ist - 1) * 8, sp, 8);
}

enum x86_result x86_stack_inner(struct x86_cpu *cpu, unsigned int cpl,
				struct x86_stack *stack)
{
	bool wide = cpu->state.tr.attr & 8; /* 32-bit TSS, or 64-bit */
	enum x86_result r;
	uint32_t esp = 0;
	uint16_t ss;

	stack->cpl = (uint8_t)cpl;
	stack->error = 0;
	if (cpu->mode & X86_MODE_LONG) {
		stack->width = 8;
		stack->ss = (struct x86_segment){
			.selector = (uint16_t)cpl,
			.attr = (uint16_t)(cpl << X86_ATTR_DPL_SHIFT),
		};
		return read_tss(cpu, 4 + cpl * 8, &stack->sp, 8);
	}
	if (wide) {
		r = read_tss(cpu, 8 + cpl * 8, &ss, 2);
		if (!r)
			r = read_tss(cpu, 4 + cpl * 8, &esp, 4);
	} else {
		r = read_tss(cpu, 4 + cpl * 4, &ss, 2);
		if (!r)
			r = read_tss(cpu, 2 + cpl * 4, &esp, 2);
	}
	if (!r)
		r = x86_check_stack_segment(cpu, ss, cpl, X86_TS, &stack->ss);
	if (r)
		return r;
	stack->sp = esp;
	stack->width = stack->ss.attr & X86_ATTR_DB ? 4 : 2;
	stack->error = ss & 0xfffc;
	return X86_NEXT;
}
