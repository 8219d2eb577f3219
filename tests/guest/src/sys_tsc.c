/* SPDX-License-Identifier: Apache-2.0
 *
 * The time-stamp counter: never goes back, runs on during a wait, CR4.TSD,
 * RDTSCP and TSC_AUX, writes to the MSR move it. Intel SDM vol. 3B section
 * 17.17.
 */
#include "chips.h"

static __user ulong user_rdtsc(ulong arg)
{
	asm volatile("rdtsc" ::: "rax", "rdx");
	return 1;
}

void guest_main(void)
{
	u64 last = rdtsc(), now, start;
	u32 a, d, c;

	for (int i = 0; i < 2000; i++) {
		now = rdtsc();
		if (now < last)
			fail("the TSC went back");
		last = now;
	}
	start = rdtsc();
	delay_us(20000);
	now = rdtsc() - start;
	/* 20 ms of 100 MHz, to a second of 10 GHz on a busy host */
	check_range("cycles in 20 ms", now, 2000000, 10000000000);

	check("ring 3 may read it", user_call(user_rdtsc, 0), 1);
	write_cr4(read_cr4() | 4);
	user_call(user_rdtsc, 0);
	check_vector("RDTSC in ring 3 with TSD", GP, 0);
	CATCH("rdtsc", ::: "rax", "rdx");
	check_no_trap("RDTSC in ring 0 with TSD");
	write_cr4(read_cr4() & ~4UL);

	if (!tcg_differs("has an MSR of its own for the TSC")) {
		last = rdtsc();
		check_range("the MSR agrees", rdmsr(MSR_TSC) - last, 0,
			    1000000000);
		wrmsr(MSR_TSC, 0x100000000000);
		check_range("the MSR written", rdtsc() - 0x100000000000, 0,
			    1000000000);
	}

	need(0x80000001, 3, 27, "RDTSCP");
	wrmsr(MSR_TSC_AUX, 0x5a5a);
	last = rdtsc();
	asm volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
	check("RDTSCP, RCX", c, 0x5a5a);
	check_range("RDTSCP agrees", (a | (u64)d << 32) - last, 0, 1000000000);
}
