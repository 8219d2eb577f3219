/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paging in every mode, over page tables built in guest memory: where
 * accesses go, which page faults they raise, A and D bits, what the TLB
 * keeps, MMIO, ROM, the xAPIC's page, data breakpoints.
 */
#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "x86/access.h"

#define RAM_SIZE  0x400000u
#define ROM_BASE  0xfff00000u
#define ROM_SIZE  0x10000u
#define MMIO_BASE 0xd0000000u
#define MMIO_SIZE 0x1000u

/* Tables in RAM. */
#define TOP	  0x10000u
#define PDPT	  0x11000u
#define PD	  0x12000u
#define PT	  0x13000u
#define DATA	  0x200000u /* what the tests map */

#define P  0x01u
#define W  0x02u
#define U  0x04u
#define A  0x20u
#define D  0x40u
#define PS 0x80u
#define G  0x100u
#define NX ((uint64_t)1 << 63)

#define LINEAR 0x40000000u

struct bench {
	struct vm vm;
	struct cpuid_policy policy;
	struct x86_cpu *cpu;
	uint64_t mmio_at, mmio_value;
	unsigned int mmio_size, flushes;
	uint32_t apic_offset, apic_value;
};

static struct bench bench;

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

static int setup(void **state)
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

static int teardown(void **state)
{
	x86_cpu_destroy(bench.cpu);
	vm_fini(&bench.vm);
	return fake_live() ? -1 : 0;
}

static uint64_t peek(uint64_t at)
{
	uint64_t v;

	assert_int_equal(memory_read(&bench.vm.memory, gpa(at), &v, 8), 0);
	return v;
}

static void poke(uint64_t at, uint64_t v)
{
	assert_int_equal(memory_write(&bench.vm.memory, gpa(at), &v, 8), 0);
}

static void poke32(uint64_t at, uint32_t v)
{
	assert_int_equal(memory_write(&bench.vm.memory, gpa(at), &v, 4), 0);
}

/* --- modes ---------------------------------------------------------------- */

