/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where accesses go, over page tables of every mode: memory, MMIO, ROM, the
 * xAPIC's page; A and D bits, operands over two pages, data breakpoints.
 */
#include "mmu_bench.h"

/* --- without paging ------------------------------------------------------- */

static void unpaged_memory(void **state)
{
	enter(0, 0, 0, 0);
	assert_int_equal(store(0x1234, 0xabcdef), X86_NEXT);
	assert_int_equal(peek(0x1234), 0xabcdef);
	assert_loads(0x1234, 0xabcdef);
	/* Straddling pages. */
	assert_int_equal(store(0x2ffc, 0x1234567890), X86_NEXT);
	assert_loads(0x2ffc, 0x1234567890);
	/* Linear addresses wrap at 4 GiB. */
	assert_loads(0x100001234, 0xabcdef);
}

static void absent_memory_reads_ones(void **state)
{
	enter(0, 0, 0, 0);
	assert_loads(0xe0000000, UINT64_MAX);
	assert_int_equal(store(0xe0000000, 1), X86_NEXT);
}

static void rom_drops_writes(void **state)
{
	const uint64_t v = 0x5a5a;

	enter(0, 0, 0, 0);
	assert_int_equal(memory_load(&bench.vm.memory, gpa(ROM_BASE), &v, 8),
			 0);
	assert_loads(ROM_BASE, 0x5a5a);
	assert_int_equal(store(ROM_BASE, 1), X86_NEXT);
	assert_int_equal(store(ROM_BASE, 1), X86_NEXT);
	assert_loads(ROM_BASE, 0x5a5a);
}

static void mmio_goes_to_the_bus(void **state)
{
	struct x86_cpu *cpu = enter(0, 0, 0, 0);
	uint8_t wide[16];
	uint32_t v = 0;

	assert_loads(MMIO_BASE + 8, 0x1122334455667788);
	assert_int_equal(bench.mmio_at, 8);
	assert_int_equal(bench.mmio_size, 8);
	assert_int_equal(x86_read(cpu, MMIO_BASE + 4, &v, 2), X86_NEXT);
	assert_int_equal(v, 0x7788);
	v = 0xcafe;
	assert_int_equal(x86_write(cpu, MMIO_BASE + 12, &v, 4), X86_NEXT);
	assert_int_equal(bench.mmio_at, 12);
	assert_int_equal(bench.mmio_size, 4);
	assert_int_equal(bench.mmio_value, 0xcafe);
	assert_int_equal(x86_read(cpu, MMIO_BASE, wide, 16), X86_NEXT);
	assert_int_equal(bench.mmio_at, 8);
	assert_int_equal(cpu->stat_mmio, 5);
}

static uint32_t apic_read(void *apic, uint32_t offset)
{
	return offset | 0xa0000000u;
}

static void apic_write(void *apic, uint32_t offset, uint32_t value)
{
	bench.apic_offset = offset;
	bench.apic_value = value;
}

static void apic_set_base(void *apic, uint64_t base)
{
}

static const struct x86_apic_ops apic_ops = {
	.read = apic_read,
	.write = apic_write,
	.set_base = apic_set_base,
};

static void apic_page_goes_to_the_apic(void **state)
{
	struct x86_cpu *cpu = enter(0, 0, 0, 0);
	const uint32_t out = 77;
	uint32_t v = 0;

	cpu->apic.ops = &apic_ops;
	assert_int_equal(x86_read(cpu, X86_APIC_ADDRESS + 0x20, &v, 4),
			 X86_NEXT);
	assert_int_equal(v, 0xa0000020);
	assert_int_equal(x86_write(cpu, X86_APIC_ADDRESS + 0xb0, &out, 4),
			 X86_NEXT);
	assert_int_equal(bench.apic_offset, 0xb0);
	assert_int_equal(bench.apic_value, 77);
	/* Narrow writes do nothing. */
	assert_int_equal(x86_write(cpu, X86_APIC_ADDRESS + 0x80, &out, 1),
			 X86_NEXT);
	assert_int_equal(bench.apic_offset, 0xb0);
	/* x2APIC mode: the page is gone. */
	cpu->state.apic_base |= X86_APIC_BASE_X2APIC;
	assert_int_equal(x86_read(cpu, X86_APIC_ADDRESS + 0x20, &v, 4),
			 X86_NEXT);
	assert_int_equal(v, UINT32_MAX);
}

