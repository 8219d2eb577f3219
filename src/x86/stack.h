/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks of far transfers and events. A copy of SS and the stack pointer is
 * pushed to or popped from; the processor's own registers change only when
 * the caller commits, so that a fault half-way leaves nothing changed.
 */
#ifndef LODGE_X86_STACK_H
#define LODGE_X86_STACK_H

#include "x86/cpu.h"

struct x86_stack {
	struct x86_segment ss;
	uint64_t sp;	/* the whole register */
	uint8_t width;	/* bytes of it that address the stack: 2, 4, 8 */
	uint8_t cpl;	/* whose accesses these are */
	uint16_t error; /* error code of #SS at the limit */
};

/* The stack in use. */
void x86_stack_current(const struct x86_cpu *cpu, struct x86_stack *stack);

/*
 * The stack that the TSS holds for privilege `cpl`, checked; in long mode
 * with SS null. #TS or #SS otherwise.
 */
enum x86_result x86_stack_inner(struct x86_cpu *cpu, unsigned int cpl,
				struct x86_stack *stack);

/* Long mode: entry `ist` (1 .. 7) of the interrupt stack table. */
enum x86_result x86_stack_ist(struct x86_cpu *cpu, unsigned int ist,
			      uint64_t *sp);

/* Moves the stack pointer by `delta` bytes, wrapping at its width. */
void x86_stack_move(struct x86_stack *stack, int64_t delta);

/*
 * Pushes value[0], value[1] ... of `size` bytes each: all or, with X86_FAULT,
 * none.
 */
enum x86_result x86_stack_push(struct x86_cpu *cpu, struct x86_stack *stack,
			       const uint64_t *value, unsigned int count,
			       unsigned int size);

/* Pops `count` values, zero-extended. */
enum x86_result x86_stack_pop(struct x86_cpu *cpu, struct x86_stack *stack,
			      uint64_t *value, unsigned int count,
			      unsigned int size);

#endif
