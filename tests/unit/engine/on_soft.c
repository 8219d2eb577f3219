/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one instruction on the software CPU: 64-bit code at CPL 3 in a small
 * VM whose page tables map the data window and nothing else.
 */
#include "compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/soft/native.h"
#include "vm/vm.h"
#include "x86/cpu.h"
#include "x86/flags.h"
#include "x86/insn.h"

#define RAM_SIZE  0x100000u
#define TABLES	  0x1000u /* one page for each level */
#define DATA_AT	  0x10000u
#define PAGE_USER 0x67u /* present, writable, user, accessed, dirty */
#define CODE_RIP  0x400000u

static struct vm vm;
static struct cpuid_policy policy;
static struct x86_cpu *cpu;

static void store64(uint64_t address, uint64_t value)
{
	if (memory_write(&vm.memory, gpa(address), &value, sizeof(value)))
		abort();
}

static void make_tables(void)
{
	const unsigned int index[4] = {
		DATA_BASE >> 12 & 511,
		DATA_BASE >> 21 & 511,
		DATA_BASE >> 30 & 511,
		0,
	};
	unsigned int level, i;

	for (level = 3; level > 0; level--)
		store64(TABLES + 0x1000u * level + 8u * index[level],
			(TABLES + 0x1000u * (level - 1)) | PAGE_USER);
	for (i = 0; i < DATA_SIZE / PAGE_SIZE; i++)
		store64(TABLES + 8u * (index[0] + i),
			(DATA_AT + PAGE_SIZE * i) | PAGE_USER);
}

static struct x86_segment flat_segment(uint16_t selector, uint16_t type,
				       uint16_t size)
{
	return (struct x86_segment){
		.limit = UINT32_MAX,
		.selector = selector,
		.attr = type | size | X86_ATTR_S | X86_ATTR_P | X86_ATTR_G |
			3 << X86_ATTR_DPL_SHIFT,
	};
}

static void enter_long_mode(void)
{
	struct x86_state *s = &cpu->state;
	unsigned int i;

	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_NE | X86_CR0_WP |
		 X86_CR0_PG | X86_CR0_ET;
	s->cr3 = TABLES + 0x3000;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
		 X86_CR4_OSXSAVE;
	s->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	s->xcr0 = policy.xcr0;
	for (i = 0; i < 6; i++)
		s->seg[i] = flat_segment(0x2b, 3, X86_ATTR_DB);
	s->seg[X86_CS] = flat_segment(0x33, 0xb, X86_ATTR_L);
	x86_cpu_state_changed(cpu);
}

void on_soft_open(void)
{
	vm_init(&vm, "compare");
	if (memory_init(&vm.memory, RAM_SIZE, 0) ||
	    memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM_SIZE, "ram"))
		abort();
	cpuid_policy_init(&policy, 1, 1 << 20);
	cpu = x86_cpu_create(&vm, 0, &policy);
	if (!cpu || native_open(cpu))
		abort();
	make_tables();
	enter_long_mode();
}

void on_soft_close(void)
{
	native_close(cpu);
	x86_cpu_destroy(cpu);
	vm_fini(&vm);
}

static void load(const struct machine *in)
{
	struct x86_state *s = &cpu->state;

	memcpy(s->gpr, in->gpr, sizeof(s->gpr));
	s->rip = CODE_RIP;
	s->rflags = in->flags | X86_FLAG_1 | X86_FLAG_IF;
	cpu->lazy_bits = 0;
	memcpy(s->xsave, in->xsave, 416);
	memcpy(s->xsave + X86_XSAVE_YMM, in->xsave + X86_XSAVE_YMM,
	       X86_XSAVE_PKRU - X86_XSAVE_YMM);
	cpu->upper = policy.avx512;
	memory_load(&vm.memory, gpa(DATA_AT), in->data, DATA_SIZE);
	cpu->block_rip = CODE_RIP;
	memset(&cpu->fault, 0, sizeof(cpu->fault));
}

static void unload(struct machine *out, enum x86_result r)
{
	const struct x86_state *s = &cpu->state;

	memset(out, 0, sizeof(*out));
	memcpy(out->gpr, s->gpr, sizeof(out->gpr));
	out->flags = x86_flags(cpu);
	memcpy(out->xsave, s->xsave, 416);
	memcpy(out->xsave + X86_XSAVE_YMM, s->xsave + X86_XSAVE_YMM,
	       X86_XSAVE_PKRU - X86_XSAVE_YMM);
	out->vector = r == X86_FAULT ? cpu->fault.vector : NO_VECTOR;
	if (memory_read(&vm.memory, gpa(DATA_AT), out->data, DATA_SIZE))
		abort();
}

void on_soft_run(const struct sample *s, const struct machine *in,
		 struct machine *out)
{
	enum x86_result r = X86_FAULT;
	struct x86_insn insn;

	load(in);
	if (x86_decode(&insn, s->bytes, s->length, cpu->mode) ==
	    (int)s->length) {
		x86_bind(cpu, &insn);
		do {
			r = insn.handler(cpu, &insn);
		} while (r == X86_BRANCH && cpu->state.rip == CODE_RIP);
	} else {
		cpu->fault.vector = X86_UD;
	}
	unload(out, r);
}
