/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment descriptors, their loading and stack helpers shared by far
 * transfers, interrupts and task switches. Intel SDM vol. 3, chapters 3, 5,
 * 7; AMD64 APM vol. 2, chapters 4, 12.
 */
#ifndef LODGE_X86_SEGMENT_H
#define LODGE_X86_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/bytes.h"

#include "x86/access.h"
#include "x86/cpu.h"

/* Types of system descriptors (S = 0). */
enum x86_system_type {
	X86_SYS_TSS16 = 1,
	X86_SYS_LDT = 2,
	X86_SYS_TSS16_BUSY = 3,
	X86_SYS_CALL16 = 4,
	X86_SYS_TASK = 5,
	X86_SYS_INT16 = 6,
	X86_SYS_TRAP16 = 7,
	X86_SYS_TSS32 = 9, /* also the 64-bit one */
	X86_SYS_TSS32_BUSY = 11,
	X86_SYS_CALL32 = 12,
	X86_SYS_INT32 = 14,
	X86_SYS_TRAP32 = 15,
};

#define X86_TSS_BUSY 0x2 /* in the type of a TSS descriptor */

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

/* The same of a code segment, unpacked; a null selector raises #GP(0). */
enum x86_result x86_read_code(struct x86_cpu *cpu, uint16_t selector,
			      struct x86_segment *cs);

/* The memory operand m16:16, m16:32 or m16:64; #UD for a register. */
enum x86_result x86_read_far_pointer(struct x86_cpu *cpu,
				     const struct x86_insn *insn,
				     uint16_t *selector, uint64_t *offset);

/* Unpacks base, limit, attributes. */
void x86_unpack_descriptor(const struct x86_descriptor *desc,
			   uint16_t selector, struct x86_segment *seg);

static inline bool x86_selector_null(uint16_t selector)
{
	return !(selector & ~3u);
}

static inline unsigned int x86_attr_dpl(uint16_t attr)
{
	return (attr & X86_ATTR_DPL) >> X86_ATTR_DPL_SHIFT;
}

static inline bool x86_attr_code(uint16_t attr)
{
	const unsigned int code = X86_ATTR_S | X86_TYPE_CODE;

	return (attr & code) == code;
}

/* Of a code segment: runs at its caller's privilege. */
static inline bool x86_attr_conforming(uint16_t attr)
{
	return attr & X86_TYPE_EXPAND;
}

static inline uint16_t x86_descriptor_attr(const struct x86_descriptor *desc)
{
	return (uint16_t)((desc->low >> 40 & 0xff) |
			  (desc->low >> 52 & 0xf) << 8);
}

/* Bits 63..47 alike: 48-bit linear addresses. */
static inline bool x86_is_canonical(uint64_t linear)
{
	return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/*
 * Reads a system structure (GDT, IDT, TSS ...), as x86_read_system() does,
 * through the supervisor's TLB where it has the page.
 */
static inline enum x86_result x86_read_table(struct x86_cpu *cpu,
					     uint64_t linear, void *buf,
					     unsigned int size)
{
	const struct x86_tlb_entry *e =
		&cpu->tlbs[X86_TLB_SUPER]
			 .table[X86_TLB_READ]
			 .entry[x86_tlb_index(linear)];

	if (x86_tlb_hit(e->tag, linear, size)) {
		memcpy(buf, (const void *)(e->addend + linear), size);
		return X86_NEXT;
	}
	return x86_read_system(cpu, linear, buf, size);
}

/* True when `size` bytes at offset `ea` lie within the segment's limit. */
bool x86_segment_reaches(const struct x86_segment *seg, uint64_t ea,
			 unsigned int size);

/* Makes `seg` unusable; FS and GS lose their base too. */
void x86_null_segment(struct x86_segment *seg, uint16_t selector);

/*
 * Finds where the descriptor of `selector` stands; false when outside its
 * table. Raises nothing, reads nothing.
 */
bool x86_find_descriptor(const struct x86_cpu *cpu, uint16_t selector,
			 bool wide, uint64_t *linear);

/* Sets the accessed bit of a code or data segment, in its table too. */
enum x86_result x86_mark_accessed(struct x86_cpu *cpu,
				  struct x86_segment *seg);

/* Sets or clears the busy bit in the GDT of TSS `selector`. */
enum x86_result x86_mark_busy(struct x86_cpu *cpu, uint16_t selector,
			      bool busy);

/*
 * Checks that `selector` may be SS at privilege `cpl` and unpacks it into
 * *ss, marked accessed; else raises #SS (not present), or `vector`.
 */
enum x86_result x86_check_stack_segment(struct x86_cpu *cpu,
					uint16_t selector, unsigned int cpl,
					uint8_t vector,
					struct x86_segment *ss);

/* Loads LDTR with all checks; `vector` for a bad selector or type. */
enum x86_result x86_load_ldtr(struct x86_cpu *cpu, uint16_t selector,
			      uint8_t vector);

/* #GP(0) unless `rip` lies in the code segment `cs`, or is canonical. */
enum x86_result x86_check_rip(struct x86_cpu *cpu,
			      const struct x86_segment *cs, uint64_t rip);

/*
 * Task switch, for JMP/CALL/IRET/INT through TSS or task gate. The caller has
 * checked privileges; cpu->next_rip is what the old task resumes at and
 * becomes where the new one starts. A fault of the new task (SDM vol. 3, 7.3)
 * is left pending in the state, for x86_take_events() to deliver.
 */
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
