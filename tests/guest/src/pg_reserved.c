/* SPDX-License-Identifier: Apache-2.0
 *
 * Reserved bits in present entries fault with RSVD: address bits beyond
 * MAXPHYADDR, PS in a PML4 entry, low address bits of large pages; entries
 * that are not present have none. Intel SDM vol. 3A sections 4.5.4 and 4.7.
 */
#include "map.h"

static u8 target[4096] __page;
static u64 rsvd = PFE_P | PFE_RSVD;

static void read_page(const char *what, u64 va, u64 error)
{
	invlpg((void *)va);
	CATCH("movb (%0), %%al", ::"r"(va) : "rax", "memory");
	if (error == ~0ULL)
		check_no_trap(what);
	else
		check_pf(what, error, va);
}

void guest_main(void)
{
	u64 va = MAP_BASE, big = MAP_BASE + 0x200000;
	u32 width = cpuid(0x80000008, 0).a & 0xff;

	if (tcg_differs("leaves P out of RSVD faults"))
		rsvd = PFE_RSVD;
	check_range("physical address bits", width, 36, 52);
	map_page(va, 1, (ulong)target | PTE_P | PTE_W);
	map_page(big, 2, 0x200000 | PTE_P | PTE_W | PTE_PS);
	for (int level = 1; width < 52 && level < 5; level++) {
		u64 *e = pte_of(va, level);

		*e |= 1ULL << width;
		read_page("bit MAXPHYADDR", va, rsvd);
		*e ^= 1ULL << width;
		*e |= 1ULL << 51;
		read_page("bit 51", va, rsvd);
		CATCH("movb $0, (%0)", ::"r"(va) : "memory");
		check_pf("bit 51, write", rsvd | PFE_W, va);
		*e ^= 1ULL << 51;
		*e |= 3ULL << 52 | 7 << 9;
		read_page("bits 52, 53, 9..11 are free", va, ~0ULL);
		*e &= ~(3ULL << 52 | 7 << 9);
		*e = (*e | 1ULL << 51) & ~1ULL;
		read_page("bit 51, not present", va, 0);
		*e = (*e & ~(1ULL << 51)) | 1;
	}
	*pte_of(va, 4) |= PTE_PS;
	read_page("PS in the PML4", va, rsvd);
	*pte_of(va, 4) &= ~(u64)PTE_PS;
	read_page("all well", va, ~0ULL);

	*pte_of(big, 2) |= 1 << 13;
	read_page("2 MiB page, bit 13", big, rsvd);
	*pte_of(big, 2) ^= 1 << 13 | 1 << 20;
	read_page("2 MiB page, bit 20", big, rsvd);
	*pte_of(big, 2) ^= 1 << 20;
	read_page("2 MiB page", big, ~0ULL);
}