/* Flat protected mode at `cpl`; paging as cr0, cr4 and efer say. */
static struct x86_cpu *enter(uint64_t cr0, uint64_t cr4, uint64_t efer,
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

static struct x86_cpu *enter_long(unsigned int cpl, uint64_t cr4)
{
	return enter(X86_CR0_PG | X86_CR0_WP, X86_CR4_PAE | cr4,
		     X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE, cpl);
}

/* Maps LINEAR in four levels to DATA with `flags` in the last one. */
static void map_long(uint64_t flags)
{
	poke(TOP, PDPT | P | W | U);
	poke(PDPT + 8, PD | P | W | U);
	poke(PD, PT | P | W | U);
	poke(PT, DATA | flags);
	poke(PT + 8, (DATA + 0x1000) | flags);
}

static void map_pae(uint64_t flags)
{
	poke(TOP, 0);
	poke(TOP + 8, PD | P);
	poke(PD, PT | P | W | U);
	poke(PT, DATA | flags);
}

static void map_narrow(uint32_t flags)
{
	poke32(TOP + (LINEAR >> 22) * 4, PT | P | W | U);
	poke32(PT, DATA | flags);
}

static enum x86_result load(uint64_t linear, uint64_t *v)
{
	*v = 0;
	return x86_read(bench.cpu, linear, v, 8);
}

static enum x86_result store(uint64_t linear, uint64_t v)
{
	return x86_write(bench.cpu, linear, &v, 8);
}

static void assert_page_fault(enum x86_result r, uint64_t at, uint32_t error)
{
	assert_int_equal(r, X86_FAULT);
	assert_int_equal(bench.cpu->fault.vector, X86_PF);
	assert_true(bench.cpu->fault.has_error);
	assert_int_equal(bench.cpu->fault.error, error);
	assert_int_equal(bench.cpu->fault.address, at);
}

static void assert_loads(uint64_t linear, uint64_t expected)
{
	uint64_t v;

	assert_int_equal(load(linear, &v), X86_NEXT);
	assert_int_equal(v, expected);
}

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

/* --- rights --------------------------------------------------------------- */

#define OK UINT32_MAX

struct rights_case {
	const char *what;
	uint64_t flags;	 /* of the last entry */
	bool wp, nxe;
	uint64_t cr4;
	unsigned int cpl;
	bool ac;
	enum x86_access access;
	uint32_t error;	 /* or OK */
};

static const struct rights_case rights_cases[] = {
	{ "absent read", 0, 1, 1, 0, 0, 0, X86_READ, 0 },
	{ "absent write", 0, 1, 1, 0, 0, 0, X86_WRITE, X86_PF_W },
	{ "absent user", 0, 1, 1, 0, 3, 0, X86_READ, X86_PF_U },
	{ "absent fetch", 0, 1, 1, 0, 0, 0, X86_EXEC, X86_PF_I },
	{ "absent fetch without NXE", 0, 1, 0, 0, 0, 0, X86_EXEC, 0 },
	{ "absent fetch with SMEP", 0, 1, 0, X86_CR4_SMEP, 0, 0, X86_EXEC,
	  X86_PF_I },
	{ "supervisor reads its own", P, 1, 1, 0, 0, 0, X86_READ, OK },
	{ "supervisor reads user's", P | U, 1, 1, 0, 0, 0, X86_READ, OK },
	{ "user reads its own", P | U, 1, 1, 0, 3, 0, X86_READ, OK },
	{ "user reads supervisor's", P | W, 1, 1, 0, 3, 0, X86_READ,
	  X86_PF_P | X86_PF_U },
	{ "user writes read-only", P | U, 1, 1, 0, 3, 0, X86_WRITE,
	  X86_PF_P | X86_PF_U | X86_PF_W },
	{ "WP guards from the supervisor", P, 1, 1, 0, 0, 0, X86_WRITE,
	  X86_PF_P | X86_PF_W },
	{ "no WP, no guard", P, 0, 1, 0, 0, 0, X86_WRITE, OK },
	{ "no WP, but user", P | U, 0, 1, 0, 3, 0, X86_WRITE,
	  X86_PF_P | X86_PF_U | X86_PF_W },
	{ "NX", P | NX, 1, 1, 0, 0, 0, X86_EXEC, X86_PF_P | X86_PF_I },
	{ "NX, user", P | U | NX, 1, 1, 0, 3, 0, X86_EXEC,
	  X86_PF_P | X86_PF_I | X86_PF_U },
	{ "NX does not matter to data", P | NX, 1, 1, 0, 0, 0, X86_READ, OK },
	{ "NX without NXE is reserved", P | NX, 1, 0, 0, 0, 0, X86_READ,
	  X86_PF_P | X86_PF_R },
	{ "address bits that do not exist", P | (uint64_t)1 << 40, 1, 1, 0, 3,
	  0, X86_WRITE, X86_PF_P | X86_PF_R | X86_PF_W | X86_PF_U },
	{ "SMEP", P | U, 1, 1, X86_CR4_SMEP, 0, 0, X86_EXEC,
	  X86_PF_P | X86_PF_I },
	{ "SMEP without NXE", P | U, 1, 0, X86_CR4_SMEP, 0, 0, X86_EXEC,
	  X86_PF_P | X86_PF_I },
	{ "SMEP lets the supervisor's pages run", P, 1, 1, X86_CR4_SMEP, 0, 0,
	  X86_EXEC, OK },
	{ "SMEP does not bind users", P | U, 1, 1, X86_CR4_SMEP, 3, 0,
	  X86_EXEC, OK },
	{ "SMAP read", P | U, 1, 1, X86_CR4_SMAP, 0, 0, X86_READ, X86_PF_P },
	{ "SMAP write", P | U | W, 1, 1, X86_CR4_SMAP, 0, 0, X86_WRITE,
	  X86_PF_P | X86_PF_W },
	{ "SMAP with AC", P | U | W, 1, 1, X86_CR4_SMAP, 0, 1, X86_WRITE,
	  OK },
	{ "SMAP does not bind users", P | U, 1, 1, X86_CR4_SMAP, 3, 0,
	  X86_READ, OK },
	{ "SMAP does not bind fetches", P | U, 1, 1, X86_CR4_SMAP, 0, 0,
	  X86_EXEC, OK },
	{ "SMAP, implicit access, AC", P | U, 1, 1, X86_CR4_SMAP, 0, 1,
	  X86_READ | X86_SYSTEM, X86_PF_P },
	{ "SMAP, implicit access of user code", P | U, 1, 1, X86_CR4_SMAP, 3,
	  0, X86_READ | X86_SYSTEM, X86_PF_P },
	{ "system access of user code", P, 1, 1, 0, 3, 0,
	  X86_READ | X86_SYSTEM, OK },
	{ "system access to nothing", 0, 1, 1, 0, 3, 0,
	  X86_WRITE | X86_SYSTEM, X86_PF_W },
};

#define AD 0x400u /* of key 5 */
#define WD 0x800u
#define PKE X86_CR4_PKE
#define PKS X86_CR4_PKS
#define KEYED (P | W | (uint64_t)5 << 59)

/* Only in long mode: in others bits 59 to 62 are reserved. */
static const struct key_case {
	struct rights_case access;
	uint32_t keys; /* PKRU and PKRS */
} key_cases[] = {
	{ { "PKE off", KEYED | U, 1, 1, 0, 3, 0, X86_WRITE, OK }, AD | WD },
	{ { "other keys", KEYED | U, 1, 1, PKE, 3, 0, X86_WRITE, OK }, ~(AD |
	    WD) },
	{ { "AD, user", KEYED | U, 1, 1, PKE, 3, 0, X86_READ, X86_PF_P |
	    X86_PF_U | X86_PF_PK }, AD },
	{ { "AD, supervisor, no WP", KEYED | U, 0, 1, PKE, 0, 0, X86_WRITE,
	    X86_PF_P | X86_PF_W | X86_PF_PK }, AD },
	{ { "AD, fetch", KEYED | U, 1, 1, PKE, 3, 0, X86_EXEC, OK }, AD },
	{ { "AD and SMAP", KEYED | U, 1, 1, PKE | X86_CR4_SMAP, 0, 0,
	    X86_READ, X86_PF_P | X86_PF_PK }, AD },
	{ { "AD, system access", KEYED | U, 1, 1, PKE, 3, 0, X86_READ |
	    X86_SYSTEM, X86_PF_P | X86_PF_PK }, AD },
	{ { "AD, supervisor's page", KEYED, 1, 1, PKE, 0, 0, X86_READ, OK },
	    AD },
	{ { "WD, user reads", KEYED | U, 1, 1, PKE, 3, 0, X86_READ, OK }, WD },
	{ { "WD, user, no WP", KEYED | U, 0, 1, PKE, 3, 0, X86_WRITE, X86_PF_P
	    | X86_PF_U | X86_PF_W | X86_PF_PK }, WD },
	{ { "WD, supervisor", KEYED | U, 1, 1, PKE, 0, 0, X86_WRITE, X86_PF_P
	    | X86_PF_W | X86_PF_PK }, WD },
	{ { "WD, supervisor, no WP", KEYED | U, 0, 1, PKE, 0, 0, X86_WRITE, OK
	    }, WD },
	{ { "key of an absent page", (uint64_t)5 << 59, 1, 1, PKE, 3, 0,
	    X86_READ, X86_PF_U }, AD },
	{ { "reserved bit first", KEYED | U | (uint64_t)1 << 40, 1, 1, PKE, 3,
	    0, X86_READ, X86_PF_P | X86_PF_R | X86_PF_U }, AD },
	{ { "PKS, AD", KEYED, 1, 1, PKS, 0, 0, X86_READ, X86_PF_P | X86_PF_PK
	    }, AD },
	{ { "PKS, WD, no WP", KEYED, 0, 1, PKS, 0, 0, X86_WRITE, OK }, WD },
	{ { "PKS, user's page", KEYED | U, 1, 1, PKS, 0, 0, X86_WRITE, OK },
	    AD },
};

static enum x86_result access_as(enum x86_access access, uint64_t linear)
{
	uint64_t v = 0;
	gpa_t at;

	if (access & X86_EXEC)
		return x86_fetch_translate(bench.cpu, linear, &at);
	if (access & X86_WRITE)
		return x86_write_slow(bench.cpu, linear, &v, 8, access);
	return x86_read_slow(bench.cpu, linear, &v, 8, access);
}

static void check_rights(const struct rights_case *c, uint64_t efer)
{
	struct x86_cpu *cpu =
		enter(X86_CR0_PG | (c->wp ? X86_CR0_WP : 0),
		      X86_CR4_PAE | c->cr4,
		      efer | (c->nxe ? X86_EFER_NXE : 0), c->cpl);
	enum x86_result r;

	if (c->ac) {
		cpu->state.rflags |= X86_FLAG_AC;
		x86_update_mode(cpu);
	}
	/* The second time a TLB entry may stand in the way. */
	for (unsigned int i = 0; i < 2; i++) {
		r = access_as(c->access, LINEAR + 0x10);
		if (c->error != OK)
			assert_page_fault(r, LINEAR + 0x10, c->error);
		else
			assert_int_equal(r, X86_NEXT);
	}
}

static void rights_in_long_mode(void **state)
{
	for (unsigned int i = 0;
	     i < sizeof(rights_cases) / sizeof(*rights_cases); i++) {
		print_message("%s\n", rights_cases[i].what);
		map_long(rights_cases[i].flags);
		check_rights(&rights_cases[i], X86_EFER_LME | X86_EFER_LMA);
	}
}

static void keys_in_long_mode(void **state)
{
	for (unsigned int i = 0; i < sizeof(key_cases) / sizeof(*key_cases);
	     i++) {
		const struct rights_case *c = &key_cases[i].access;

		print_message("%s\n", c->what);
		map_long(c->flags);
		x86_set_pkru(bench.cpu, key_cases[i].keys);
		x86_set_pkrs(bench.cpu, key_cases[i].keys);
		check_rights(c, X86_EFER_LME | X86_EFER_LMA);
	}
}

/* What the TLB holds follows the rights. */
static void keys_change_under_the_tlb(void **state)
{
	const uint32_t error = X86_PF_P | X86_PF_U | X86_PF_PK;
	struct x86_cpu *cpu;
	uint64_t v;

	map_long(KEYED | U);
	cpu = enter_long(3, PKE);
	x86_set_pkru(cpu, 0);
	assert_int_equal(store(LINEAR, 7), X86_NEXT);
	x86_set_pkru(cpu, WD);
	assert_page_fault(store(LINEAR, 8), LINEAR, error | X86_PF_W);
	assert_loads(LINEAR, 7);
	x86_set_pkru(cpu, AD);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	x86_set_pkru(cpu, 0);
	assert_int_equal(store(LINEAR, 9), X86_NEXT);
	/* Key 0 is that of pages without a thought of keys. */
	map_long(P | W | U);
	x86_tlb_flush(cpu);
	assert_loads(LINEAR, 9);
	x86_set_pkru(cpu, 1);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
}

static void rights_in_pae_mode(void **state)
{
	for (unsigned int i = 0;
	     i < sizeof(rights_cases) / sizeof(*rights_cases); i++) {
		print_message("%s\n", rights_cases[i].what);
		map_pae(rights_cases[i].flags);
		check_rights(&rights_cases[i], 0);
	}
}

static void rights_combine_over_levels(void **state)
{
	uint64_t v;

	map_long(P | W | U);
	poke(PD, PT | P | W);
	enter_long(3, 0);
	assert_page_fault(load(LINEAR, &v), LINEAR, X86_PF_P | X86_PF_U);
	poke(PD, PT | P | U);
	enter_long(3, 0);
	assert_page_fault(store(LINEAR, 0), LINEAR,
			  X86_PF_P | X86_PF_U | X86_PF_W);
	poke(PD, PT | P | U | W);
	poke(TOP, PDPT | P | U | W | NX);
	enter_long(3, 0);
	assert_page_fault(access_as(X86_EXEC, LINEAR), LINEAR,
			  X86_PF_P | X86_PF_U | X86_PF_I);
}

static void reserved_bits_by_level(void **state)
{
	const uint32_t error = X86_PF_P | X86_PF_R;
	uint64_t v;

	map_long(P | W);
	poke(TOP, PDPT | P | PS);
	enter_long(0, 0);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	map_long(P | W);
	poke(PDPT + 8, 0x40000000 | 0x2000 | P | PS);
	x86_tlb_flush(bench.cpu);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	poke(PDPT + 8, 0x40000000 | P | PS);
	bench.policy.page_1g = false;
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	map_long(P | W);
	poke(PD, DATA | 0x2000 | P | PS);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	/* 52-62 are the system's in long mode, reserved in PAE mode. */
	map_long(P | W | (uint64_t)1 << 52);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	map_pae(P | W | (uint64_t)1 << 52);
	enter(X86_CR0_PG, X86_CR4_PAE, 0, 0);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	/* 4 MiB pages: bit 21. */
	enter(X86_CR0_PG, X86_CR4_PSE, 0, 0);
	poke32(TOP + (LINEAR >> 22) * 4, 1 << 21 | P | PS);
	assert_page_fault(load(LINEAR, &v), LINEAR, error);
	/* Tables in nowhere read as ones. */
	poke32(TOP + (LINEAR >> 22) * 4, 0xe0000000 | P | W);
	enter(X86_CR0_PG, 0, 0, 0);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(v, UINT64_MAX);
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

/* --- the TLB -------------------------------------------------------------- */

static bool has(enum x86_tlb_access access, uint64_t linear)
{
	return x86_tlb_hit(x86_tlb_at(bench.cpu, linear, access)->tag, linear,
			   1);
}

static bool set(enum x86_tlb_access access)
{
	return has(access, LINEAR);
}

static void tags_follow_rights(void **state)
{
	uint64_t v;

	map_long(P | W | U | NX);
	enter_long(3, 0);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_true(set(X86_TLB_READ));
	assert_false(set(X86_TLB_WRITE));
	assert_false(set(X86_TLB_EXEC));
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_true(set(X86_TLB_WRITE));
	x86_tlb_flush(bench.cpu);
	assert_false(set(X86_TLB_READ));
	/* D is set already: a read gives the write tag too. */
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_true(set(X86_TLB_WRITE));
}

static void page_flags_withhold_write_tags(void **state)
{
	struct memory *mem = &bench.vm.memory;

	map_long(P | W);
	enter_long(0, 0);
	atomic_store(&mem->page_flags[DATA >> 12], MEM_PAGE_CODE);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_false(set(X86_TLB_WRITE));
	assert_true(set(X86_TLB_READ));
	atomic_store(&mem->page_flags[DATA >> 12], 0);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_true(set(X86_TLB_WRITE));
	/* Dirty log: the first write is seen, the second is free. */
	memory_dirty_log(mem, true);
	x86_tlb_protect(bench.cpu, NULL);
	assert_false(set(X86_TLB_WRITE));
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_int_equal(atomic_load(&mem->page_flags[DATA >> 12]), 0);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	assert_true(set(X86_TLB_WRITE));
}

static void protect_one_page(void **state)
{
	struct memory *mem = &bench.vm.memory;

	map_long(P | W);
	enter_long(0, 0);
	assert_int_equal(store(LINEAR, 1), X86_NEXT);
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA + 0x1000), 1));
	assert_true(set(X86_TLB_WRITE));
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA), 1));
	assert_false(set(X86_TLB_WRITE));
	assert_true(set(X86_TLB_READ));
}

