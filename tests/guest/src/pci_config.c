/* SPDX-License-Identifier: Apache-2.0
 *
 * PCI configuration by ports 0xcf8 and 0xcfc: the latch and its enable bit,
 * bytes and words, functions that are not there, read-only registers, BAR
 * sizes, and the same registers through the memory window that MCFG names.
 * PCI Local Bus 3.0 sections 3.2.2.3.2 and 6.2.5.1; PCI Firmware 3.0, 4.1.2.
 */
#include "chips.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc };

static u32 where(u32 bdf, u32 reg)
{
	return 0x80000000 | bdf << 8 | (reg & 0xfc);
}

static u32 get(u32 bdf, u32 reg)
{
	outl(ADDRESS, where(bdf, reg));
	return inl(DATA);
}

static void set(u32 bdf, u32 reg, u32 v)
{
	outl(ADDRESS, where(bdf, reg));
	outl(DATA, v);
}

static void latch(void)
{
	u32 id = get(0, 0);

	check("a host bridge", get(0, 8) >> 16, 0x0600);
	outl(ADDRESS, where(0, 0));
	check("latch", inl(ADDRESS), 0x80000000);
	check("word", inw(DATA), id & 0xffff);
	check("upper word", inw(DATA + 2), id >> 16);
	for (u32 i = 0; i < 4; i++)
		check("byte", inb(DATA + i), id >> 8 * i & 0xff);
	outb(ADDRESS, 0x40);
	outw(ADDRESS, 0x1234);
	check("only a doubleword sets it", inl(ADDRESS), 0x80000000);
	outl(ADDRESS, 0);
	check("not enabled", inl(DATA), 0xffffffff);
	outl(ADDRESS, where(0, 0));
	outl(DATA, 0);
	check("the identity stays", get(0, 0), id);
}

static void absent(void)
{
	check("no such device", get(30 << 3, 0), 0xffffffff);
	check("no such function", get(7, 0), 0xffffffff);
	check("no such bus", get(200 << 8, 0), 0xffffffff);
	set(30 << 3, 4, 7);
	check("still none", get(30 << 3, 4), 0xffffffff);
}

/* All ones, the size from what stays, and back. */
static void bars(u32 bdf)
{
	u32 command = get(bdf, 4) & 0xffff, count = 6;

	if ((get(bdf, 12) >> 16 & 0x7f) == 1)
		count = 2;
	set(bdf, 4, command & ~7);
	for (u32 i = 0; i < count; i++) {
		u32 reg = 0x10 + 4 * i, was = get(bdf, reg), mask;

		set(bdf, reg, 0xffffffff);
		mask = get(bdf, reg);
		set(bdf, reg, was);
		check("BAR as before", get(bdf, reg), was);
		if (!mask)
			continue;
		check("its kind stays", (mask ^ was) & (was & 1 ? 3 : 15), 0);
		mask &= mask & 1 ? ~3u : ~15u;
		check("one run of bits", (mask | (mask - 1)), 0xffffffff);
		if ((was & 7) == 4)
			i++;
	}
	set(bdf, 4, command);
}

static u32 window_checks(const u8 *mcfg, u32 bdf)
{
	ulong base = *(u64 *)(mcfg + 44);
	volatile u32 *config = (volatile u32 *)(base + ((ulong)bdf << 12));
	u32 differing = 0;

	for (u32 reg = 0; reg < 256; reg += 4)
		if (config[reg / 4] != get(bdf, reg))
			differing++;
	return differing;
}

void guest_main(void)
{
	const u8 *mcfg = acpi_table("MCFG");
	u32 found = 0;

	latch();
	absent();
	for (u32 bdf = 0; bdf < 256; bdf++) {
		if (get(bdf, 0) == 0xffffffff)
			continue;
		found++;
		bars(bdf);
		if (mcfg)
			check("the window differs", window_checks(mcfg, bdf), 0);
		if (!(bdf & 7) && !(get(bdf, 12) >> 16 & 0x80))
			bdf += 7;
	}
	check_range("functions", found, 2, 64);
}
