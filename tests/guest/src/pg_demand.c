/* SPDX-License-Identifier: Apache-2.0
 *
 * Demand paging: a handler maps each page that is touched and the faulting
 * instruction goes on, for plain, locked, string and SSE accesses, and for
 * code. Intel SDM vol. 3A section 6.15 (interrupt 14).
 */
#include "map.h"

enum { PAGES = 16, MEMORY = 0x800000 };
static u64 base = MAP_BASE + 0x100000;
static volatile u32 faults;

static void page_fault(struct frame *f)
{
	u64 at = read_cr2() & ~4095ULL, page = (at - base) >> 12;

	faults++;
	if (f->error & PFE_P || page >= PAGES)
		fail("a fault that should not be");
	*pte_of(at, 1) = (MEMORY + (PAGES - 1 - page) * 4096) | PTE_P | PTE_W;
}

static void unmap(void)
{
	for (u64 i = 0; i < PAGES; i++)
		map_page(base + i * 4096, 1, 0);
	faults = 0;
}

void guest_main(void)
{
	ulong c = PAGES * 512, d = base, s;
	u64 sum = 0;

	/* a stack of its own: the guest's may be the one to map */
	trap_default_ist(PF, 1);
	trap_hook_set(PF, page_fault);
	unmap();
	asm volatile("rep stosq" : "+c"(c), "+D"(d) : "a"(3UL) : "memory");
	check("REP STOSQ, faults", faults, PAGES);
	unmap();
	for (u64 i = 0; i < PAGES * 512; i++)
		sum += *(volatile u64 *)(base + i * 8);
	check("reads, faults", faults, PAGES);
	check("sum", sum, 3 * 512 * PAGES);
	unmap();
	asm volatile("lock; addq $4, (%0)" ::"r"(base + 4092) : "memory",
		     "cc");
	check("locked across a page, faults", faults, 2);
	/* the upper half of one 3 and the lower half of the next */
	check("its result", *(volatile u64 *)(base + 4092), 0x300000004);
	unmap();
	asm volatile("movups (%0), %%xmm0; movups %%xmm0, 8192(%0)"
		     ::"r"(base + 4088) : "memory");
	check("SSE across pages, faults", faults, 4);
	unmap();
	c = 8, s = base + 4094, d = base + 5 * 4096 - 2;
	asm volatile("rep movsb" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("REP MOVSB, faults", faults, 4);
	check("what it moved", *(volatile u64 *)(base + 5 * 4096 - 2) & 0xffffffff,
	      *(volatile u32 *)(base + 4094));
	*(u32 *)(base + 4096 * 7 - 1) = 0xc3909090;
	unmap();
	asm volatile("call *%0" ::"r"(base + 4096 * 7 - 1) : "memory");
	check("code across a page, faults", faults, 2);
	unmap();
	asm volatile("mov %%rsp, %%rcx; mov %0, %%rsp\n\t"
		     "push %%rax; push %%rax; pop %%rax; mov %%rcx, %%rsp"
		     ::"r"(base + 4096 + 8) : "rcx", "rax", "memory");
	check("push and pop, faults", faults, 2);
}
