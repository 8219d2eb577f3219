/* SPDX-License-Identifier: Apache-2.0
 *
 * SMEP: ring 0 must not run user pages; it may read them. Intel SDM vol. 3A
 * section 4.6.1.
 */
#include "map.h"

static u8 code[4096] __page;

static void run(const char *what, u64 va, u64 error)
{
	CATCH("mov $1f, %%edx; push %%rdx; jmp *%0; 1:", ::"r"(va)
	      : "rdx", "memory");
	if (!error) {
		check_no_trap(what);
		return;
	}
	check_vector(what, PF, error);
	check("RIP is the target", caught.ip, va);
}

static __user ulong user_fn(ulong arg)
{
	return arg + 1;
}

void guest_main(void)
{
	u64 va = MAP_BASE;

	need(7, 1, 7, "SMEP");
	code[0] = 0xc3;
	map_page(va, 1, (ulong)code | PTE_P | PTE_W | PTE_U);
	run("SMEP off", va, 0);
	write_cr4(read_cr4() | 1UL << 20);
	run("SMEP on", va, PFE_P | PFE_I);
	check("it can be read", *(volatile u8 *)va, 0xc3);
	check("ring 3 runs", user_call(user_fn, 4), 5);
	for (int level = 1; level < 5; level++) {
		u64 *e = pte_of(va, level);

		*e &= ~(u64)PTE_U;
		invlpg((void *)va);
		run("one level is supervisor's", va, 0);
		*e |= PTE_U;
		invlpg((void *)va);
		run("all levels are user's", va, PFE_P | PFE_I);
	}
	write_cr4(read_cr4() & ~(1UL << 20));
	run("SMEP off again", va, 0);
}