static void count_flush(struct x86_cpu *cpu, bool all)
{
	bench.flushes++;
}

static void flush_page(void **state)
{
	uint64_t v;

	map_long(P | W);
	enter_long(0, 0);
	bench.cpu->tlb_flushed = count_flush;
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(load(LINEAR + 0x1000, &v), X86_NEXT);
	x86_tlb_flush_page(bench.cpu, LINEAR + 0x1234);
	assert_true(set(X86_TLB_READ));
	x86_tlb_flush_page(bench.cpu, LINEAR + 0x234);
	assert_false(set(X86_TLB_READ));
	assert_int_equal(bench.flushes, 2);
}

static void local_flush_keeps_global(void **state)
{
	uint64_t v;

	map_long(P | W);
	poke(PT, DATA | P | W | G);
	enter_long(0, 0);
	/* Without CR4.PGE the bit means nothing. */
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	x86_tlb_flush_local(bench.cpu);
	assert_false(set(X86_TLB_READ));
	bench.cpu->state.cr4 |= X86_CR4_PGE;
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(load(LINEAR + 0x1000, &v), X86_NEXT);
	x86_tlb_flush_local(bench.cpu);
	assert_true(set(X86_TLB_READ));
	assert_true(x86_fetches_global(bench.cpu, LINEAR + 0xfff));
	assert_false(x86_fetches_global(bench.cpu, LINEAR + 0x1000));
	assert_false(has(X86_TLB_READ, LINEAR + 0x1000));
	x86_tlb_flush_page(bench.cpu, LINEAR);
	assert_false(set(X86_TLB_READ));
	/* The entry's next page is not global. */
	poke(PT, DATA | P | W);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_false(x86_fetches_global(bench.cpu, LINEAR));
	x86_tlb_flush_local(bench.cpu);
	assert_false(set(X86_TLB_READ));
	poke(PT, DATA | P | W | G);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	x86_tlb_flush(bench.cpu);
	assert_false(set(X86_TLB_READ));
}

