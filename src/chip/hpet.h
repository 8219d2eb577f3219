/* SPDX-License-Identifier: Apache-2.0 */
/*
 * High precision event timer (IA-PC HPET specification 1.0a): a 64-bit
 * counter of 10 ns ticks and three comparators, all able to be periodic. No
 * message-signalled delivery.
 *
 * In legacy mode timers 0 and 1 take the lines of the PIT and of the RTC,
 * whose own interrupts are then dropped: these two are wired through
 * hpet_pit_irq() and hpet_rtc_irq().
 */
#ifndef LODGE_CHIP_HPET_H
#define LODGE_CHIP_HPET_H

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define HPET_BASE   0xfed00000ull
#define HPET_SIZE   0x400u
#define HPET_TIMERS 3
#define HPET_LINES  24
#define HPET_TICK_NS 10u

/* Interrupt lines that a timer may be routed to, a bit each: none that PCI
 * devices share. */
#define HPET_ROUTES 0x00000104u

/* Legacy mode's lines, and that of the PIT as the IOAPIC sees it. */
#define HPET_LINE_PIT 0
#define HPET_LINE_RTC 8

struct hpet;

struct hpet_timer {
	struct hpet *hpet;
	unsigned int index;
	uint64_t config;     /* the writable bits */
	uint64_t comparator; /* the next match */
	uint64_t period;     /* as written last */
	struct timer timer;
};

struct hpet {
	struct vm *vm;
	struct irq line[HPET_LINES]; /* by route */
	bool legacy_capable;
	struct irq pit, rtc; /* what those two are connected to */
	bool pit_level, rtc_level; /* what they drive, passed on or not */
	uint64_t config, status;
	uint64_t counter; /* at VM time `since`, or as it was halted */
	uint64_t since;
	struct hpet_timer timer[HPET_TIMERS];
};

extern const struct device_class hpet_class;

/*
 * Claims HPET_SIZE bytes at HPET_BASE. `line` has HPET_LINES inputs of the
 * interrupt controllers; `legacy`: timers can replace PIT and RTC.
 */
int hpet_init(struct hpet *hpet, struct vm *vm, const struct irq *line,
	      bool legacy);

/* The lines that PIT and RTC raise; call before hpet_init() is allowed. */
struct irq hpet_pit_irq(struct hpet *hpet, const struct irq *to);
struct irq hpet_rtc_irq(struct hpet *hpet, const struct irq *to);

/* The capability register's lower half, for the ACPI table. */
uint32_t hpet_id(const struct hpet *hpet);

#endif
