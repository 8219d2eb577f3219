/* SPDX-License-Identifier: Apache-2.0
 *
 * Data accesses across pages: split at every byte, with the halves far apart
 * in memory; a fault on either page leaves no part of the write behind; the
 * same for locked ones. Intel SDM vol. 3A sections 4.7 and 8.1.
 */
#include "map.h"

static u8 *first, *second;

static void faults(u64 at, u64 va)
{
	u64 old = *(u64 *)at;

	map_page(va + 4096, 1, (ulong)second | PTE_P);
	CATCH("movq $-1, (%0)", ::"r"(at) : "memory");
	check_pf("second page read-only", PFE_P | PFE_W, va + 4096);
	check("nothing written", *(u64 *)at, old);
	CATCH("lock; addq $1, (%0)", ::"r"(at) : "memory", "cc");
	check_pf("second page read-only, locked", PFE_P | PFE_W, va + 4096);
	CATCH("pushq (%0); popq (%0)", ::"r"(at) : "memory");
	check_vector("second page read-only, POP", PF, PFE_P | PFE_W);
	check("nothing written", *(u64 *)at, old);
	map_page(va + 4096, 1, 0);
	CATCH("movq (%0), %%rax", ::"r"(at) : "rax", "memory");
	check_pf("second page missing", 0, va + 4096);
	CATCH("movups (%0), %%xmm0", ::"r"(at) : "memory");
	check_pf("second page missing, SSE", 0, va + 4096);
	map_page(va, 1, 0);
	CATCH("movq $-1, (%0)", ::"r"(at) : "memory");
	check_pf("both missing: the first one counts", PFE_W, at);
	map_page(va, 1, (ulong)first | PTE_P | PTE_W);
	map_page(va + 4096, 1, (ulong)second | PTE_P | PTE_W);
	check("all there again", *(u64 *)at, old);
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x1000;

	first = page_alloc();
	page_alloc();
	second = page_alloc();
	map_page(va, 1, (ulong)first | PTE_P | PTE_W);
	map_page(va + 4096, 1, (ulong)second | PTE_P | PTE_W);
	for (u32 split = 1; split < 8; split++) {
		u64 at = va + 4096 - split, v = 0x8877665544332211;
		u64 seen = 0;

		*(volatile u64 *)at = v;
		for (u32 i = 0; i < 8; i++) {
			u8 b = i < split ? first[4096 - split + i]
					 : second[i - split];

			seen |= (u64)b << 8 * i;
		}
		check("8 bytes across", seen, v);
		check("read back", *(volatile u64 *)at, v);
		asm volatile("lock; addq %1, %0" : "+m"(*(u64 *)at)
			     : "r"(v) : "cc");
		check("locked addition across", *(u64 *)at, v + v);
		faults(at, va);
	}
}
