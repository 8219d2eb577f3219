/* SPDX-License-Identifier: Apache-2.0
 *
 * MC146818: plausible date in BCD and binary, seconds that go on, NVRAM,
 * periodic interrupts at 1024 Hz until register C is read. Motorola
 * MC146818A data sheet.
 */
#include "chips.h"

static volatile u32 count, read_c = 1, status;

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cmos_set(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static void tick(struct frame *f)
{
	count++;
	if (read_c)
		status = cmos(0xc);
	outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static u32 bcd(u8 v)
{
	return (v >> 4) * 10 + (v & 15);
}

static u8 stable(u8 reg)
{
	while (cmos(0xa) & 0x80)
		;
	return cmos(reg);
}

static void time(void)
{
	u8 b = cmos(0xb), first, sec;
	bool binary = b & 4;
	u32 v;

	check("valid RAM and time", cmos(0xd) & 0x80, 0x80);
	v = stable(0);
	check_range("second", binary ? v : bcd(v), 0, 59);
	v = stable(8);
	check_range("month", binary ? v : bcd(v), 1, 12);
	v = stable(7);
	check_range("day", binary ? v : bcd(v), 1, 31);
	v = stable(9);
	check_range("year", binary ? v : bcd(v), 24, 99);
	cmos_set(0xb, b ^ 4);
	v = stable(9);
	check_range("year, the other way", binary ? bcd(v) : v, 24, 99);
	cmos_set(0xb, b);

	first = sec = stable(0);
	for (int i = 0; i < 30 && sec == first; i++) {
		delay_us(50000);
		sec = stable(0);
	}
	check("the second changes", sec != first, 1);
	cmos_set(0x40, 0x5a);
	check("NVRAM", cmos(0x40), 0x5a);
}

void guest_main(void)
{
	u32 n;

	time();
	lapic_init();
	lapic_write(LAPIC_LVT_LINT0, 0x700);
	trap_hook_set(PIC_BASE + 8, tick);
	pic_init(0xfb, 0xfe);
	cmos_set(0xa, 0x26);
	cmos_set(0xb, (cmos(0xb) & 7) | 0x42);
	cmos(0xc);
	/* a busy host makes some late, and then others early */
	wait_count(&count, 20, 10000);
	n = pit_ticks();
	check_range("interrupts", count, 20, 21);
	check_range("their time in PIT ticks", n, 20 * 1165 / 2,
		    20 * 1165 * 400);
	check("register C", status & 0xc0, 0xc0);
	read_c = 0;
	wait_count(&count, count + 1, 5000);
	n = count;
	irq_on();
	delay_us(20000);
	irq_off();
	check("none until register C is read", count, n);
	cmos_set(0xb, cmos(0xb) & ~0x40);
	cmos(0xc);
	irq_on();
	delay_us(10000);
	irq_off();
	check("none when switched off", count, n);
}
