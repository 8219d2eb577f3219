/* SPDX-License-Identifier: Apache-2.0
 *
 * Locked operations that straddle a cache line and two pages (far apart in
 * memory) are atomic, too: exact sums from two processors. Intel SDM vol. 3A
 * section 8.1.2.2.
 */
#include "chips.h"
#include "map.h"

enum { ROUNDS = 500 };
static u8 line[128] __attribute__((aligned(64)));
static u64 va = MAP_BASE + 0x1000;
static volatile u32 go, done;

static void add(volatile void *p)
{
	asm volatile("lock; addq %1, %0" : "+m"(*(volatile u64 *)p)
		     : "r"(0x0100000001000001) : "cc");
}

static void work(int cpu)
{
	while (!go)
		pause();
	for (int i = 0; i < ROUNDS; i++) {
		add(line + 60);
		add((void *)(va + 4092));
		asm volatile("lock; incl (%0)" ::"r"(va + 4085)
			     : "memory", "cc");
	}
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_main(void)
{
	u64 want = 0x0100000001000001ULL * 2 * ROUNDS;

	map_page(va, 1, (ulong)page_alloc() | PTE_P | PTE_W);
	page_alloc();
	map_page(va + 4096, 1, (ulong)page_alloc() | PTE_P | PTE_W);
	smp_start(2, work);
	go = 1;
	work(0);
	while (done < 2)
		pause();
	check("across a cache line", *(u64 *)(line + 60), want);
	check("across a page", *(u64 *)(va + 4092), want);
	check("beside it", *(u32 *)(va + 4085), 2 * ROUNDS);
}
