/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment descriptors, their loading and stack helpers shared by far
 * transfers, interrupts and task switches. Intel SDM vol. 3, chapters 3, 5,
 * 7; AMD64 APM vol. 2, chapters 4, 12.
 */
#ifndef LODGE_X86_SEGMENT_H
#define LODGE_X86_SEGMENT_H

#include "x86/cpu.h"

struct x86_descriptor {
	uint64_t low;  /* the eight bytes of the table */
	uint64_t high; /* upper eight of 16-byte system descriptors */
};

/* Loads a real-mode or virtual-8086 segment. */
void x86_load_real_segment(struct x86_cpu *cpu, unsigned int seg,
			   uint16_t selector);

/* MOV/POP/Lxx to a data or stack segment register with all checks. */
enum x86_result x86_load_segment(struct x86_cpu *cpu, unsigned int seg,
				 uint16_t selector);

/*
 * Reads the descriptor that `selector` names (GDT or LDT); `wide` reads 16
 * bytes. Raises `vector`(selector & ~3 | `ext`) when outside the table.
 */
enum x86_result x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector,
				    bool wide, uint8_t vector, uint8_t ext,
				    struct x86_descriptor *desc);

/* Unpacks base, limit, attributes. */
void x86_unpack_descriptor(const struct x86_descriptor *desc,
			   uint16_t selector, struct x86_segment *seg);

/* Task switch, for JMP/CALL/IRET/INT through TSS or task gate. */
enum x86_task_source {
	X86_TASK_JUMP,
	X86_TASK_CALL,
	X86_TASK_INT,
	X86_TASK_IRET,
};

enum x86_result x86_task_switch(struct x86_cpu *cpu, uint16_t selector,
				enum x86_task_source source, bool has_error,
				uint32_t error);

#endif
