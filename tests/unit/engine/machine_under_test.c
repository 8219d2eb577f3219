/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See machine_under_test.h.
 */
#include "machine_under_test.h"

#include <stdlib.h>
#include <string.h>

#include "engine/soft/native.h"
#include "x86/flags.h"
#include "x86/insn.h"

#define TABLES 0x3000u

struct whole {
	struct vm vm;
	struct cpuid_policy policy;
	struct x86_cpu *cpu;
};

int test_cpu_open(void **state)
{
	struct whole *w = calloc(1, sizeof(*w));
	const uint64_t tables[] = { TABLES + 0x1007, TABLES + 0x2007, 0x87 };
	unsigned int i;

	if (!w)
		return -1;
	vm_init(&w->vm, "test");
	if (memory_init(&w->vm.memory, TEST_RAM, 0) ||
	    memory_add(&w->vm.memory, MEMORY_RAM, gpa(0), TEST_RAM, "ram"))
		return -1;
	cpuid_policy_init(&w->policy, 1, 1 << 20);
	w->cpu = x86_cpu_create(&w->vm, 0, &w->policy);
	if (!w->cpu || native_open(w->cpu))
		return -1;
	for (i = 0; i < 3; i++)
		memory_load(&w->vm.memory, gpa(TABLES + 0x1000u * i),
			    &tables[i], 8);
	test_cpu_mode(w->cpu, TEST_LONG);
	*state = w->cpu;
	return 0;
}

int test_cpu_close(void **state)
{
	struct x86_cpu *cpu = *state;
	struct vm *vm = cpu->vm;

	native_close(cpu);
	x86_cpu_destroy(cpu);
	vm_fini(vm);
	free(vm); /* the first member of struct whole */
	return 0;
}

void test_cpu_mode(struct x86_cpu *cpu, enum test_mode mode)
{
	struct x86_state *s = &cpu->state;
	const uint16_t attr =
		X86_ATTR_S | X86_ATTR_P | X86_TYPE_WRITE | X86_TYPE_ACCESSED;
	unsigned int i;

	x86_cpu_reset(cpu);
	s->cr0 = X86_CR0_ET | X86_CR0_NE | X86_CR0_MP;
	s->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_PAE;
	s->xcr0 = X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX;
	if (mode != TEST_REAL)
		s->cr0 |= X86_CR0_PE;
	if (mode == TEST_LONG) {
		s->cr0 |= X86_CR0_PG;
		s->cr3 = TABLES;
		s->efer = X86_EFER_LME | X86_EFER_LMA;
	}
	for (i = 0; i < 6; i++)
		s->seg[i] = (struct x86_segment){
			.limit = mode == TEST_REAL ? 0xffff : UINT32_MAX,
			.attr = attr,
		};
	/* 16-bit addresses reach the data through the segment's base. */
	if (mode == TEST_PROT16 || mode == TEST_REAL)
		s->seg[X86_DS].base = TEST_DATA;
	if (mode != TEST_REAL)
		s->seg[X86_CS].attr |= X86_TYPE_CODE;
	if (mode == TEST_LONG)
		s->seg[X86_CS].attr |= X86_ATTR_L;
	if (mode == TEST_PROT32)
		s->seg[X86_CS].attr |= X86_ATTR_DB;
	s->rip = TEST_CODE;
	s->gpr[X86_RBX] = s->seg[X86_DS].base ? 0 : TEST_DATA;
	x86_cpu_state_changed(cpu);
	memset(test_data(cpu), 0, PAGE_SIZE);
}

uint8_t *test_data(struct x86_cpu *cpu)
{
	return memory_for_write(&cpu->vm->memory, gpa(TEST_DATA), PAGE_SIZE);
}

int test_run(struct x86_cpu *cpu, const uint8_t *bytes, unsigned int size)
{
	struct x86_insn insn;
	enum x86_result r;

	x86_update_mode(cpu);
	cpu->state.rip = cpu->block_rip = TEST_CODE;
	if (x86_decode(&insn, bytes, size, cpu->mode) != (int)size)
		return X86_UD;
	x86_bind(cpu, &insn);
	r = insn.handler(cpu, &insn);
	x86_flags(cpu);
	return r == X86_FAULT ? cpu->fault.vector : -1;
}
