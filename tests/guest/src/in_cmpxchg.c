/* SPDX-License-Identifier: Apache-2.0
 *
 * CMPXCHG of each size, CMPXCHG8B, CMPXCHG16B: equal and different, which
 * registers and flags change, alignment, the write that always happens.
 * Intel SDM vol. 2.
 */
#include "map.h"

static u64 wide[2] __attribute__((aligned(16)));

static void eight_bytes(void)
{
	u64 m = 0x1111111122222222;
	u32 a = 0x22222222, d = 0x11111111;
	bool zf;

	asm volatile("lock; cmpxchg8b %0"
		     : "+m"(m), "+a"(a), "+d"(d), "=@ccz"(zf)
		     : "b"(0x33333333), "c"(0x44444444));
	check("CMPXCHG8B equal, ZF", zf, 1);
	check("CMPXCHG8B equal, memory", m, 0x4444444433333333);
	a = 0x33333334;
	d = 0x44444444;
	asm volatile("cmpxchg8b %0"
		     : "+m"(m), "+a"(a), "+d"(d), "=@ccz"(zf)
		     : "b"(0x55555555), "c"(0x66666666));
	check("CMPXCHG8B different, ZF", zf, 0);
	check("CMPXCHG8B different, memory", m, 0x4444444433333333);
	check("CMPXCHG8B different, EAX", a, 0x33333333);
	check("CMPXCHG8B different, EDX", d, 0x44444444);
}

static void sixteen_bytes(void)
{
	u64 a = 1, d = 2;
	bool zf, cf;

	wide[0] = 1;
	wide[1] = 2;
	asm volatile("lock; cmpxchg16b %0"
		     : "+m"(wide), "+a"(a), "+d"(d), "=@ccz"(zf)
		     : "b"(3UL), "c"(4UL));
	check("CMPXCHG16B equal, ZF", zf, 1);
	check("CMPXCHG16B equal, low", wide[0], 3);
	check("CMPXCHG16B equal, high", wide[1], 4);
	a = 3;
	d = 0x1234;
	asm volatile("stc; cmpxchg16b %0"
		     : "+m"(wide), "+a"(a), "+d"(d), "=@ccz"(zf), "=@ccc"(cf)
		     : "b"(5UL), "c"(6UL));
	check("CMPXCHG16B different, ZF", zf, 0);
	if (!tcg_differs("loses CF in CMPXCHG16B"))
		check("CMPXCHG16B leaves CF", cf, 1);
	check("CMPXCHG16B different, memory", wide[1], 4);
	check("CMPXCHG16B different, RDX", d, 4);
	CATCH("cmpxchg16b 8(%0)", ::"r"(wide), "a"(0), "d"(0), "b"(0), "c"(0)
	      : "memory");
	check_trap("CMPXCHG16B misaligned", GP, 0);
}

void guest_main(void)
{
	u64 va = MAP_BASE, m = 0x1111111111111111, a;
	bool zf;

	a = 0xffffffff11111111;
	asm volatile("cmpxchgl %3, %0"
		     : "+m"(m), "+a"(a), "=@ccz"(zf) : "r"(0x22222222));
	check("CMPXCHG equal, ZF", zf, 1);
	check("CMPXCHG equal, memory", m, 0x1111111122222222);
	a = 0xffffffff11111111;
	asm volatile("cmpxchgl %3, %0"
		     : "+m"(m), "+a"(a), "=@ccz"(zf) : "r"(0x33333333));
	check("CMPXCHG different, ZF", zf, 0);
	check("CMPXCHG different, RAX is zero-extended", a, 0x22222222);
	a = 0x2222;
	asm volatile("lock; cmpxchgb %b3, %0"
		     : "+m"(m), "+a"(a), "=@ccz"(zf) : "q"(0x77));
	check("CMPXCHG of a byte", m, 0x1111111122222277);
	a = 0x1111111122222277;
	asm volatile("lock; cmpxchgq %3, %0"
		     : "+m"(m), "+a"(a), "=@ccz"(zf) : "r"(5UL));
	check("CMPXCHG of 8 bytes", m, 5);
	eight_bytes();
	need(1, 2, 13, "CMPXCHG16B");
	sixteen_bytes();

	/* it writes even when the comparison fails */
	map_page(va, 1, (ulong)page_alloc() | PTE_P);
	CATCH("cmpxchgl %%ecx, (%0)", ::"r"(va), "a"(1), "c"(2) : "memory");
	check_pf("CMPXCHG different on a read-only page", PFE_P | PFE_W, va);
	CATCH("cmpxchg8b (%0)", ::"r"(va), "a"(1), "d"(0) : "memory");
	check_pf("CMPXCHG8B different on a read-only page", PFE_P | PFE_W, va);
}
