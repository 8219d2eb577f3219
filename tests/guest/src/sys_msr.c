/* SPDX-License-Identifier: Apache-2.0
 *
 * Model specific registers: unknown ones give #GP, the MTRRs are consistent
 * with MTRRCAP, read-only ones refuse writes. Intel SDM vol. 3A section 11.11,
 * vol. 2 RDMSR, WRMSR.
 */
#include "lib.h"

static void unknown(u32 msr)
{
	CATCH("rdmsr", ::"c"(msr) : "rax", "rdx", "memory");
	check_trap("RDMSR of an unknown register", GP, 0);
	CATCH("wrmsr", ::"c"(msr), "a"(0), "d"(0) : "memory");
	check_trap("WRMSR of an unknown register", GP, 0);
}

static void mtrrs(void)
{
	u64 cap = rdmsr(MSR_MTRRCAP), def = rdmsr(MSR_MTRR_DEF);

	check_range("variable ranges", cap & 0xff, 0, 32);
	wrmsr(MSR_MTRR_DEF, 0x806);
	check("MTRR default type", rdmsr(MSR_MTRR_DEF), 0x806);
	for (u32 i = 0; i < (cap & 0xff); i++) {
		u64 base = rdmsr(0x200 + 2 * i), mask = rdmsr(0x201 + 2 * i);

		wrmsr(0x200 + 2 * i, 0x10000000 | 6);
		wrmsr(0x201 + 2 * i, 0xff0000000 & ~0x800ULL);
		check("MTRR base", rdmsr(0x200 + 2 * i), 0x10000006);
		check("MTRR mask", rdmsr(0x201 + 2 * i), 0xff0000000);
		wrmsr(0x200 + 2 * i, base);
		wrmsr(0x201 + 2 * i, mask);
	}
	wrmsr(MSR_MTRR_DEF, def);
	if (tcg_differs("takes any MTRR and writes to MTRRCAP"))
		return;
	CATCH("wrmsr", ::"c"(MSR_MTRRCAP), "a"(0), "d"(0) : "memory");
	check_trap("write to MTRRCAP", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_MTRR_DEF), "a"(0x802), "d"(0) : "memory");
	check_trap("MTRR default type 2", GP, 0);
}

void guest_main(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	check("APIC base", base & 0xfffff000, 0xfee00000);
	check("APIC on, first processor", base & 0x900, 0x900);
	check("EFER", rdmsr(MSR_EFER) & 0xd01, 0xd01);
	wrmsr(MSR_STAR, 0x0018000800000000);
	check("STAR", rdmsr(MSR_STAR), 0x0018000800000000);
	wrmsr(MSR_KERNEL_GS_BASE, 0xffff812345678888);
	check("kernel GS base", rdmsr(MSR_KERNEL_GS_BASE), 0xffff812345678888);
	if (cpu_has(1, 3, 12))
		mtrrs();
	if (tcg_differs("has no unknown registers"))
		return;
	unknown(0x12345);
	unknown(0x40001234);
	unknown(0xdeadbeef);
	CATCH("wrmsr", ::"c"(MSR_APIC_BASE), "a"(0xfee00900 | 2), "d"(0)
	      : "memory");
	check_trap("APIC base, reserved bit", GP, 0);
}
