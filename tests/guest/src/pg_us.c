/* SPDX-License-Identifier: Apache-2.0
 *
 * U/S: ring 3 reaches a page when every level allows it; WP off does not help
 * it to write. Intel SDM vol. 3A sections 4.6 and 4.7.
 */
#include "map.h"

static u8 target[4096] __page;

static __user ulong user_read(ulong va)
{
	asm volatile(".globl at_read\nat_read: movb (%0), %%al" ::"r"(va)
		     : "rax", "memory");
	return 1;
}

static __user ulong user_write(ulong va)
{
	asm volatile(".globl at_write\nat_write: movb $3, (%0)" ::"r"(va)
		     : "memory");
	return 1;
}
extern u8 at_read[], at_write[];

static void try(const char *what, u64 va, bool write, u64 error)
{
	ulong r = user_call(write ? user_write : user_read, va);

	if (error == ~0ULL) {
		check(what, r, 1);
		return;
	}
	check_vector(what, PF, error);
	check(what, caught.ip, write ? (ulong)at_write : (ulong)at_read);
	check(what, caught.cr2, va);
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x3000;

	map_page(va, 1, (ulong)target | PTE_P | PTE_W | PTE_U);
	try("reading", va, false, ~0ULL);
	try("writing", va, true, ~0ULL);
	for (int level = 1; level < 5; level++) {
		u64 *e = pte_of(va, level);

		*e &= ~(u64)PTE_U;
		invlpg((void *)va);
		try("reading a supervisor page", va, false, PFE_P | PFE_U);
		try("writing one", va, true, PFE_P | PFE_W | PFE_U);
		check("ring 0 reads it", *(volatile u8 *)va, 3);
		*e = (*e | PTE_U) & ~(u64)PTE_W;
		invlpg((void *)va);
		try("reading a read-only page", va, false, ~0ULL);
		try("writing one", va, true, PFE_P | PFE_W | PFE_U);
		write_cr0(read_cr0() & ~(1UL << 16));
		try("writing one, WP off", va, true, PFE_P | PFE_W | PFE_U);
		write_cr0(read_cr0() | 1UL << 16);
		*e |= PTE_W;
		invlpg((void *)va);
	}
	map_page(va, 1, 0);
	try("reading no page", va, false, PFE_U);
	try("writing no page", va, true, PFE_W | PFE_U);
	user_call((ulong(*)(ulong))(ulong)target, 0);
	check_vector("running a supervisor page", PF, PFE_P | PFE_U | PFE_I);
}
