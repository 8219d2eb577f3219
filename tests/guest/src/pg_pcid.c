/* SPDX-License-Identifier: Apache-2.0
 *
 * PCID and INVPCID: each address space keeps its translations right, bit 63
 * of CR3, the rules for CR4.PCIDE, INVPCID's types and faults. Intel SDM vol.
 * 3A section 4.10.1, vol. 2 INVPCID.
 */
#include "map.h"

static u8 first[4096] __page, second[4096] __page;

static u8 load(u64 va)
{
	return *(volatile u8 *)va;
}

static void invpcid(u64 type, u64 pcid, u64 address)
{
	u64 d[2] = { pcid, address };

	CATCH("invpcid %0, %1", ::"m"(d), "r"(type) : "memory");
}

static void try_invpcid(u64 va, u64 *e, u64 a, u64 b)
{
	for (u64 type = 0; type < 4; type++) {
		*e = a;
		invlpg((void *)va);
		check("before INVPCID", load(va), 1);
		*e = b;
		invpcid(type, read_cr3() & 0xfff, va);
		check_no_trap("INVPCID");
		check("after INVPCID", load(va), 2);
	}
	invpcid(4, 0, va);
	check_trap("INVPCID type 4", GP, 0);
	invpcid(0, 0x1000, va);
	check_trap("INVPCID of PCID 0x1000", GP, 0);
	invpcid(0, 0, 1ULL << 63);
	check_trap("INVPCID non-canonical", GP, 0);
}

void guest_main(void)
{
	u64 va = MAP_BASE, *e = pte_of(va, 1), cr3 = read_cr3();
	u64 a = (ulong)first | PTE_P | PTE_W, b = (ulong)second | PTE_P | PTE_W;

	need(1, 2, 17, "PCID");
	first[0] = 1;
	second[0] = 2;
	write_cr3(cr3 | 8);
	CATCH("mov %0, %%cr4", ::"r"(read_cr4() | 1UL << 17) : "memory");
	check_trap("PCIDE with bits in CR3's PCID", GP, 0);
	write_cr3(cr3);
	CATCH("mov %0, %%cr4", ::"r"(read_cr4() | 1UL << 17) : "memory");
	check_no_trap("PCIDE");

	*e = a;
	write_cr3(cr3 | 1);
	check("PCID 1", load(va), 1);
	write_cr3(cr3 | 2);
	check("PCID 2", load(va), 1);
	*e = b;
	write_cr3(cr3 | 1);
	check("PCID 1 renewed by its load", load(va), 2);
	write_cr3(cr3 | 2 | 1ULL << 63);
	check_range("PCID 2 kept: old or new", load(va), 1, 2);
	check("CR3 bit 63 reads 0", read_cr3(), cr3 | 2);
	write_cr3(cr3 | 2);
	check("PCID 2 renewed by its load", load(va), 2);
	if (cpu_has(7, 1, 10))
		try_invpcid(va, e, a, b);
	CATCH("mov %0, %%cr0", ::"r"(read_cr0() & ~(1UL << 31)) : "memory");
	check_trap("paging off with PCIDE", GP, 0);
	write_cr3(cr3);
	CATCH("mov %0, %%cr4", ::"r"(read_cr4() & ~(1UL << 17)) : "memory");
	check_no_trap("PCIDE off");
}