/* Two pages that fall on the same entries, one read and one written. */
static void streams_leave_each_other_alone(void **state)
{
	const uint64_t other = LINEAR + X86_TLB_SIZE * PAGE_SIZE;
	struct memory *mem = &bench.vm.memory;
	uint64_t walks, v;

	map_long(P | W);
	poke(PD + (other >> 21 & 511) * 8, PT | P | W);
	enter_long(0, 0);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(store(other, 1), X86_NEXT);
	walks = bench.cpu->stat_walk;
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(store(other + i * 8, i), X86_NEXT);
		assert_int_equal(load(LINEAR + i * 8, &v), X86_NEXT);
		assert_int_equal(v, i);
	}
	assert_int_equal(bench.cpu->stat_walk, walks);
	assert_true(has(X86_TLB_READ, LINEAR));
	assert_true(has(X86_TLB_WRITE, other));
	assert_false(has(X86_TLB_READ, other));
	/* Each goes by itself. */
	x86_tlb_flush_page(bench.cpu, LINEAR);
	assert_false(has(X86_TLB_READ, LINEAR));
	assert_true(has(X86_TLB_WRITE, other));
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA), 1));
	assert_true(has(X86_TLB_READ, LINEAR));
	assert_false(has(X86_TLB_WRITE, other));
}

