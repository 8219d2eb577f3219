/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervisor blocks call routines for their checks until they have run often;
 * then they are made once more, with the checks in line.
 */
#include "fake/test.h"

#include "test_rewrite.h"

#include <string.h>

#include "engine/soft/soft.h"
#include "x86/access.h"

#define HERE  (REWRITE_DATA)
#define THERE (REWRITE_DATA + PAGE_SIZE)

/* mov rax, [rdi]; xor rdi, 4096; add rbx, rax; dec ecx; jnz: nothing to share,
 * no flag is alive before the first. */
static const struct piece loop[] = {
	{ .at = REWRITE_CODE, .length = 10, .bytes = {
		0x48, 0x8b, 0x07, 0x48, 0x81, 0xf7, 0x00, 0x10, 0x00, 0x00 } },
	{ .at = REWRITE_CODE + 10, .length = 7, .bytes = {
		0x48, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xef } },
};

static struct program p;
static struct outcome o;
static struct x86_cpu *cpu;
static struct rewriter *rw;

static int setup(void **state)
{
	uint8_t jump[5] = { 0xe9 };
	uint32_t behind = REWRITE_CODE + 17;
	uint32_t away = REWRITE_STOP - (behind + 5);

	cpu = rewrite_machine_cpu();
	rw = &((struct soft_cpu *)cpu->engine)->rewriter;
	memset(rw->hot, 0, sizeof(rw->hot));
	memset(&p, 0, sizeof(p));
	memcpy(jump + 1, &away, 4);
	p.bits = 64;
	p.seed = 8; /* the page with the code stays an ordinary one */
	p.rip = REWRITE_CODE;
	memcpy(p.piece, loop, sizeof(loop));
	p.piece[2] = (struct piece){ .at = behind, .length = 5 };
	memcpy(p.piece[2].bytes, jump, 5);
	p.count = 3;
	p.gpr[X86_RSP] = REWRITE_DATA + 0x800;
	p.gpr[X86_RDI] = HERE + 8;
	rewrite_machine_load(&p);
	return 0;
}

static unsigned int hot(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < REWRITE_HOT / 64; i++)
		count += (unsigned int)__builtin_popcountll(rw->hot[i]);
	return count;
}

static uint64_t value_at(uint64_t address)
{
	uint64_t v;

	memcpy(&v, rewrite_machine_ram(address), 8);
	return v;
}

static void run(unsigned int turns)
{
	p.gpr[X86_RCX] = turns;
	rewrite_machine_run(&p, REWRITTEN, false, &o);
	assert_true(o.over);
	assert_int_equal(o.rip, REWRITE_STOP);
	assert_int_equal(o.gpr[X86_RCX], 0);
	assert_int_equal(o.gpr[X86_RBX],
			 turns / 2 * (value_at(HERE + 8) +
				      value_at(THERE + 8)));
}

static void test_seldom(void **state)
{
	uint64_t blocks = rw->blocks;

	run(1000);
	assert_int_equal(hot(), 0);
	assert_in_range(rw->blocks - blocks, 1, 2);
}

static void test_often(void **state)
{
	uint64_t blocks = rw->blocks;

	run(100000);
	assert_int_equal(hot(), 1);
	/* Two at most at first, and the loop once more. */
	assert_in_range(rw->blocks - blocks, 2, 3);
	blocks = rw->blocks;
	run(100000);
	assert_int_equal(hot(), 1);
	assert_in_range(rw->blocks - blocks, 0, 1);
}

/* Who does nothing new is met sooner and sooner, until all is in line; not
 * while other blocks are rewritten. */
static void meet(uint64_t others, uint64_t expected)
{
	soft_flush(cpu->engine);
	memset(rw->hot, 0, sizeof(rw->hot));
	run(1000);
	rw->blocks_met = rw->blocks - others;
	run(2 * rw->hot_count);
	assert_int_equal(hot(), 1);
	assert_int_equal(rw->hot_count, expected);
}

static void test_steady(void **state)
{
	uint64_t first = rw->hot_count;

	meet(0, first / 2);
	meet(1, first / 2);
	meet(2, first);
}

/* All host code is forgotten, but not which of it was hot. */
static void test_flush(void **state)
{
	uint64_t blocks;

	run(100000);
	soft_flush(cpu->engine);
	assert_int_equal(hot(), 1);
	blocks = rw->blocks;
	run(100000);
	assert_in_range(rw->blocks - blocks, 1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_seldom, setup),
		cmocka_unit_test_setup(test_often, setup),
		cmocka_unit_test_setup(test_steady, setup),
		cmocka_unit_test_setup(test_flush, setup),
	};
	int failed;

	rewrite_machine_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rewrite_machine_close();
	return failed;
}
