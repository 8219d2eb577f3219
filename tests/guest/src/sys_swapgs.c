/* SPDX-License-Identifier: Apache-2.0
 *
 * SWAPGS, the FS and GS base MSRs, RDFSBASE and relatives, segment loads that
 * change the base, FS prefixes with 64-bit bases. Intel SDM vol. 2, vol. 3A
 * section 3.4.4.1.
 */
#include "lib.h"

static u64 here = 0x1111, there = 0x2222;

static u64 gs_word(void)
{
	u64 v;

	asm volatile("mov %%gs:0, %0" : "=r"(v)::"memory");
	return v;
}

static u64 fs_word(void)
{
	u64 v;

	asm volatile("mov %%fs:0, %0" : "=r"(v)::"memory");
	return v;
}

static __user ulong user_rdfs(ulong arg)
{
	ulong v;

	asm volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static void fsgsbase(void)
{
	ulong v;

	CATCH("rdfsbase %0", : "=r"(v)::"memory");
	check_trap("RDFSBASE without CR4.FSGSBASE", UD, 0);
	write_cr4(read_cr4() | 1UL << 16);
	asm volatile("wrfsbase %0" ::"r"((ulong)&there));
	check("WRFSBASE", fs_word(), 0x2222);
	check("its MSR", rdmsr(MSR_FS_BASE), (ulong)&there);
	asm volatile("rdgsbase %0" : "=r"(v));
	check("RDGSBASE", v, rdmsr(MSR_GS_BASE));
	wrmsr(MSR_FS_BASE, 0xffff888812345678);
	asm volatile("rdfsbase %k0" : "=r"(v));
	check("RDFSBASE of 32 bits", v, 0x12345678);
	asm volatile("wrgsbase %k0" ::"r"(0xffffffff12345678));
	check("WRGSBASE of 32 bits", rdmsr(MSR_GS_BASE), 0x12345678);
	CATCH("wrfsbase %0", ::"r"(1UL << 63) : "memory");
	if (!tcg_differs("takes any base"))
		check_trap("WRFSBASE non-canonical", GP, 0);
	/* a return to ring 3 clears a selector of DPL 0 */
	asm volatile("mov %0, %%fs" ::"r"(0));
	wrmsr(MSR_FS_BASE, 0x4444);
	check("RDFSBASE in ring 3", user_call(user_rdfs, 0), 0x4444);
}

void guest_main(void)
{
	wrmsr(MSR_GS_BASE, (ulong)&here);
	wrmsr(MSR_KERNEL_GS_BASE, (ulong)&there);
	check("GS", gs_word(), 0x1111);
	asm volatile("swapgs" ::: "memory");
	check("GS after SWAPGS", gs_word(), 0x2222);
	check("GS base MSR", rdmsr(MSR_GS_BASE), (ulong)&there);
	check("kernel GS base MSR", rdmsr(MSR_KERNEL_GS_BASE), (ulong)&here);
	asm volatile("swapgs" ::: "memory");
	check("GS after two", gs_word(), 0x1111);

	wrmsr(MSR_FS_BASE, (ulong)&here - 0x100000000);
	asm volatile("mov %%fs:(%1), %0" : "=r"(here) : "r"(1UL << 32));
	check("a negative base", here, 0x1111);
	gdt[SEL_FREE / 8] = seg_desc((u32)(ulong)&there, 0xfff, 0x92, 4);
	asm volatile("mov %0, %%fs" ::"r"(SEL_FREE));
	check("base from a descriptor", fs_word(), 0x2222);
	check("its MSR", rdmsr(MSR_FS_BASE), (ulong)&there);
	/* 64-bit mode has no limits */
	CATCH("mov %%fs:0x1000, %%rax", ::: "rax", "memory");
	check_no_trap("beyond the limit");
	/* and no bases for the other segments */
	asm volatile("mov %1, %%ds; mov %2, %0; mov %3, %%ds"
		     : "=r"(here) : "r"(SEL_FREE), "m"(there), "r"(SEL_DATA)
		     : "memory");
	check("DS has no base", here, 0x2222);
	if (!cpu_has(7, 1, 0))
		return;
	fsgsbase();
}
