/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop whose turns are emitted one behind the other changes an instruction
 * of itself: the very next one is another, in whatever turn that is.
 */
#include "fake/test.h"

#include "test_rewrite.h"

#include <string.h>

#include "x86/access.h"
#include "x86/reg.h"

#define LOOP   ((uint32_t)(REWRITE_CODE + PAGE_SIZE + 8))
#define BEHIND (LOOP + (uint32_t)sizeof(loop))
#define STRIDE 64u
#define STEP   5u

/* Stores AL at every STRIDE bytes; the last store is to STEP_AT. */
static const uint8_t loop[] = {
	0x88, 0x04, 0x0f, /* mov [rdi + rcx], al */
	0x48, 0x83, 0xc3, 0x01, /* add rbx, 1 */
	0x48, 0x83, 0xc1, STRIDE, /* add rcx, STRIDE */
	0x48, 0x39, 0xd1, /* cmp rcx, rdx */
	0x75, 0xf0, /* jne to the front */
};

#define STEP_AT 6u

static void add_piece(struct program *p, uint32_t at, const uint8_t *bytes,
		      unsigned int length)
{
	struct piece *piece = &p->piece[p->count++];

	piece->at = at;
	piece->length = (uint8_t)length;
	memcpy(piece->bytes, bytes, length);
}

static void make(struct program *p, unsigned int turns)
{
	uint8_t jump[5] = { 0xe9 };
	uint32_t away = REWRITE_STOP - (BEHIND + 5);

	memset(p, 0, sizeof(*p));
	p->bits = 64;
	add_piece(p, LOOP, loop, sizeof(loop));
	memcpy(jump + 1, &away, 4);
	add_piece(p, BEHIND, jump, sizeof(jump));
	p->rip = LOOP;
	p->gpr[X86_RSP] = REWRITE_DATA + 0x800;
	p->gpr[X86_RAX] = STEP;
	p->gpr[X86_RDI] = LOOP + STEP_AT - (turns - 1) * STRIDE;
	p->gpr[X86_RDX] = turns * STRIDE;
}

/* From none to many turns before the page with the code begins. */
static void test_changes_itself(void **state)
{
	static struct program p;
	static struct outcome o;

	for (unsigned int turns = 1; turns < 50; turns++) {
		make(&p, turns);
		for (unsigned int run = 0; run < 3; run++) {
			rewrite_machine_load(&p);
			rewrite_machine_run(&p, run ? REWRITTEN : INTERPRETED,
					    run == 2, &o);
			assert_true(o.over);
			assert_int_equal(o.rip, REWRITE_STOP);
			assert_int_equal(o.gpr[X86_RCX], turns * STRIDE);
			assert_int_equal(o.gpr[X86_RBX], turns - 1 + STEP);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_itself),
	};
	int failed;

	rewrite_machine_open();
	/* The pages with code are read-only. */
	rewrite_machine_cpu()->state.cr0 &= ~(uint64_t)X86_CR0_WP;
	x86_tlb_flush(rewrite_machine_cpu());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rewrite_machine_close();
	return failed;
}
