/* SPDX-License-Identifier: Apache-2.0
 *
 * Locked instructions on four processors: exact sums for each operand size,
 * XADD, XCHG as a lock, CMPXCHG loops, BTS, CMPXCHG16B; INC without LOCK is
 * not tested, it may lose. Intel SDM vol. 3A section 8.1.2.
 */
#include "chips.h"

enum { ROUNDS = 2000, CPUS = 4 };
static volatile u8 n8;
static volatile u16 n16;
static volatile u32 n32, lock, guarded, go, done, bits[ROUNDS / 32 + 1], won;
static volatile u64 n64, xadd_sum, cas;
static u64 pair[2] __attribute__((aligned(16)));

static void add16(void)
{
	u64 a = pair[0], d = pair[1];
	bool ok;

	do {
		asm volatile("lock; cmpxchg16b %0"
			     : "+m"(pair), "+a"(a), "+d"(d), "=@ccz"(ok)
			     : "b"(a + 1), "c"(d + 2) : "memory");
	} while (!ok);
}

static void one_round(u32 i)
{
	u64 v, old = 1;
	u32 taken = 1;
	bool was;

	asm volatile("lock; incb %0" : "+m"(n8)::"cc");
	asm volatile("lock; addw $3, %0" : "+m"(n16)::"cc");
	asm volatile("lock; incl %0" : "+m"(n32)::"cc");
	asm volatile("lock; subq $-5, %0" : "+m"(n64)::"cc");
	asm volatile("lock; xaddq %0, %1" : "+r"(old), "+m"(xadd_sum)::"cc");
	do {
		v = cas;
	} while (!__sync_bool_compare_and_swap(&cas, v, v * 3 + 1 - v * 2));
	while (taken) {
		asm volatile("xchgl %0, %1" : "+r"(taken), "+m"(lock)
			     :: "memory");
		if (taken)
			pause();
	}
	guarded = guarded + 1;
	barrier();
	lock = 0;
	asm volatile("lock; btsl %2, %1" : "=@ccc"(was), "+m"(bits)
		     : "r"(i) : "memory");
	if (!was)
		asm volatile("lock; incl %0" : "+m"(won)::"cc");
	add16();
}

static void work(int cpu)
{
	while (!go)
		pause();
	for (u32 i = 0; i < ROUNDS; i++)
		one_round(i);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
	need(1, 2, 13, "CMPXCHG16B");
	smp_start(CPUS, work);
	go = 1;
	work(0);
	while (done < CPUS)
		pause();
	check("INC of a byte", n8, (u8)(ROUNDS * CPUS));
	check("ADD of a word", n16, (u16)(3 * ROUNDS * CPUS));
	check("INC of a doubleword", n32, ROUNDS * CPUS);
	check("SUB of a quadword", n64, 5 * ROUNDS * CPUS);
	check("XADD", xadd_sum, ROUNDS * CPUS);
	check("CMPXCHG", cas, ROUNDS * CPUS);
	check("guarded by XCHG", guarded, ROUNDS * CPUS);
	check("BTS: each bit won once", won, ROUNDS);
	check("CMPXCHG16B, low", pair[0], ROUNDS * CPUS);
	check("CMPXCHG16B, high", pair[1], 2 * ROUNDS * CPUS);
}
