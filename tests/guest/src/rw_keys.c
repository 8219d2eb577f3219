/* SPDX-License-Identifier: Apache-2.0
 *
 * A jump to a non-canonical address faults, whatever hot code lies at the
 * address that its low 48 bits make: ring 3 must not reach ring 0's code so.
 */
#include "lib.h"

static volatile u32 reached;

static __attribute__((noinline, aligned(64))) void kernel_code(void)
{
	reached++;
}

static __user ulong user_jump(ulong target)
{
	asm volatile("jmp *%0" ::"r"(target) : "memory");
	return 0;
}

static void (*volatile at_kernel_code)(void) = kernel_code;

void guest_main(void)
{
	for (s64 top = -400; top < 400; top++) {
		ulong target = (ulong)kernel_code + ((ulong)top << 48);

		if (!top)
			continue;
		for (int i = 0; i < 40; i++)
			at_kernel_code();
		reached = 0;
		check("ring 3 returns by a fault",
		      user_call(user_jump, target), ~0UL);
		check_vector("its vector", GP, 0);
		check("ring 0 code run", reached, 0);
	}
}
