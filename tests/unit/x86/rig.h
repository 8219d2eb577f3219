/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor on a test bench: a VM with 1 MiB of memory, descriptor tables
 * built in it, and ways into each mode. Handlers are called as x86_run_slow()
 * calls them.
 */
#ifndef LODGE_TEST_X86_RIG_H
#define LODGE_TEST_X86_RIG_H

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "x86/access.h"
#include "x86/event.h"
#include "x86/handlers.h"
#include "x86/reg.h"
#include "x86/segment.h"

/* Where things stand in guest memory. */
#define RIG_GDT	   0x1000u
#define RIG_IDT	   0x2000u
#define RIG_LDT	   0x3000u
#define RIG_TSS	   0x4000u
#define RIG_TSS2   0x5000u
#define RIG_STACK0 0x9000u /* tops of the stacks of each privilege */
#define RIG_STACK1 0xa000u
#define RIG_STACK3 0xb000u
#define RIG_IST1   0xc000u
#define RIG_CODE   0x6000u
#define RIG_HANDLER 0x7000u
#define RIG_TABLES 0x10000u /* page tables of long mode */
#define RIG_RAM	   0x100000u

/* Selectors; user ones without their RPL of 3. */
enum rig_selector {
	RIG_CODE32 = 0x08,
	RIG_DATA32 = 0x10,
	RIG_USER_CODE32 = 0x18,
	RIG_USER_DATA32 = 0x20,
	RIG_CODE16 = 0x28,
	RIG_DATA16 = 0x30,
	RIG_CONFORMING = 0x38,
	RIG_CODE1 = 0x40, /* DPL 1 */
	RIG_DATA1 = 0x48,
	RIG_CODE64 = 0x50,
	RIG_USER_CODE64 = 0x58,
	RIG_TSS_SEL = 0x60,  /* 16 bytes in long mode */
	RIG_TSS2_SEL = 0x70,
	RIG_LDT_SEL = 0x80,  /* 16 bytes */
	RIG_GATE_SEL = 0x90, /* 16 bytes */
	RIG_ABSENT = 0xa0,   /* data, not present */
	RIG_DOWN = 0xa8,     /* expand-down data above 0xfff */
	RIG_EXEC_ONLY = 0xb0,
	RIG_READ_ONLY = 0xb8,
	RIG_GDT_END = 0xc0,
};

struct rig {
	struct vm vm;
	struct x86_cpu *cpu;
};

int rig_setup(void **state);
int rig_teardown(void **state);

/* The modes; each starts from a reset processor. rip is RIG_CODE. */
struct x86_cpu *rig_real(void **state);
struct x86_cpu *rig_protected(void **state, unsigned int cpl);
struct x86_cpu *rig_vm86(void **state, unsigned int iopl);
struct x86_cpu *rig_long(void **state, unsigned int cpl);
struct x86_cpu *rig_compat(void **state, unsigned int cpl);

/* Guest memory. */
uint64_t rig_peek(struct x86_cpu *cpu, uint64_t at, unsigned int size);
void rig_poke(struct x86_cpu *cpu, uint64_t at, uint64_t v, unsigned int size);

/* Descriptors: code, data and system; limit in bytes. */
uint64_t rig_descriptor(uint32_t base, uint32_t limit, unsigned int attr);
void rig_set_gdt(struct x86_cpu *cpu, unsigned int selector, uint64_t desc);
void rig_gate(struct x86_cpu *cpu, uint64_t at, unsigned int type,
	      unsigned int dpl, uint16_t selector, uint64_t offset,
	      unsigned int extra);
/* Puts a gate of the mode's size into the IDT. */
void rig_idt(struct x86_cpu *cpu, unsigned int vector, unsigned int type,
	     unsigned int dpl, uint16_t selector, uint64_t offset,
	     unsigned int ist);

/* Calls a slow handler; on success rip is where it goes. */
enum x86_result rig_run(struct x86_cpu *cpu, x86_handler *slow,
			const struct x86_insn *insn);

/* Checks that the last result was this fault and changed nothing. */
#define assert_fault(cpu, result, vec, err)                             \
	do {                                                            \
		assert_int_equal(result, X86_FAULT);                    \
		assert_int_equal((cpu)->fault.vector, vec);             \
		assert_int_equal((cpu)->fault.error, err);              \
	} while (0)

/* As assert_fault(), for a handler run by rig_run() inside `expr`. */
#define assert_faults(cpu, expr, vec, err)                              \
	do {                                                            \
		struct x86_state before_ = (cpu)->state;                \
		enum x86_result result_ = (expr);                       \
		assert_fault(cpu, result_, vec, err);                   \
		before_.rip = (cpu)->state.rip;                         \
		assert_memory_equal(&before_, &(cpu)->state,            \
				    sizeof(before_));                   \
	} while (0)

#endif
