/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between page walks (mmu.c), the TLB's upkeep (tlb.c) and the slow access
 * paths (access.c). Everybody else includes x86/access.h.
 */
#ifndef LODGE_X86_MMU_H
#define LODGE_X86_MMU_H

#include "x86/access.h"

#define MMU_READ  1u
#define MMU_WRITE 2u
#define MMU_EXEC  4u

/* Where an access within one page goes. */
struct mmu_page {
	uint64_t gpa;
	uint8_t *host; /* memory, of the same address; NULL otherwise */
	const struct memory_region *region; /* NULL: MMIO, or a TLB hit */
	bool apic; /* the xAPIC's registers */
};

/*
 * Translates `linear`, checks rights, sets A and D, fills the TLB; raises
 * #PF, or #GP(0) when the address is not canonical.
 */
enum x86_result mmu_walk(struct x86_cpu *cpu, uint64_t linear,
			 enum x86_access access, struct mmu_page *page);

/* The memory region that holds guest-physical `addr`, or NULL. */
const struct memory_region *mmu_region(struct x86_cpu *cpu, uint64_t addr);

/* memory.page_flags of the page at `addr` in region `r`. */
uint8_t mmu_page_flags(struct x86_cpu *cpu, const struct memory_region *r,
		       uint64_t addr);

#endif
