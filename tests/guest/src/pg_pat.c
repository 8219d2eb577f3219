/* SPDX-License-Identifier: Apache-2.0
 *
 * PAT: the MSR takes the defined types and faults on others; every memory
 * type in the entries of 4 KiB and 2 MiB pages leaves data and translation
 * right. Intel SDM vol. 3A sections 4.9.2 and 11.12.
 */
#include "map.h"

static u8 target[4096] __page;

void guest_main(void)
{
	static const u8 types[] = { 0, 1, 4, 5, 6, 7 };
	u64 va = MAP_BASE, big = MAP_BASE + 0x200000, old;

	need(1, 3, 16, "PAT");
	old = rdmsr(MSR_PAT);
	for (u32 i = 0; i < array_size(types); i++) {
		u64 v = types[i] * 0x0101010101010101ULL;

		wrmsr(MSR_PAT, v);
		check("PAT reads back", rdmsr(MSR_PAT), v);
	}
	wrmsr(MSR_PAT, 0x0007040600070406);
	for (u32 bits = 0; bits < 8; bits++) {
		u64 cache = (bits & 1 ? PTE_PWT : 0) | (bits & 2 ? PTE_PCD : 0);
		volatile u32 *p = (void *)va, *q = (void *)(big + 0x10000);

		map_page(va, 1, (ulong)target | PTE_P | PTE_W | cache |
				(bits & 4 ? 0x80 : 0));
		map_page(big, 2, 0x200000 | PTE_P | PTE_W | PTE_PS | cache |
				 (bits & 4 ? 0x1000 : 0));
		*p = 0x1000 + bits;
		asm volatile("mfence; wbinvd" ::: "memory");
		check("4 KiB page", *(volatile u32 *)target, 0x1000 + bits);
		*q = 0x2000 + bits;
		asm volatile("mfence" ::: "memory");
		check("2 MiB page", *(volatile u32 *)0x210000, 0x2000 + bits);
	}
	wrmsr(MSR_PAT, old);
	if (tcg_differs("takes any PAT"))
		return;
	CATCH("wrmsr", ::"c"(MSR_PAT), "a"(2), "d"(0) : "memory");
	check_trap("PAT type 2", GP, 0);
	CATCH("wrmsr", ::"c"(MSR_PAT), "a"(0), "d"(0x08000000) : "memory");
	check_trap("PAT type 8", GP, 0);
}
