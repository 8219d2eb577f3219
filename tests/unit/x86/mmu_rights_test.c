/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what with a page: rights, SMEP, SMAP, protection keys and
 * reserved bits, and the error codes of the page faults that tell.
 */
#include "mmu_bench.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rights_in_long_mode),
		TEST(keys_in_long_mode),
		TEST(keys_change_under_the_tlb),
		TEST(rights_in_pae_mode),
		TEST(rights_combine_over_levels),
		TEST(reserved_bits_by_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
