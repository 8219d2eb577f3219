/* SPDX-License-Identifier: Apache-2.0
 *
 * KVM's paravirtual clock: with the flag that says so, the pages of all
 * processors hold the same pair of TSC and time, so that no one is ever ahead
 * of another. Documentation/virt/kvm/x86/msr.rst of Linux.
 */
#include "chips.h"

#define KVM_LEAF	0x40000000
#define CLOCKSOURCE2	(1u << 3)
#define MSR_SYSTEM_TIME 0x4b564d01
#define STABLE		1

struct page {
	u32 version, pad;
	u64 tsc, system_time;
	u32 mul;
	u8 shift, flags, pad2[2];
} __packed;

static struct page pages[2] __attribute__((aligned(64)));
static volatile u32 ready;

static void other(int cpu)
{
	delay_us(3000);
	wrmsr(MSR_SYSTEM_TIME, (ulong)&pages[1] | 1);
	ready = 1;
}

void guest_main(void)
{
	struct cpuid leaf = cpuid(KVM_LEAF, 0);

	if (leaf.b != 0x4b4d564b || !(cpuid(KVM_LEAF + 1, 0).a & CLOCKSOURCE2))
		skip("no paravirtual clock");
	wrmsr(MSR_SYSTEM_TIME, (ulong)&pages[0] | 1);
	smp_start(2, other);
	while (!ready)
		pause();
	check("version", pages[0].version & 1, 0);
	if (!(pages[0].flags & pages[1].flags & STABLE))
		skip("no clock that all processors share");
	check("TSC", pages[1].tsc, pages[0].tsc);
	check("time", pages[1].system_time, pages[0].system_time);
	check("rate", pages[1].mul, pages[0].mul);
}
