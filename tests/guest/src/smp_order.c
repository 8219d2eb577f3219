/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory ordering: stores are seen in order, loads are not reordered with
 * loads, MFENCE and locked instructions order a store before a load. Intel
 * SDM vol. 3A sections 8.2.3.2, 8.2.3.3 and 8.2.3.9.
 */
#include "chips.h"

enum { ROUNDS = 3000 };
static volatile u32 data __attribute__((aligned(64)));
static volatile u32 flag __attribute__((aligned(64)));
static volatile u32 x __attribute__((aligned(64)));
static volatile u32 y __attribute__((aligned(64)));
static volatile u32 r1, r2, turn __attribute__((aligned(64)));
static volatile u32 turn_done __attribute__((aligned(64)));

static void other(int cpu)
{
	/* message passing: the data first, then the flag */
	for (u32 i = 1; i <= ROUNDS; i++) {
		data = i;
		flag = i;
	}
	for (u32 i = 1; i <= ROUNDS; i++) {
		u32 v;

		while (turn != i)
			pause();
		if (i & 1)
			asm volatile("movl $1, %1; mfence; movl %2, %0"
				     : "=r"(v), "=m"(x) : "m"(y) : "memory");
		else
			asm volatile("movl $1, %0; xchgl %0, %1; movl %2, %0"
				     : "=&r"(v), "+m"(x) : "m"(y) : "memory");
		r2 = v;
		barrier();
		turn_done = i;
	}
}

void guest_main(void)
{
	u32 stale = 0, both = 0, f = 0;

	smp_start(2, other);
	while (f < ROUNDS) {
		f = flag;
		if (data < f)
			stale++;
	}
	check("flag seen before its data", stale, 0);

	for (u32 i = 1; i <= ROUNDS; i++) {
		u32 v;

		x = y = 0;
		asm volatile("mfence" ::: "memory");
		turn = i;
		asm volatile("movl $1, %1; mfence; movl %2, %0"
			     : "=r"(v), "=m"(y) : "m"(x) : "memory");
		r1 = v;
		while (turn_done != i)
			pause();
		if (!r1 && !r2)
			both++;
	}
	check("both loads before both stores", both, 0);
}
