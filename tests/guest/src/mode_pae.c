/* SPDX-License-Identifier: Apache-2.0
 *
 * PAE paging: three levels, 2 MiB pages, NX, reserved bits; the four pointers
 * are checked and read when CR3 is loaded. Intel SDM vol. 3A section 4.4.
 */
#include "lib.h"

static u64 pdpt[512] __page, pd0[512] __page, pd1[512] __page;
static u64 pt[512] __page;
static u8 target[4096] __page;

void guest_main(void)
{
	u32 va = 0x40001000, rsvd = 9;

	need(1, 3, 6, "PAE");
	if (tcg_differs("leaves P out of RSVD faults"))
		rsvd = 8;
	for (u32 i = 0; i < 64; i++)
		pd0[i] = i << 21 | 0x83;
	pdpt[0] = (u32)pd0 | 1;
	pdpt[1] = (u32)pd1 | 1;
	pd1[0] = (u32)pt | 3;
	pt[1] = (u32)target | 3;
	write_cr4(read_cr4() | 0x20);
	write_cr3((u32)pdpt);
	write_cr0(read_cr0() | 0x80010000);

	*(volatile u8 *)(va + 7) = 0x77;
	check("4 KiB page", target[7], 0x77);
	check("A and D of the entry", pt[1] & 0x60, 0x60);
	pd1[1] = 0xa00000 | 0x83;
	*(volatile u8 *)0x40212345 = 0x66;
	check("2 MiB page", *(volatile u8 *)0xa12345, 0x66);

	pt[1] |= 1ULL << 60;
	invlpg((void *)va);
	CATCH("movb (%0), %%al", ::"r"(va) : "eax", "memory");
	check_pf("bit 60", rsvd, va);
	pt[1] = (u32)target | 3;
	target[0] = 0xc3;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 0x800);
	pt[1] |= 1ULL << 63;
	invlpg((void *)va);
	CATCH("push $1f; jmp *%0; 1:", ::"r"(va) : "memory");
	check_vector("running an NX page", PF, 0x11);
	check("CR2", caught.cr2, va);

	/* a pointer that changes counts from the next load of CR3 */
	pdpt[2] = (u32)pd1 | 1;
	write_cr3((u32)pdpt);
	CATCH("movb 0x80200000, %%al", ::: "eax", "memory");
	check_no_trap("new pointer");
	pdpt[3] = (u32)pd1 | 3;
	CATCH("mov %0, %%cr3", ::"r"(pdpt) : "memory");
	if (!tcg_differs("does not check the pointers"))
		check_trap("pointer with a reserved bit", GP, 0);
	pdpt[3] = 0;
	CATCH("mov %0, %%cr3", ::"r"(pdpt) : "memory");
	check_no_trap("pointer not present");
	write_cr0(read_cr0() & 0x7fffffff);
	write_cr4(read_cr4() & ~0x20UL);
}