/* A walk for one access replaces what the others knew of the page. */
static void a_walk_renews_the_page(void **state)
{
	uint64_t v;

	map_long(P);
	enter_long(0, 0);
	poke(DATA + 0x5000, 0x55);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	poke(PT, (DATA + 0x5000) | P | W);
	assert_int_equal(store(LINEAR + 8, 1), X86_NEXT);
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(v, 0x55);
}

/* Each table has its own bits for global pages. */
static void global_by_access(void **state)
{
	const uint64_t other = LINEAR + X86_TLB_SIZE * PAGE_SIZE;
	uint64_t v;

	map_long(P | W);
	poke(PT, DATA | P | W | G);
	poke(PD + (other >> 21 & 511) * 8, (DATA + 0x6000) | P | W);
	poke(DATA + 0x6000 + (other >> 12 & 511) * 8, DATA | P | W);
	enter_long(0, 0);
	bench.cpu->state.cr4 |= X86_CR4_PGE;
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	assert_int_equal(store(other, 1), X86_NEXT);
	x86_tlb_flush_local(bench.cpu);
	assert_true(has(X86_TLB_READ, LINEAR));
	assert_false(has(X86_TLB_WRITE, other));
	x86_tlb_flush(bench.cpu);
	assert_false(has(X86_TLB_READ, LINEAR));
}

