/* SPDX-License-Identifier: Apache-2.0
 *
 * 8259, 8254, local APIC, IOAPIC and ACPI tables for the test guests.
 */
#include "chips.h"

static u16 pit_last;
static u64 pit_sum;

void pic_init(u8 mask1, u8 mask2)
{
	static const u8 icw[2][4] = {
		{ 0x11, PIC_BASE, 4, 1 },
		{ 0x11, PIC_BASE + 8, 2, 1 },
	};

	for (int i = 0; i < 2; i++) {
		u16 port = i ? PIC2 : PIC1;

		outb(port, icw[i][0]);
		for (int k = 1; k < 4; k++)
			outb(port + 1, icw[i][k]);
	}
	outb(PIC1 + 1, mask1);
	outb(PIC2 + 1, mask2);
}

static u16 pit_count(void)
{
	u16 v;

	outb(PIT_CMD, 0);
	v = inb(PIT0);
	return v | inb(PIT0) << 8;
}

void pit_start(void)
{
	outb(PIT_CMD, 0x34);
	outb(PIT0, 0);
	outb(PIT0, 0);
	pit_sum = 0;
	pit_last = pit_count();
}

u64 pit_ticks(void)
{
	u16 now = pit_count(), passed = pit_last - now;

	/* some 8254s step back a little now and then */
	if (passed < 0xff00) {
		pit_sum += passed;
		pit_last = now;
	}
	return pit_sum;
}

static u32 us_to_ticks(u32 us)
{
	/* 1193 / 1000 within 0.02 %, without a 64-bit division */
	return us / 1000 * 1193 + us % 1000 * 1193 / 1000 + 1;
}

void delay_us(u32 us)
{
	u64 end;

	pit_start();
	end = pit_ticks() + us_to_ticks(us);
	while (pit_ticks() < end)
		pause();
}

void irq_window(void)
{
	irq_on();
	for (int i = 0; i < 200; i++)
		pause();
	irq_off();
}

bool wait_count(volatile u32 *p, u32 n, u32 ms)
{
	u64 end;

	pit_start();
	end = us_to_ticks(ms * 1000);
	irq_on();
	while (*p < n && pit_ticks() < end)
		pause();
	irq_off();
	return *p >= n;
}

void lapic_init(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x800);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
	lapic_write(LAPIC_LVT_LINT0, 0x10000);
	lapic_write(LAPIC_LVT_LINT1, 0x10000);
	lapic_write(LAPIC_LVT_ERROR, 0x10000);
	lapic_write(LAPIC_INIT, 0);
	lapic_write(LAPIC_TPR, 0);
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

void lapic_ipi(u32 destination, u32 icr_low)
{
	lapic_write(LAPIC_ICR2, destination << 24);
	lapic_write(LAPIC_ICR, icr_low);
	while (lapic_read(LAPIC_ICR) & 0x1000)
		pause();
}

bool lapic_bit(u32 bank, int vector)
{
	return lapic_read(bank + vector / 32 * 16) >> vector % 32 & 1;
}

u32 ioapic_read(u8 reg)
{
	*(volatile u32 *)IOAPIC_ADDR = reg;
	return *(volatile u32 *)(IOAPIC_ADDR + 0x10);
}

void ioapic_write(u8 reg, u32 v)
{
	*(volatile u32 *)IOAPIC_ADDR = reg;
	*(volatile u32 *)(IOAPIC_ADDR + 0x10) = v;
}

void ioapic_route(int pin, u32 low)
{
	ioapic_write(0x10 + 2 * pin, 0x10000);
	ioapic_write(0x11 + 2 * pin, 0);
	ioapic_write(0x10 + 2 * pin, low);
}

static bool sums_to_zero(const u8 *p, u32 n)
{
	u8 sum = 0;

	while (n--)
		sum += *p++;
	return !sum;
}

static const u8 *find_rsdp(void)
{
	for (ulong a = 0xe0000; a < 0x100000; a += 16) {
		if (!memcmp((u8 *)a, "RSD PTR ", 8) &&
		    sums_to_zero((u8 *)a, 20))
			return (u8 *)a;
	}
	return NULL;
}

const u8 *acpi_table(const char *signature)
{
	const u8 *rsdp = find_rsdp(), *root, *t;
	u32 step = 4;

	if (!rsdp)
		return NULL;
	root = (u8 *)(ulong)*(u32 *)(rsdp + 16);
	if (rsdp[15] >= 2 && *(u64 *)(rsdp + 24)) {
		root = (u8 *)(ulong)*(u64 *)(rsdp + 24);
		step = 8;
	}
	check("sum of the root table",
	      sums_to_zero(root, *(u32 *)(root + 4)), 1);
	for (u32 off = 36; off < *(u32 *)(root + 4); off += step) {
		/* tables lie below 4 GiB */
		t = (u8 *)(ulong)*(u32 *)(root + off);
		if (memcmp(t, signature, 4))
			continue;
		check("sum of the table", sums_to_zero(t, *(u32 *)(t + 4)), 1);
		return t;
	}
	return NULL;
}
