/* SPDX-License-Identifier: Apache-2.0
 *
 * x2APIC: entered through the APIC base MSR, registers as MSRs, 64-bit ICR,
 * self IPI, 32-bit id, reserved accesses #GP, no way back to xAPIC but over
 * off. Intel SDM vol. 3A section 10.12.
 */
#include "chips.h"

enum { X2 = 0x800 };
static volatile u32 count;

static void interrupt(struct frame *f)
{
	count++;
	wrmsr(X2 + 0xb, 0);
}

static void no_read(const char *what, u32 msr)
{
	CATCH("rdmsr", ::"c"(msr) : "rax", "rdx", "memory");
	check_trap(what, GP, 0);
}

static void no_write(const char *what, u32 msr, u32 v)
{
	CATCH("wrmsr", ::"c"(msr), "a"(v), "d"(0) : "memory");
	check_trap(what, GP, 0);
}

void guest_main(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	need(1, 2, 21, "x2APIC");
	lapic_init();
	trap_hook_set(0x40, interrupt);
	no_read("x2APIC register in xAPIC mode", X2 + 2);
	wrmsr(MSR_APIC_BASE, base | 0xc00);
	check("id", rdmsr(X2 + 2), 0);
	check_range("version", rdmsr(X2 + 3) & 0xff, 0x10, 0x15);
	check("SVR is kept", rdmsr(X2 + 0xf) & 0x1ff, 0x1ff);
	check("logical id", rdmsr(X2 + 0xd), 1);
	wrmsr(X2 + 8, 0x20);
	check("TPR", rdmsr(X2 + 8), 0x20);
	check("TPR is CR8", read_cr8(), 2);
	wrmsr(X2 + 8, 0);

	wrmsr(X2 + 0x3f, 0x40);
	irq_window();
	check("self IPI", count, 1);
	wrmsr(X2 + 0x30, 0x40);
	irq_window();
	check("ICR to id 0", count, 2);
	wrmsr(X2 + 0x30, 0x40040);
	irq_window();
	check("ICR to self", count, 3);
	wrmsr(X2 + 0x30, 0x840 | 1ULL << 32);
	irq_window();
	check("ICR, logical", count, 4);

	no_read("DFR", X2 + 0xe);
	no_read("ICR2", X2 + 0x31);
	no_read("EOI", X2 + 0xb);
	no_read("self IPI", X2 + 0x3f);
	no_read("a hole", X2 + 0x40);
	no_write("id", X2 + 2, 0);
	no_write("EOI not 0", X2 + 0xb, 1);
	no_write("ESR not 0", X2 + 0x28, 1);
	no_write("TPR, reserved bits", X2 + 8, 0x100);
	no_write("SVR, reserved bits", X2 + 0xf, 0x10000);
	CATCH("wrmsr", ::"c"(MSR_APIC_BASE), "a"((u32)base | 0x800), "d"(0)
	      : "memory");
	check_trap("straight back to xAPIC", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_APIC_BASE), "a"(((u32)base & ~0xc00) | 0x400),
	      "d"(0) : "memory");
	check_trap("EXTD without EN", GP, 0);
	wrmsr(MSR_APIC_BASE, base & ~0xc00ULL);
	wrmsr(MSR_APIC_BASE, (base & ~0xc00ULL) | 0x800);
	check("xAPIC again", lapic_read(LAPIC_ID), 0);
}