static void flush_large_page(void **state)
{
	uint64_t v;

	map_long(P | W);
	poke(PD, 0 | P | W | PS);
	enter_long(0, 0);
	for (unsigned int i = 0; i < 512; i++)
		assert_int_equal(load(LINEAR + i * 0x1000, &v), X86_NEXT);
	/* Any address in the page drops all of it. */
	x86_tlb_flush_page(bench.cpu, LINEAR + 0x155000);
	poke(PD, 0);
	for (unsigned int i = 0; i < 512; i++)
		assert_page_fault(load(LINEAR + i * 0x1000, &v),
				  LINEAR + i * 0x1000, 0);
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
	assert_false(set(X86_TLB_READ));
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(rights_in_long_mode),
		TEST(keys_in_long_mode),
		TEST(keys_change_under_the_tlb),
		TEST(rights_in_pae_mode),
		TEST(rights_combine_over_levels),
		TEST(reserved_bits_by_level),
		TEST(non_canonical_addresses),
		TEST(accessed_and_dirty_wide),
		TEST(accessed_and_dirty_narrow),
		TEST(refused_accesses_mark_nothing),
		TEST(tags_follow_rights),
		TEST(page_flags_withhold_write_tags),
		TEST(protect_one_page),
		TEST(flush_page),
		TEST(local_flush_keeps_global),
		TEST(streams_leave_each_other_alone),
		TEST(a_walk_renews_the_page),
		TEST(global_by_access),
		TEST(flush_large_page),
		TEST(straddling_write_is_all_or_nothing),
		TEST(pointers),
		TEST(probes),
		TEST(alignment_check),
		TEST(data_breakpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
