/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the software TLB keeps, and for how long.
 */
#include "mmu_bench.h"

static bool set(enum x86_tlb_access access)
{
	return tlb_has(access, LINEAR);
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
	x86_tlb_protect(bench.cpu, NULL, 0);
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
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA + 0x1000), 1),
			PAGE_SIZE);
	assert_true(set(X86_TLB_WRITE));
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA), 1),
			PAGE_SIZE);
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
	assert_false(tlb_has(X86_TLB_READ, LINEAR + 0x1000));
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
	assert_true(tlb_has(X86_TLB_READ, LINEAR));
	assert_true(tlb_has(X86_TLB_WRITE, other));
	assert_false(tlb_has(X86_TLB_READ, other));
	/* Each goes by itself. */
	x86_tlb_flush_page(bench.cpu, LINEAR);
	assert_false(tlb_has(X86_TLB_READ, LINEAR));
	assert_true(tlb_has(X86_TLB_WRITE, other));
	assert_int_equal(load(LINEAR, &v), X86_NEXT);
	x86_tlb_protect(bench.cpu, memory_for_read(mem, gpa(DATA), 1),
			PAGE_SIZE);
	assert_true(tlb_has(X86_TLB_READ, LINEAR));
	assert_false(tlb_has(X86_TLB_WRITE, other));
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
	assert_true(tlb_has(X86_TLB_READ, LINEAR));
	assert_false(tlb_has(X86_TLB_WRITE, other));
	x86_tlb_flush(bench.cpu);
	assert_false(tlb_has(X86_TLB_READ, LINEAR));
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

#define MANY 24

/* Page n of many at LINEAR. */
static uint64_t page(unsigned int n)
{
	return LINEAR + n * 0x1000u;
}

static void map_many(uint64_t flags)
{
	map_long(flags);
	for (unsigned int n = 0; n < MANY; n++)
		poke(PT + 8 * n, (DATA + 0x1000 * n) | flags);
	enter_long(0, 0);
}

/* What is marked as the page just used, beside the one before it. */
static void a_stream_is_entered_ahead(void **state)
{
	uint64_t v;

	map_many(P | W | A | D);
	poke(PT + 8 * 5, (DATA + 0x5000) | P | W | A);
	poke(PT + 8 * 7, (DATA + 0x7000) | P | W | D);
	poke(DATA + 0x4008, 77);
	assert_int_equal(load(page(2), &v), X86_NEXT);
	assert_false(tlb_has(X86_TLB_READ, page(3)));
	assert_int_equal(load(page(3), &v), X86_NEXT);
	assert_true(tlb_has(X86_TLB_READ, page(4)));
	assert_true(tlb_has(X86_TLB_WRITE, page(4)));
	assert_loads(page(4) + 8, 77);
	/* Less marks, or others: not entered, and nothing is marked. */
	assert_false(tlb_has(X86_TLB_READ, page(5)));
	assert_false(tlb_has(X86_TLB_READ, page(6)));
	assert_int_equal(load(page(9), &v), X86_NEXT);
	assert_int_equal(load(page(8), &v), X86_NEXT);
	assert_false(tlb_has(X86_TLB_READ, page(7)));
	assert_false(peek(PT + 8 * 7) & A);
	/* Down as well, and not farther than sixteen. */
	x86_tlb_flush(bench.cpu);
	map_many(P | W | A | D);
	assert_int_equal(store(page(23), 1), X86_NEXT);
	assert_int_equal(store(page(22), 1), X86_NEXT);
	assert_true(tlb_has(X86_TLB_WRITE, page(6)));
	assert_false(tlb_has(X86_TLB_WRITE, page(5)));
	/* The next one goes on from there. */
	assert_int_equal(store(page(5), 1), X86_NEXT);
	assert_true(tlb_has(X86_TLB_WRITE, page(0)));
}

static void a_stream_ends_at_code_and_devices(void **state)
{
	struct memory *mem = &bench.vm.memory;
	uint64_t v;

	map_many(P | W | A | D);
	poke(PT + 8 * 4, MMIO_BASE | P | W | A | D);
	atomic_store(&mem->page_flags[(DATA >> 12) + 3], MEM_PAGE_CODE);
	assert_int_equal(store(page(1), 1), X86_NEXT);
	assert_int_equal(store(page(2), 1), X86_NEXT);
	assert_false(tlb_has(X86_TLB_WRITE, page(3)));
	assert_false(tlb_has(X86_TLB_READ, page(4)));
	assert_false(tlb_has(X86_TLB_READ, page(5)));
	assert_int_equal(load(page(15), &v), X86_NEXT);
	atomic_store(&mem->page_flags[(DATA >> 12) + 3], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tags_follow_rights),
		TEST(page_flags_withhold_write_tags),
		TEST(protect_one_page),
		TEST(flush_page),
		TEST(local_flush_keeps_global),
		TEST(streams_leave_each_other_alone),
		TEST(a_walk_renews_the_page),
		TEST(global_by_access),
		TEST(flush_large_page),
		TEST(a_stream_is_entered_ahead),
		TEST(a_stream_ends_at_code_and_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
