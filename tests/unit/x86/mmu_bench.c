/* SPDX-License-Identifier: Apache-2.0 */
#include "mmu_bench.h"

struct bench bench;

static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	bench.mmio_at = offset;
	bench.mmio_size = size;
	return 0x1122334455667788u;
}

static void mmio_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	bench.mmio_at = offset;
	bench.mmio_size = size;
	bench.mmio_value = value;
}

static const struct bus_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
};

int setup(void **state)
{
	fake_host_reset();
	memset(&bench, 0, sizeof(bench));
	vm_init(&bench.vm, "mmu");
	bench.policy = (struct cpuid_policy){
		.physical_bits = 40,
		.nx = true,
		.page_1g = true,
		.smep = true,
		.smap = true,
	};
	if (memory_init(&bench.vm.memory, RAM_SIZE, ROM_SIZE) ||
	    memory_add(&bench.vm.memory, MEMORY_RAM, gpa(0), RAM_SIZE,
		       "ram") ||
	    memory_add(&bench.vm.memory, MEMORY_ROM, gpa(ROM_BASE), ROM_SIZE,
		       "rom") ||
	    bus_add(&bench.vm.mmio, MMIO_BASE, MMIO_SIZE, "device", &mmio_ops,
		    &bench))
		return -1;
	bench.cpu = x86_cpu_create(&bench.vm, 0, &bench.policy);
	return bench.cpu ? 0 : -1;
}

int teardown(void **state)
{
	x86_cpu_destroy(bench.cpu);
	vm_fini(&bench.vm);
	return fake_live() ? -1 : 0;
}

uint64_t peek(uint64_t at)
{
	uint64_t v;

	assert_int_equal(memory_read(&bench.vm.memory, gpa(at), &v, 8), 0);
	return v;
}

void poke(uint64_t at, uint64_t v)
{
	assert_int_equal(memory_write(&bench.vm.memory, gpa(at), &v, 8), 0);
}

void poke32(uint64_t at, uint32_t v)
{
	assert_int_equal(memory_write(&bench.vm.memory, gpa(at), &v, 4), 0);
}

struct x86_cpu *enter(uint64_t cr0, uint64_t cr4, uint64_t efer,
		      unsigned int cpl)
{
	struct x86_state *s = &bench.cpu->state;
	uint16_t dpl = (uint16_t)(cpl << X86_ATTR_DPL_SHIFT);

	for (unsigned int i = 0; i < 6; i++) {
		s->seg[i].base = 0;
		s->seg[i].limit = UINT32_MAX;
		s->seg[i].attr = X86_ATTR_P | X86_ATTR_S | X86_ATTR_DB |
				 X86_TYPE_WRITE | dpl;
	}
	s->seg[X86_CS].attr |= X86_TYPE_CODE;
	if (efer & X86_EFER_LMA) {
		s->seg[X86_CS].attr &= (uint16_t)~X86_ATTR_DB;
		s->seg[X86_CS].attr |= X86_ATTR_L;
	}
	s->cr0 = cr0 | X86_CR0_PE | X86_CR0_ET;
	s->cr3 = TOP;
	s->cr4 = cr4;
	s->efer = efer;
	s->rflags = X86_FLAG_1;
	x86_cpu_state_changed(bench.cpu);
	return bench.cpu;
}

struct x86_cpu *enter_long(unsigned int cpl, uint64_t cr4)
{
	return enter(X86_CR0_PG | X86_CR0_WP, X86_CR4_PAE | cr4,
		     X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE, cpl);
}

void map_long(uint64_t flags)
{
	poke(TOP, PDPT | P | W | U);
	poke(PDPT + 8, PD | P | W | U);
	poke(PD, PT | P | W | U);
	poke(PT, DATA | flags);
	poke(PT + 8, (DATA + 0x1000) | flags);
}

void map_pae(uint64_t flags)
{
	poke(TOP, 0);
	poke(TOP + 8, PD | P);
	poke(PD, PT | P | W | U);
	poke(PT, DATA | flags);
}

void map_narrow(uint32_t flags)
{
	poke32(TOP + (LINEAR >> 22) * 4, PT | P | W | U);
	poke32(PT, DATA | flags);
}

enum x86_result load(uint64_t linear, uint64_t *v)
{
	*v = 0;
	return x86_read(bench.cpu, linear, v, 8);
}

enum x86_result store(uint64_t linear, uint64_t v)
{
	return x86_write(bench.cpu, linear, &v, 8);
}

void assert_page_fault(enum x86_result r, uint64_t at, uint32_t error)
{
	assert_int_equal(r, X86_FAULT);
	assert_int_equal(bench.cpu->fault.vector, X86_PF);
	assert_true(bench.cpu->fault.has_error);
	assert_int_equal(bench.cpu->fault.error, error);
	assert_int_equal(bench.cpu->fault.address, at);
}

void assert_loads(uint64_t linear, uint64_t expected)
{
	uint64_t v;

	assert_int_equal(load(linear, &v), X86_NEXT);
	assert_int_equal(v, expected);
}

bool tlb_has(enum x86_tlb_access access, uint64_t linear)
{
	return x86_tlb_hit(x86_tlb_at(bench.cpu, linear, access)->tag, linear,
			   1);
}