/* --- translation ---------------------------------------------------------- */

static void assert_translates(uint64_t linear, uint64_t expected)
{
	gpa_t at;

	assert_int_equal(x86_fetch_translate(bench.cpu, linear, &at),
			 X86_NEXT);
	assert_int_equal(at.v, expected);
	/* Again, from the TLB. */
	assert_int_equal(x86_fetch_translate(bench.cpu, linear, &at),
			 X86_NEXT);
	assert_int_equal(at.v, expected);
	assert_true(x86_translate(bench.cpu, gva(linear), &at));
	assert_int_equal(at.v, expected);
}

static void narrow_pages(void **state)
{
	struct x86_cpu *cpu = enter(X86_CR0_PG, 0, 0, 0);

	map_narrow(P | W);
	assert_translates(LINEAR + 0x123, DATA + 0x123);
	/* Without PSE the bit is ignored. */
	poke32(TOP + (LINEAR >> 22) * 4, PT | P | W | PS);
	x86_tlb_flush(cpu);
	assert_translates(LINEAR + 0x123, DATA + 0x123);
	/* 4 MiB, address bit 33 by PSE-36. */
	enter(X86_CR0_PG, X86_CR4_PSE, 0, 0);
	poke32(TOP + (LINEAR >> 22) * 4, 0x00400000 | 2 << 13 | P | W | PS);
	assert_translates(LINEAR + 0x345678, 0x200745678);
}

static void pae_pages(void **state)
{
	map_pae(P | W);
	enter(X86_CR0_PG, X86_CR4_PAE, 0, 0);
	assert_translates(LINEAR + 0x123, DATA + 0x123);
	poke(PD, 0x8000200000 | P | PS);
	enter(X86_CR0_PG, X86_CR4_PAE, 0, 0);
	assert_translates(LINEAR + 0x123456, 0x8000323456);
}

static void long_pages(void **state)
{
	struct x86_cpu *cpu = enter_long(0, 0);

	map_long(P | W);
	assert_translates(LINEAR + 0x123, DATA + 0x123);
	poke(PD, 0x8000200000 | P | PS | 0x1000 /* PAT */);
	x86_tlb_flush(cpu);
	assert_translates(LINEAR + 0x123456, 0x8000323456);
	poke(PDPT + 8, 0x80c0000000 | P | PS);
	x86_tlb_flush(cpu);
	assert_translates(LINEAR + 0x3123456, 0x80c3123456);
	/* The upper half. */
	poke(TOP + 511 * 8, PDPT | P);
	assert_translates(0xffffff8040000000, 0x80c0000000);
}

static void pdptes_load_with_cr3(void **state)
{
	struct x86_cpu *cpu;
	uint64_t v;

	map_pae(P | W);
	cpu = enter(X86_CR0_PG, X86_CR4_PAE, 0, 0);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	/* A change in memory counts from the next load on. */
	poke(TOP + 8, 0);
	x86_tlb_flush(cpu);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_true(x86_load_cr3(cpu, TOP));
	assert_page_fault(load(LINEAR, &v), LINEAR, 0);
	/* Reserved bits are refused and change nothing. */
	poke(TOP + 16, PD | P | W);
	assert_false(x86_load_cr3(cpu, TOP));
	poke(TOP + 16, PD | P | (uint64_t)1 << 40);
	assert_false(x86_load_cr3(cpu, TOP));
	poke(TOP + 16, PD | W); /* not present: anything goes */
	assert_true(x86_load_cr3(cpu, TOP));
}

static void cr3_has_reserved_bits(void **state)
{
	struct x86_cpu *cpu = enter_long(0, 0);

	assert_false(x86_load_cr3(cpu, TOP | (uint64_t)1 << 40));
	assert_false(x86_load_cr3(cpu, TOP | (uint64_t)1 << 63));
	cpu->state.cr4 |= X86_CR4_PCIDE;
	assert_true(x86_load_cr3(cpu, TOP | 5 | (uint64_t)1 << 63));
	assert_int_equal(cpu->state.cr3, TOP | 5);
}

