/* SPDX-License-Identifier: Apache-2.0
 *
 * HPET interrupts through the IOAPIC: one shot, edge; level with its status
 * bit; periodic with the accumulator; legacy replacement, which takes pin 2
 * away from the 8254. IA-PC HPET specification 1.0a, sections 2.3.6 to 2.3.9.
 */
#include "chips.h"

enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0, TIMER0 = 0x100,
       VECTOR = 0x48, LEVEL = 2, ENABLE = 4, PERIODIC = 8, SET = 0x40 };

static ulong base;
static u32 tick; /* per 100 us */
static volatile u32 count, end_level;

static u64 get(u32 reg)
{
	return *(volatile u64 *)(base + reg);
}

static void set(u32 reg, u64 v)
{
	*(volatile u64 *)(base + reg) = v;
}

static void hit(struct frame *f)
{
	count++;
	if (end_level) {
		set(TIMER0, 0);
		set(STATUS, 1);
	}
	lapic_eoi();
}

static u32 comes_within(u32 us)
{
	u32 before = count;

	irq_on();
	for (u32 i = 0; i < us / 100 && before == count; i++)
		delay_us(100);
	irq_off();
	return count - before;
}

static void start(u64 config)
{
	set(CONFIG, 0);
	set(COUNTER, 0);
	set(STATUS, 7);
	set(TIMER0, config);
	set(TIMER0 + 8, 5 * (u64)tick);
	if (config & PERIODIC)
		set(TIMER0 + 8, 5 * (u64)tick);
	set(CONFIG, 1);
}

static void edge(u32 pin)
{
	ioapic_route(pin, VECTOR);
	start(pin << 9 | ENABLE);
	check("one shot", comes_within(2000000), 1);
	check("only one", comes_within(3000), 0);
	check("no status of an edge", get(STATUS) & 1, 0);
	start(pin << 9);
	check("not enabled", comes_within(3000), 0);
}

static void level(u32 pin)
{
	ioapic_route(pin, 0x8000 | VECTOR);
	end_level = 1;
	start(pin << 9 | ENABLE | LEVEL);
	check("level", comes_within(2000000), 1);
	check("no more behind it", comes_within(3000), 0);
	end_level = 0;
	ioapic_route(pin, 0x18000 | VECTOR);
	start(pin << 9 | ENABLE | LEVEL);
	for (int i = 0; i < 10000 && !(get(STATUS) & 1); i++)
		delay_us(100);
	check("status", get(STATUS) & 1, 1);
	set(STATUS, 0);
	check("writing 0 changes nothing", get(STATUS) & 1, 1);
	set(STATUS, 1);
	check("writing 1 clears", get(STATUS) & 1, 0);
}

static void periodic(u32 pin)
{
	u64 at;
	u32 n;

	ioapic_route(pin, VECTOR);
	count = 0;
	start(pin << 9 | ENABLE | PERIODIC | SET);
	wait_count(&count, 10, 10000);
	at = get(COUNTER);
	set(TIMER0, 0);
	n = count;
	check_range("periods", n, 10, 1000);
	check_range("their time", at / (5 * (u64)tick), n, 100000);
}

/* Timer 0 comes at pin 2, and the 8254 does not. */
static void legacy(void)
{
	ioapic_route(2, VECTOR);
	set(CONFIG, 0);
	set(COUNTER, 0);
	set(TIMER0, ENABLE);
	set(TIMER0 + 8, 5 * (u64)tick);
	set(CONFIG, 3);
	check("legacy route", comes_within(2000000), 1);
	set(TIMER0, 0);
	check("no 8254", comes_within(60000), 0);
	set(CONFIG, 0);
	check("the 8254 is back", comes_within(2000000), 1);
}

void guest_main(void)
{
	const u8 *table = acpi_table("HPET");
	u32 routes, pin = 23;

	if (!table)
		fail("no HPET table");
	base = *(u64 *)(table + 44);
	tick = (u32)(100000000000 / (get(0) >> 32));
	routes = get(TIMER0) >> 32;
	while (pin && !(routes >> pin & 1))
		pin--;
	check("it has a route", pin > 0, 1);
	lapic_init();
	trap_hook_set(VECTOR, hit);
	edge(pin);
	level(pin);
	periodic(pin);
	ioapic_route(pin, 0x10000);
	if (get(0) & 0x8000)
		legacy();
}
