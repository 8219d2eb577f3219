/* SPDX-License-Identifier: Apache-2.0
 *
 * REP MOVS, STOS, LODS, CMPS and SCAS across pages with a fault in the
 * middle: RCX, RSI and RDI tell how far it came, RIP is at the instruction,
 * and it can go on from there. Intel SDM vol. 2 REP, vol. 1 section 7.3.9.3.
 */
#include "map.h"

static u8 *src, *dst;

static void start(u64 va, bool both)
{
	map_page(va, 1, (ulong)dst | PTE_P | PTE_W);
	map_page(va + 0x1000, 1, both ? ((ulong)dst + 0x1000) | PTE_P | PTE_W
				      : 0);
	memset(dst, 0, 8192);
}

static void movs(u64 va)
{
	ulong c = 100, s = (ulong)src, d = va + 0x1000 - 60;

	start(va, false);
	CATCH("rep movsb", : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check_pf("REP MOVSB", PFE_W, va + 0x1000);
	check("RCX at the fault", caught.regs.cx, 40);
	check("RSI at the fault", caught.regs.si, (ulong)src + 60);
	check("RDI at the fault", caught.regs.di, va + 0x1000);
	check("copied so far", memcmp(dst + 0x1000 - 60, src, 60), 0);
	c = caught.regs.cx;
	s = caught.regs.si;
	d = caught.regs.di;
	map_page(va + 0x1000, 1, ((ulong)dst + 0x1000) | PTE_P | PTE_W);
	asm volatile("rep movsb" : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check("all of it", memcmp(dst + 0x1000 - 60, src, 100), 0);

	/* an element that straddles faults without a trace of it */
	start(va, false);
	c = 10;
	s = (ulong)src;
	d = va + 0x1000 - 20;
	CATCH("rep movsq", : "+c"(c), "+S"(s), "+D"(d)::"memory");
	check_pf("REP MOVSQ, straddling", PFE_W, va + 0x1000);
	check("RCX", caught.regs.cx, 8);
	check("RDI", caught.regs.di, va + 0x1000 - 4);
	check("nothing of the third", *(u32 *)(dst + 0xffc), 0);
}

static void others(u64 va)
{
	ulong c = 50, d = va + 0x1000 - 40 * 4, s;

	start(va, false);
	CATCH("rep stosl", : "+c"(c), "+D"(d) : "a"(0x5a5a5a5a) : "memory");
	check_pf("REP STOSL", PFE_W, va + 0x1000);
	check("RCX", caught.regs.cx, 10);
	check("last one stored", *(u32 *)(dst + 0xffc), 0x5a5a5a5a);
	c = 50;
	d = va + 0x1000 - 30;
	CATCH("repne scasb", : "+c"(c), "+D"(d) : "a"(1) : "memory", "cc");
	check_pf("REPNE SCASB", 0, va + 0x1000);
	check("RCX", caught.regs.cx, 20);
	c = 50;
	d = va + 0x1000 - 30;
	s = (ulong)dst + 0x1000 - 30;
	CATCH("repe cmpsb", : "+c"(c), "+D"(d), "+S"(s)::"memory", "cc");
	check_pf("REPE CMPSB", 0, va + 0x1000);
	check("RCX", caught.regs.cx, 20);
	check("RSI", caught.regs.si, (ulong)dst + 0x1000);
	c = 7;
	s = va + 0x1000 - 3;
	CATCH("rep lodsb", : "+c"(c), "+S"(s)::"rax", "memory");
	check_pf("REP LODSB", 0, va + 0x1000);
	check("RCX", caught.regs.cx, 4);
	c = 0;
	d = va + 0x1000;
	CATCH("rep stosb", : "+c"(c), "+D"(d) : "a"(1) : "memory");
	check_no_trap("REP STOSB of nothing");
	start(va, true);
	c = 512;
	d = va + 0x800;
	asm volatile("rep stosq" : "+c"(c), "+D"(d) : "a"(~0UL) : "memory");
	check("4 KiB across a page, first", *(u64 *)(dst + 0x800), ~0ULL);
	check("4 KiB across a page, last", *(u64 *)(dst + 0x17f8), ~0ULL);
	check("4 KiB across a page, behind", *(u64 *)(dst + 0x1800), 0);
}

void guest_main(void)
{
	src = page_alloc();
	dst = page_alloc();
	/* the pool is contiguous */
	check("two pages", (ulong)page_alloc() - (ulong)dst, 0x1000);
	for (int i = 0; i < 4096; i++)
		src[i] = i * 7 + 1;
	movs(MAP_BASE + 0x10000);
	others(MAP_BASE + 0x20000);
}
