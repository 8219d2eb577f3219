/* SPDX-License-Identifier: Apache-2.0
 *
 * HPET, found through its ACPI table: capabilities, the counter halted,
 * written and running, its rate against the 8254, halves of registers,
 * comparators of 32 bits. IA-PC HPET specification 1.0a, section 2.3.
 */
#include "chips.h"

static ulong base;

static u64 get(u32 reg)
{
	return *(volatile u64 *)(base + reg);
}

static void set(u32 reg, u64 v)
{
	*(volatile u64 *)(base + reg) = v;
}

static u32 get32(u32 reg)
{
	return *(volatile u32 *)(base + reg);
}

static void set32(u32 reg, u32 v)
{
	*(volatile u32 *)(base + reg) = v;
}

static void halted(void)
{
	u64 first;

	set(0x10, 0);
	first = get(0xf0);
	delay_us(100);
	check("halted", get(0xf0), first);
	set(0xf0, 0x123456789abcdef0);
	check("written", get(0xf0), 0x123456789abcdef0);
	check("low half", get32(0xf0), 0x9abcdef0);
	check("high half", get32(0xf4), 0x12345678);
	set32(0xf4, 0);
	set32(0xf0, 0xfffff000);
	check("written by halves", get(0xf0), 0xfffff000);
}

static void running(u32 femtoseconds)
{
	u64 last = get(0xf0), now, start, ticks;
	u32 percent;

	set(0x10, 1);
	for (int i = 0; i < 1000; i++) {
		now = get(0xf0);
		if (now < last)
			fail("the counter went back");
		last = now;
	}
	pit_start();
	start = pit_ticks();
	last = get(0xf0);
	while ((ticks = pit_ticks()) - start < 23864)
		;
	now = get(0xf0) - last;
	/* 20 ms = 2e13 fs; of PIT ticks as they were */
	percent = (u32)(now * (femtoseconds / 1000) /
			((ticks - start) * 838095344 / 1000 * 1000 / 100 /
			 1000));
	check_range("rate, in percent", percent, 90, 115);
	check("beyond 32 bits", get(0xf0) > 0xffffffff, 1);
	set(0x10, 0);
	check("halted again", get(0xf0), get(0xf0));
}

static void comparators(u32 timers)
{
	for (u32 i = 0; i < timers; i++) {
		u32 at = 0x100 + 0x20 * i;

		set(at, 0);
		set(at + 8, 0x1122334455667788);
		if (get(at) & 0x20)
			check("64 bits", get(at + 8), 0x1122334455667788);
		set(at, 0x100);
		set(at + 8, 0x1122334455667788);
		check("32 bits", get32(at + 8), 0x55667788);
		check("32-bit mode reads back", get(at) & 0x100,
		      get(at) & 0x20 ? 0x100 : 0);
		set(at, 0);
	}
}

void guest_main(void)
{
	const u8 *table = acpi_table("HPET");
	u64 id;

	if (!table)
		fail("no HPET table");
	base = *(u64 *)(table + 44);
	id = get(0);
	check("the table's ID", *(u32 *)(table + 36), (u32)id);
	check_range("period", id >> 32, 1, 100000000);
	check_range("timers", (id >> 8 & 31) + 1, 3, 32);
	check("counter of 64 bits", id >> 13 & 1, 1);
	set(0, 0);
	check("capabilities are read-only", get(0), id);
	halted();
	running(id >> 32);
	comparators((id >> 8 & 31) + 1);
}
