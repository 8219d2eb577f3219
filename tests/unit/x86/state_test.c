/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical state: power-on and INIT values, the saved table, what a
 * loaded state may not be, the print-out.
 */
#include <string.h>

#include "fake/host.h"
#include "fake/roundtrip.h"
#include "fake/test.h"
#include "vm/error.h"
#include "x86/reg.h"
#include "x86/state.h"

static void power_on(void **state)
{
	struct x86_state s;

	memset(&s, 0xaa, sizeof(s));
	x86_state_reset(&s, true);
	assert_int_equal(s.rip, 0xfff0);
	assert_int_equal(s.seg[X86_CS].selector, 0xf000);
	assert_int_equal(s.seg[X86_CS].base, 0xffff0000);
	assert_int_equal(s.seg[X86_CS].attr, 0x9b);
	assert_int_equal(s.seg[X86_SS].attr, 0x93);
	assert_int_equal(s.tr.attr, 0x8b);
	assert_int_equal(s.rflags, 2);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.dr[6], 0xffff0ff0);
	assert_int_equal(s.dr[7], 0x400);
	assert_int_equal(s.pat, 0x0007040600070406);
	assert_int_equal(s.apic_base, 0xfee00900);
	assert_int_equal(s.xcr0, 1);
	assert_int_equal(s.activity, X86_RUNNING);
	assert_int_equal(s.xsave[0], 0x40);
	assert_int_equal(s.xsave[24] | s.xsave[25] << 8, 0x1f80);
}

static void application_processors_wait(void **state)
{
	struct x86_state s;

	x86_state_reset(&s, false);
	assert_int_equal(s.activity, X86_WAIT_SIPI);
	assert_int_equal(s.apic_base, 0xfee00800);
}

static void init_keeps_what_power_on_clears(void **state)
{
	struct x86_state s;

	x86_state_reset(&s, false);
	s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_CD | X86_CR0_TS;
	s.cr3 = 0x1000;
	s.efer = X86_EFER_LME | X86_EFER_LMA;
	s.gpr[X86_RBX] = 1;
	s.mtrr_def_type = 6;
	s.tsc_offset = 77;
	s.xcr0 = 7;
	s.xsave[100] = 0x5a;
	s.fault_pending = 1;
	x86_state_init(&s, false);
	assert_int_equal(s.cr0, X86_CR0_CD | X86_CR0_ET);
	assert_int_equal(s.cr3, 0);
	assert_int_equal(s.efer, 0);
	assert_int_equal(s.gpr[X86_RBX], 0);
	assert_int_equal(s.rip, 0xfff0);
	assert_int_equal(s.activity, X86_WAIT_SIPI);
	assert_int_equal(s.fault_pending, 0);
	assert_int_equal(s.mtrr_def_type, 6);
	assert_int_equal(s.tsc_offset, 77);
	assert_int_equal(s.xcr0, 7);
	assert_int_equal(s.xsave[100], 0x5a);
}

/* Brings patterns into the range that the class accepts. */
static void make_valid(void *object)
{
	struct x86_state *s = object;

	s->activity &= 3;
	s->fault_vector &= 31;
	s->cr0 = (s->cr0 & 0x7fffffff) | X86_CR0_PE;
	s->cr4 &= 0x3fffff;
	s->efer = 0;
	s->xcr0 |= 1;
	s->rflags |= X86_FLAG_1;
	s->xsave[26] = s->xsave[27] = 0;
}

static void round_trip(void **state)
{
	roundtrip_check(&x86_state_class, NULL, make_valid);
}

static void impossible_states_are_refused(void **state)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	assert_int_equal(x86_state_class.check(&s), 0);
	s.cr0 |= X86_CR0_PG;
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
	s.cr0 |= X86_CR0_PE;
	assert_int_equal(x86_state_class.check(&s), 0);
	s.efer = X86_EFER_LMA;
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
	s.efer |= X86_EFER_LME;
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
	s.cr4 = X86_CR4_PAE;
	assert_int_equal(x86_state_class.check(&s), 0);
	s.rflags |= X86_FLAG_VM;
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
	x86_state_reset(&s, true);
	s.activity = 4;
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
	x86_state_reset(&s, true);
	s.xsave[26] = 1; /* an MXCSR that no FXRSTOR takes */
	assert_int_equal(x86_state_class.check(&s), -VM_EBADMSG);
}

struct lines {
	unsigned int count;
	size_t longest;
	bool rip;
};

static void take_line(void *ctx, const char *text)
{
	struct lines *lines = ctx;

	lines->count++;
	if (strlen(text) > lines->longest)
		lines->longest = strlen(text);
	if (!strcmp(text, "rip 000000000000fff0 rflags 0000000000000002"))
		lines->rip = true;
}

static void print_out(void **state)
{
	struct lines lines = { 0 };
	struct x86_state s;

	x86_state_reset(&s, true);
	x86_state_print(&s, take_line, &lines);
	assert_int_equal(lines.count, 20);
	assert_true(lines.longest < 100);
	assert_true(lines.rip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on),
		cmocka_unit_test(application_processors_wait),
		cmocka_unit_test(init_keeps_what_power_on_clears),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(impossible_states_are_refused),
		cmocka_unit_test(print_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
