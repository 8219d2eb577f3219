/* SPDX-License-Identifier: Apache-2.0
 *
 * MC146818: alarm and update-ended flags, the time held by SET, hours of 12
 * in BCD, read-only registers, register C that reading clears. Motorola
 * MC146818A data sheet, "Time, calendar and alarm locations", "Registers".
 */
#include "chips.h"

enum { SECOND, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM,
       A = 10, B, C, D, UF = 0x10, AF = 0x20, IRQF = 0x80, SET = 0x80,
       BINARY = 4, H24 = 2 };

static u8 get(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void set(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

/* The flags that came within two and a half seconds, of those wanted. */
static u8 wait_flags(u8 wanted)
{
	u8 seen = 0;

	for (int i = 0; i < 2500 && (seen & wanted) != wanted; i++) {
		delay_us(1000);
		seen |= get(C);
	}
	return seen;
}

static void held(void)
{
	u8 second;

	set(B, SET | BINARY | H24);
	second = get(SECOND);
	set(HOUR, 23);
	set(MINUTE, 59);
	delay_us(1100000);
	check("the time is held", get(SECOND), second);
	check("hour", get(HOUR), 23);
	set(B, SET | BINARY | H24 | UF);
	check("SET ends update interrupts", get(B) & UF, 0);
	set(SECOND, 10);
	set(B, BINARY | H24);
	check_range("on from there", get(SECOND), 10, 12);
	check("minute", get(MINUTE), 59);
}

/* 23:59 as 12-hour BCD, noon and midnight. */
static void twelve_hours(void)
{
	static const u8 pairs[][2] = {
		{ 0, 0x12 }, { 1, 0x01 }, { 11, 0x11 }, { 12, 0x92 },
		{ 13, 0x81 }, { 23, 0x91 },
	};

	for (u32 i = 0; i < array_size(pairs); i++) {
		set(B, SET | BINARY | H24);
		set(MINUTE, 30);
		set(HOUR, pairs[i][0]);
		set(B, BINARY | H24);
		set(B, 0);
		check("hour of 12", get(HOUR), pairs[i][1]);
		check("minute in BCD", get(MINUTE), 0x30);
		set(B, BINARY | H24);
		check("hour of 24", get(HOUR), pairs[i][0]);
	}
}

static void flags(void)
{
	get(C);
	check("clear when read", get(C), 0);
	check("update ended", wait_flags(UF) & (UF | IRQF), UF);
	set(SECOND_ALARM, 0xff);
	set(MINUTE_ALARM, 0xff);
	set(HOUR_ALARM, 0xff);
	get(C);
	check("alarm of any time", wait_flags(AF) & AF, AF);
	set(B, SET | BINARY | H24);
	set(SECOND, 30);
	set(SECOND_ALARM, 29);
	set(B, BINARY | H24);
	get(C);
	check("another second", wait_flags(UF) & AF, 0);
	/* with an interrupt enabled, IRQF tells */
	set(B, BINARY | H24 | UF);
	get(C);
	check("IRQF", wait_flags(UF | IRQF) & (UF | IRQF), UF | IRQF);
	set(B, BINARY | H24);
	get(C);
}

void guest_main(void)
{
	u8 d;

	set(A, 0x26);
	set(B, BINARY | H24);
	d = get(D);
	set(D, 0);
	check("register D is read-only", get(D), d);
	set(C, 0xff);
	check("register C is read-only", get(C) & 0x0f, 0);
	check("UIP is read-only",
	      (set(A, 0xa6), get(A) & 0x7f), 0x26);
	set(A, 0x26);
	held();
	twelve_hours();
	flags();
}
