/* SPDX-License-Identifier: Apache-2.0
 *
 * 32-bit paging: 4 KiB and 4 MiB pages, A and D bits, permissions, errors
 * without RSVD and I. Intel SDM vol. 3A section 4.3.
 */
#include "lib.h"

static u32 dir[1024] __page, table[1024] __page;
static u8 target[4096] __page;

static volatile u8 *at(u32 va)
{
	return (volatile u8 *)va;
}

static void fault(const char *what, u32 va, bool write, u32 error)
{
	if (write)
		CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	else
		CATCH("movb (%0), %%al", ::"r"(va) : "eax", "memory");
	check_pf(what, error, va);
}

void guest_main(void)
{
	u32 va = 0x40001000;

	for (u32 i = 0; i < 16; i++)
		dir[i] = i << 22 | 0x83;
	dir[va >> 22] = (u32)table | 7;
	table[1] = (u32)target | 3;
	write_cr4(read_cr4() | 0x10);
	write_cr3((u32)dir);
	write_cr0(read_cr0() | 0x80010000);

	*at(va + 5) = 0x77;
	check("4 KiB page", target[5], 0x77);
	check("A and D of the entry", table[1] & 0x60, 0x60);
	check("A of its directory", dir[va >> 22] & 0x60, 0x20);
	fault("not present", va + 0x1000, false, 0);
	fault("not present, write", va + 0x1000, true, 2);
	table[1] = (u32)target | 1;
	invlpg(at(va));
	fault("read-only", va, true, 3);
	check("A after a faulting write, not D", table[1] & 0x40, 0);

	dir[0x80000000 >> 22] = 0x800000 | 0x83;
	*at(0x80123456) = 0x66;
	check("4 MiB page", *at(0x923456), 0x66);
	check("its A and D", dir[0x200] & 0x60, 0x60);
	write_cr0(read_cr0() & 0x7fffffff);
	write_cr4(read_cr4() & ~0x10UL);
	check("paging off again", target[5], 0x77);
}