static void non_canonical_addresses(void **state)
{
	struct x86_cpu *cpu = enter_long(0, 0);
	uint64_t v;
	gpa_t at;

	assert_int_equal(load(0x800000000000, &v), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(cpu->fault.error, 0);
	/* The last byte counts. */
	poke(TOP + 255 * 8, PDPT | P | W);
	poke(PDPT + 511 * 8, PD | P | W);
	poke(PD + 511 * 8, PT | P | W);
	poke(PT + 511 * 8, DATA | P | W);
	assert_int_equal(load(0x7ffffffffff8, &v), X86_NEXT);
	assert_int_equal(load(0x7ffffffffffc, &v), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(store(0xffff7ffffffffff8, 1), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(x86_fetch_translate(cpu, 0x800000000000, &at),
			 X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	/* It does before paging: its first byte's page is absent. */
	poke(PT + 511 * 8, 0);
	x86_tlb_flush(cpu);
	assert_page_fault(load(0x7ffffffffff8, &v), 0x7ffffffffff8, 0);
	assert_int_equal(load(0x7ffffffffffc, &v), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(store(0x7ffffffffff9, 1), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
	assert_int_equal(x86_probe(cpu, 0x7ffffffffffc, 8, X86_WRITE),
			 X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_GP);
}

/* --- A and D -------------------------------------------------------------- */

static void accessed_and_dirty_wide(void **state)
{
	uint64_t v;

	map_long(P | W);
	enter_long(0, 0);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(peek(TOP), PDPT | P | W | U | A);
	assert_int_equal(peek(PDPT + 8), PD | P | W | U | A);
	assert_int_equal(peek(PD), PT | P | W | U | A);
	assert_int_equal(peek(PT), DATA | P | W | A);
	/* A read leaves no write tag; the write sets D. */
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_int_equal(peek(PT), DATA | P | W | A | D);
	assert_int_equal(peek(PD), PT | P | W | U | A);
}

static void accessed_and_dirty_narrow(void **state)
{
	map_narrow(P | W);
	poke32(PT + 4, 0x55555554);
	enter(X86_CR0_PG, 0, 0, 0);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_int_equal((uint32_t)peek(PT), DATA | P | W | A | D);
	assert_int_equal((uint32_t)peek(PT + 4), 0x55555554);
	assert_int_equal((uint32_t)peek(TOP + (LINEAR >> 22) * 4),
			 PT | P | W | U | A);
	enter(X86_CR0_PG, X86_CR4_PSE, 0, 0);
	poke32(TOP + (LINEAR >> 22) * 4, P | W | PS);
	assert_int_equal(store(LINEAR + DATA, 1), X86_NEXT);
	assert_int_equal((uint32_t)peek(TOP + (LINEAR >> 22) * 4),
			 P | W | PS | A | D);
}

static void refused_accesses_mark_nothing(void **state)
{
	map_long(P);
	enter_long(0, 0);
	assert_page_fault(store(LINEAR, 1), LINEAR, X86_PF_P | X86_PF_W);
	assert_int_equal(peek(PT), DATA | P);
	assert_int_equal(peek(TOP), PDPT | P | W | U);
}

/* --- straddling, pointers, alignment, breakpoints ------------------------- */

static void straddling_write_is_all_or_nothing(void **state)
{
	const uint64_t at = LINEAR + 0xffc;

	map_long(P | W);
	poke(PT + 8, 0);
	enter_long(0, 0);
	poke(DATA + 0xff8, 0);
	assert_page_fault(store(at, UINT64_MAX), LINEAR + 0x1000, X86_PF_W);
	assert_int_equal(peek(DATA + 0xff8), 0);
	poke(PT + 8, (DATA + 0x5000) | P | W);
	assert_int_equal(store(at, 0x1122334455667788), X86_NEXT);
	assert_int_equal((uint32_t)peek(DATA + 0xffc), 0x55667788);
	assert_int_equal((uint32_t)peek(DATA + 0x5000), 0x11223344);
	assert_loads(at, 0x1122334455667788);
}

static void pointers(void **state)
{
	struct x86_cpu *cpu;
	void *host;

	map_long(P | W);
	poke(PT + 8, MMIO_BASE | P | W);
	poke(PT + 16, ROM_BASE | P | W);
	cpu = enter_long(0, 0);
	assert_int_equal(x86_pointer(cpu, LINEAR + 8, 8, X86_WRITE, &host),
			 X86_NEXT);
	assert_ptr_equal(host, memory_for_read(&bench.vm.memory,
					       gpa(DATA + 8), 8));
	assert_int_equal(x86_pointer(cpu, LINEAR + 0x1000, 8, X86_READ, &host),
			 X86_NEXT);
	assert_null(host);
	assert_int_equal(x86_pointer(cpu, LINEAR + 0xffc, 8, X86_READ, &host),
			 X86_NEXT);
	assert_null(host);
	assert_int_equal(x86_pointer(cpu, LINEAR + 0x2000, 8, X86_READ, &host),
			 X86_NEXT);
	assert_non_null(host);
	assert_int_equal(x86_pointer(cpu, LINEAR + 0x2000, 8, X86_WRITE,
				     &host), X86_NEXT);
	assert_null(host);
	assert_page_fault(x86_pointer(cpu, LINEAR + 0x3000, 8, X86_WRITE,
				      &host), LINEAR + 0x3000, X86_PF_W);
}

static void probes(void **state)
{
	struct x86_cpu *cpu;

	map_long(P | W);
	cpu = enter_long(0, 0);
	assert_int_equal(x86_probe(cpu, LINEAR + 0xf00, 0x1100, X86_WRITE),
			 X86_NEXT);
	assert_int_equal(peek(PT + 8) & D, D);
	assert_page_fault(x86_probe(cpu, LINEAR + 0xf00, 0x1101, X86_READ),
			  LINEAR + 0x2000, 0);
}

static void alignment_check(void **state)
{
	struct x86_cpu *cpu;
	uint64_t v;

	map_long(P | W | U);
	cpu = enter_long(3, 0);
	cpu->state.cr0 |= X86_CR0_AM;
	cpu->state.rflags |= X86_FLAG_AC;
	x86_update_mode(cpu);
	assert_int_equal(load(LINEAR + 8, &v), X86_NEXT);
	assert_int_equal(load(LINEAR + 4, &v), X86_FAULT);
	assert_int_equal(cpu->fault.vector, X86_AC);
	assert_true(cpu->fault.has_error);
	assert_int_equal(cpu->fault.error, 0);
	assert_int_equal(x86_read(cpu, LINEAR + 4, &v, 4), X86_NEXT);
	assert_int_equal(x86_read_system(cpu, LINEAR + 4, &v, 8), X86_NEXT);
	cpu->state.cr0 &= ~(uint64_t)X86_CR0_AM;
	x86_update_mode(cpu);
	assert_int_equal(load(LINEAR + 4, &v), X86_NEXT);
}

static void data_breakpoints(void **state)
{
	struct x86_cpu *cpu;
	uint64_t v;

	map_long(P | W);
	cpu = enter_long(0, 0);
	cpu->state.dr[0] = LINEAR + 8;
	cpu->state.dr[1] = LINEAR + 0x10;
	/* 0: writes of 8 bytes; 1: reads and writes of one byte. */
	cpu->state.dr[7] = 0x400 | 1 | 4 | 9u << 16 | 3u << 20;
	assert_int_equal(load(LINEAR + 8, &v), X86_NEXT);
	assert_int_equal(cpu->debug_hits, 0);
	assert_false(tlb_has(X86_TLB_READ, LINEAR));
	assert_int_equal(store(LINEAR + 15, 1), X86_NEXT);
	assert_int_equal(cpu->debug_hits, 3);
	cpu->debug_hits = 0;
	assert_int_equal(load(LINEAR + 0xc, &v), X86_NEXT);
	assert_int_equal(cpu->debug_hits, 2);
	cpu->debug_hits = 0;
	assert_int_equal(store(LINEAR + 0x11, 1), X86_NEXT);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_int_equal(cpu->debug_hits, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unpaged_memory),
		TEST(absent_memory_reads_ones),
		TEST(rom_drops_writes),
		TEST(mmio_goes_to_the_bus),
		TEST(apic_page_goes_to_the_apic),
		TEST(narrow_pages),
		TEST(pae_pages),
		TEST(long_pages),
		TEST(pdptes_load_with_cr3),
		TEST(cr3_has_reserved_bits),
		TEST(non_canonical_addresses),
		TEST(accessed_and_dirty_wide),
		TEST(accessed_and_dirty_narrow),
		TEST(refused_accesses_mark_nothing),
		TEST(straddling_write_is_all_or_nothing),
		TEST(pointers),
		TEST(probes),
		TEST(alignment_check),
		TEST(data_breakpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
