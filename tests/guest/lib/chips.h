/* SPDX-License-Identifier: Apache-2.0
 *
 * The PC's chips as the test guests drive them, and further processors.
 */
#ifndef GUEST_CHIPS_H
#define GUEST_CHIPS_H

#include "lib.h"

/* --- 8259 --- */
enum { PIC_BASE = 0x20, PIC1 = 0x20, PIC2 = 0xa0 };

/* Vectors 0x20..0x2f, the masks given (a set bit is off). */
void pic_init(u8 mask1, u8 mask2);

/* --- 8254; time --- */
enum { PIT_HZ = 1193182, PIT0 = 0x40, PIT2 = 0x42, PIT_CMD = 0x43 };

/* Counter 0 in mode 2 over 65536, the base of pit_ticks(). */
void pit_start(void);
/* Ticks since pit_start(); to be called more often than every 50 ms. */
u64 pit_ticks(void);
void delay_us(u32 us);
/* A short while with interrupts on: what is pending comes. */
void irq_window(void);
/* Waits with interrupts on until *p reaches n, at most for ms. */
bool wait_count(volatile u32 *p, u32 n, u32 ms);

/* --- Local APIC, memory mapped --- */
enum {
	LAPIC_ID = 0x20, LAPIC_VERSION = 0x30, LAPIC_TPR = 0x80,
	LAPIC_PPR = 0xa0, LAPIC_EOI = 0xb0, LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0, LAPIC_SVR = 0xf0, LAPIC_ISR = 0x100,
	LAPIC_TMR = 0x180, LAPIC_IRR = 0x200, LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300, LAPIC_ICR2 = 0x310, LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_LINT0 = 0x350, LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370, LAPIC_INIT = 0x380, LAPIC_CURRENT = 0x390,
	LAPIC_DIVIDE = 0x3e0,
};
#define LAPIC_ADDR 0xfee00000UL

static inline u32 lapic_read(u32 reg)
{
	return *(volatile u32 *)(LAPIC_ADDR + reg);
}

static inline void lapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(LAPIC_ADDR + reg) = v;
}

/* Software-enabled, spurious vector 0xff, all LVTs masked, TPR 0. */
void lapic_init(void);
void lapic_eoi(void);
/* Writes the ICR and waits until it is sent. */
void lapic_ipi(u32 destination, u32 icr_low);
/* The bit of a vector in ISR, TMR or IRR. */
bool lapic_bit(u32 bank, int vector);

/* --- IOAPIC --- */
#define IOAPIC_ADDR 0xfec00000UL
u32 ioapic_read(u8 reg);
void ioapic_write(u8 reg, u32 v);
/* Redirection entry: low half as in the register, destination APIC 0. */
void ioapic_route(int pin, u32 low);

/* --- ACPI --- */
/* A table, its checksum verified, through RSDP and XSDT or RSDT; or NULL. */
const u8 *acpi_table(const char *signature);

/* --- Further processors (64-bit guests) --- */
/*
 * Starts every other processor with INIT and SIPI, waits until cpus - 1 of
 * them run fn(number) and returns; fails the guest when they do not come.
 */
void smp_start(int cpus, void (*fn)(int cpu));
/* Number of those that came. */
extern volatile int smp_up;

static inline void pause(void)
{
	asm volatile("pause" ::: "memory");
}

#endif
