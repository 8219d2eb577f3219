/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions that lie across two pages, at every split, with the second
 * page elsewhere in memory, missing, or not executable: the fault's CR2 is
 * the second page, RIP the instruction. Intel SDM vol. 3A section 4.7.
 */
#include "map.h"

/* lock addq $0x11223344, 0x55667788(%rax): 13 bytes with a GS prefix */
static const u8 insn[] = { 0x65, 0xf0, 0x48, 0x81, 0x80, 0x88, 0x77, 0x66,
			   0x55, 0x44, 0x33, 0x22, 0x11, 0xc3 };
static u64 sum;

static void write_split(u8 *first, u8 *second, u32 split)
{
	memset(first, 0xcc, 4096);
	memset(second, 0xcc, 4096);
	for (u32 i = 0; i < sizeof(insn); i++) {
		u32 at = 4096 - split + i;

		if (at < 4096)
			first[at] = insn[i];
		else
			second[at - 4096] = insn[i];
	}
}

static void run(u64 at)
{
	CATCH("mov $1f, %%edx; push %%rdx; jmp *%0; 1:", ::"r"(at),
	      "a"((ulong)&sum - 0x55667788) : "rdx", "memory", "cc");
}

void guest_main(void)
{
	u64 va = MAP_BASE + 0x1000;
	u8 *first = page_alloc(), *apart = page_alloc(), *second = page_alloc();

	memset(apart, 0xcc, 4096);
	map_page(va, 1, (ulong)first | PTE_P | PTE_W);
	for (u32 split = 1; split < sizeof(insn); split++) {
		u64 at = va + 4096 - split;

		write_split(first, second, split);
		sum = 1;
		map_page(va + 4096, 1, (ulong)second | PTE_P | PTE_W);
		run(at);
		check_no_trap("both pages");
		check("its result", sum, 0x11223345);
		map_page(va + 4096, 1, 0);
		sum = 0;
		run(at);
		check_vector("second page missing", PF, PFE_I);
		if (split < sizeof(insn) - 1)
			check("its RIP", caught.ip, at);
		check("its CR2", caught.cr2, va + 4096);
		/* RET alone is on the second page in the last round */
		check("it did nothing", sum,
		      split < sizeof(insn) - 1 ? 0 : 0x11223344);
		map_page(va + 4096, 1, (ulong)second | PTE_P | PTE_NX);
		run(at);
		check_vector("second page NX", PF, PFE_P | PFE_I);
		check("its CR2", caught.cr2, va + 4096);
		/* the second half changes while the first stays */
		map_page(va + 4096, 1, (ulong)second | PTE_P | PTE_W);
		if (split < sizeof(insn) - 1) {
			second[sizeof(insn) - 2 - split] = 0x12;
			sum = 0;
			run(at);
			check_no_trap("second half changed");
			check("its result", sum, 0x12223344);
		}
	}
}
