/* SPDX-License-Identifier: Apache-2.0
 *
 * NX at each level stops execution, not reading; the error code has I; with
 * EFER.NXE off the bit is reserved. Intel SDM vol. 3A sections 4.6 and 4.7.
 */
#include "map.h"

static u8 code[4096] __page;
static u64 rsvd = PFE_P | PFE_RSVD;

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
	check("CR2 is the target", caught.cr2, va);
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x1000;

	need(0x80000001, 3, 20, "NX");
	code[0] = 0xc3;
	map_page(va, 1, (ulong)code | PTE_P | PTE_W);
	run("without NX", va, 0);
	for (int level = 1; level < 5; level++) {
		*pte_of(va, level) |= PTE_NX;
		invlpg((void *)va);
		run("with NX", va, PFE_P | PFE_I);
		check("it can be read", *(volatile u8 *)va, 0xc3);
		*pte_of(va, level) &= ~PTE_NX;
		invlpg((void *)va);
		run("without NX again", va, 0);
	}
	map_page(va, 1, 0);
	run("not present", va, PFE_I);

	map_page(va, 1, (ulong)code | PTE_P | PTE_W | PTE_NX);
	if (tcg_differs("leaves P out of RSVD faults"))
		rsvd = PFE_RSVD;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~0x800ULL);
	write_cr3(read_cr3());
	CATCH("mov (%0), %%eax", ::"r"(va) : "rax", "memory");
	check_pf("reading with NXE off", rsvd, va);
	run("running with NXE off", va, rsvd);
}
