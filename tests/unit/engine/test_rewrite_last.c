/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that an instruction of user code found last is forgotten whenever
 * its translation, or the right to write it, is taken away; and an instruction
 * that finds another page each time is met.
 */
#include "fake/test.h"

#include "test_rewrite.h"

#include <string.h>

#include "engine/soft/soft.h"
#include "x86/access.h"
#include "x86/reg.h"
#include "x86/segment.h"

#define HERE  (REWRITE_DATA)
#define THERE (REWRITE_DATA + PAGE_SIZE)

/* mov rax, [rdi]; mov [rsi], rbx; xor ecx, ecx: no flag is alive before. */
static const uint8_t access_both[] = { 0x48, 0x8b, 0x07, 0x48,
				       0x89, 0x1e, 0x31, 0xc9 };

static struct program p;
static struct outcome o;
static struct x86_cpu *cpu;

static void make(const uint8_t *bytes, unsigned int length)
{
	uint8_t jump[5] = { 0xe9 };
	uint32_t behind = REWRITE_CODE + length;
	uint32_t away = REWRITE_STOP - (behind + 5);

	memset(&p, 0, sizeof(p));
	memcpy(jump + 1, &away, 4);
	p.bits = 64;
	p.user = true;
	p.seed = 8; /* the page with the code stays an ordinary one */
	p.rip = REWRITE_CODE;
	p.piece[0] = (struct piece){ .at = REWRITE_CODE,
				     .length = (uint8_t)length };
	memcpy(p.piece[0].bytes, bytes, length);
	p.piece[1] = (struct piece){ .at = behind, .length = 5 };
	memcpy(p.piece[1].bytes, jump, 5);
	p.count = 2;
	p.gpr[X86_RSP] = REWRITE_DATA + 0x800;
	p.gpr[X86_RDI] = p.gpr[X86_RSI] = HERE + 8;
	p.gpr[X86_RBX] = 0x1234;
	rewrite_machine_load(&p);
}

static void run(void)
{
	rewrite_machine_run(&p, REWRITTEN, false, &o);
	assert_true(o.over);
}

static uint64_t value_at(uint64_t address)
{
	uint64_t v;

	memcpy(&v, rewrite_machine_ram(address), 8);
	return v;
}

/* What HERE leads to, and may be done there. */
static void map(uint64_t page, uint64_t rights)
{
	uint64_t entry = page | rights;

	memory_load(&cpu->vm->memory,
		    gpa(0x4000 + HERE / PAGE_SIZE * 8), &entry, 8);
}

static int setup(void **state)
{
	cpu = rewrite_machine_cpu();
	make(access_both, sizeof(access_both));
	map(HERE, 7);
	x86_tlb_flush(cpu);
	for (unsigned int i = 0; i < 3; i++)
		run();
	assert_int_equal(o.rip, REWRITE_STOP);
	assert_true(cpu->last.used);
	return 0;
}

static int teardown(void **state)
{
	map(HERE, 0x67);
	x86_tlb_flush(cpu);
	return 0;
}

static void flush_page(void)
{
	x86_tlb_flush_page(cpu, HERE);
}

static void flush_local(void)
{
	x86_tlb_flush_local(cpu);
}

static void flush_all(void)
{
	x86_tlb_flush(cpu);
}

static void (*const flushes[])(void) = { flush_page, flush_local, flush_all };

/* The program's memory is filled anew for each run. */
static void test_moved(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		map(i % 2 ? HERE : THERE, 0x67);
		flushes[i]();
		run();
		assert_int_equal(o.rip, REWRITE_STOP);
		assert_int_equal(value_at((i % 2 ? HERE : THERE) + 8), 0x1234);
		assert_int_not_equal(value_at((i % 2 ? THERE : HERE) + 8),
				     0x1234);
	}
}

static void test_rights(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		map(HERE, 0x65);
		flushes[i]();
		run();
		assert_int_equal(o.rip, REWRITE_HANDLERS + X86_PF * 16);
		assert_int_equal(o.cr2, HERE + 8);
		map(HERE, 0x67);
		flushes[i]();
		run();
		assert_int_equal(o.rip, REWRITE_STOP);
		assert_int_equal(value_at(HERE + 8), 0x1234);
	}
}

/* As if another page had taken its place. */
static void evict(uint64_t linear)
{
	unsigned int i = x86_tlb_index(linear);

	for (unsigned int n = 0; n < X86_TLB_ACCESSES; n++)
		cpu->tlbs[X86_TLB_USER].table[n].entry[i].tag =
			x86_tlb_none(i);
}

/* An access to the page faults: no other may know it any more. */
static void test_fault(void **state)
{
	uint64_t v;

	map(HERE, 0x66);
	evict(HERE);
	assert_int_equal(x86_read(cpu, HERE, &v, 8), X86_FAULT);
	run();
	assert_int_equal(o.rip, REWRITE_HANDLERS + X86_PF * 16);
}

/* Access to pages with key 1 is disabled. */
static void test_key(void **state)
{
	cpu->state.cr4 |= X86_CR4_PKE;
	x86_update_mode(cpu);
	map(HERE, 0x67 | (uint64_t)1 << 59);
	x86_tlb_flush(cpu);
	run();
	run(); /* the entry is a copy of what the first one found */
	assert_int_equal(o.rip, REWRITE_STOP);
	assert_true(cpu->last.used);
	x86_set_pkru(cpu, 3 << 2);
	run();
	assert_int_equal(o.rip, REWRITE_HANDLERS + X86_PF * 16);
	x86_set_pkru(cpu, 0);
	cpu->state.cr4 &= ~(uint64_t)X86_CR4_PKE;
	x86_update_mode(cpu);
}

/* Its page becomes one with code: the write is to be seen. */
static void test_code(void **state)
{
	struct memory *mem = &cpu->vm->memory;
	struct soft_cpu *soft = cpu->engine;
	int64_t page = memory_page_index(mem, gpa(HERE));
	uint64_t before, seen = cpu->stat_code_write;

	before = soft_open_page(soft, (uint64_t)page,
				rewrite_machine_ram(HERE));
	assert_false(soft_page_is_checked(before));
	run();
	assert_int_equal(o.rip, REWRITE_STOP);
	assert_int_equal(cpu->stat_code_write, seen + 1);
	assert_int_not_equal(soft->soft->page[page], before);
}

static void test_dirty_log(void **state)
{
	uint64_t walks = cpu->stat_walk;

	run();
	assert_int_equal(cpu->stat_walk, walks);
	x86_tlb_protect(cpu, NULL, 0);
	run();
	assert_int_not_equal(cpu->stat_walk, walks);
}

/* No guest can know the page that stands for none. */
static void test_none(void **state)
{
	uint64_t page = 0 - cpu->last.none;

	assert_false(x86_is_canonical(page));
	assert_false(x86_is_canonical(page + PAGE_SIZE - 1));
	assert_int_equal(page % PAGE_SIZE, 0);
	x86_tlb_flush(cpu);
	for (unsigned int i = 0; i < X86_LAST_SIZE; i++) {
		assert_true(cpu->last.entry[0][i].tag == cpu->last.none);
		assert_true(cpu->last.entry[1][i].tag == cpu->last.none);
	}
}

/* mov rax, [rdi]; xor rdi, 4096; add rbx, rax; dec ecx; jnz */
static const uint8_t changing[] = { 0x48, 0x8b, 0x07, 0x48, 0x81, 0xf7, 0x00,
				    0x10, 0x00, 0x00, 0x48, 0x01, 0xc3, 0xff,
				    0xc9 };
static const uint8_t back[] = { 0x75, 0xef };

static void test_changing(void **state)
{
	struct soft_cpu *soft = cpu->engine;
	uint64_t blocks, wild = 0;

	make(changing, sizeof(changing));
	p.piece[2] = p.piece[1];
	p.piece[2].at += sizeof(back);
	p.piece[2].bytes[1] -= sizeof(back);
	p.piece[1].length = sizeof(back);
	memcpy(p.piece[1].bytes, back, sizeof(back));
	p.count = 3;
	p.gpr[X86_RCX] = 1000000;
	p.gpr[X86_RBX] = 0;
	rewrite_machine_load(&p);
	blocks = soft->rewriter.blocks;
	run();
	assert_int_equal(o.rip, REWRITE_STOP);
	assert_int_equal(o.gpr[X86_RCX], 0);
	assert_int_equal(o.gpr[X86_RBX], 500000 * (value_at(HERE + 8) +
						   value_at(THERE + 8)));
	for (unsigned int i = 0; i < REWRITE_WILD / 64; i++)
		wild |= soft->rewriter.wild[i];
	assert_int_not_equal(wild, 0);
	/* Two at first, and the loop once more. */
	assert_in_range(soft->rewriter.blocks - blocks, 3, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_code, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changing, setup, teardown),
	};
	int failed;

	rewrite_machine_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rewrite_machine_close();
	return failed;
}
