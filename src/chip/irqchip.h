/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires interrupt lines of the PC to both of its controllers. Lines 0-15 are
 * the ISA interrupts and reach the PIC and the IOAPIC, line 0 (the PIT) at
 * IOAPIC input 2; lines 16-23 reach the IOAPIC only. The ACPI MADT has to
 * say the same: one override, ISA 0 -> GSI 2.
 */
#ifndef LODGE_CHIP_IRQCHIP_H
#define LODGE_CHIP_IRQCHIP_H

#include "vm/irq.h"

#define IRQ_LINES     24
#define IRQ_PIT	      0
#define IRQ_PIT_GSI   2
#define IRQ_COM1      4
#define IRQ_RTC	      8
#define IRQ_SCI	      9

struct pic;
struct ioapic;

struct gsi_router {
	struct pic *pic;
	struct ioapic *ioapic;
};

/* Handler for struct irq: `object` is the router. Held: the device lock. */
void gsi_router_set(void *object, unsigned int line, bool level);

static inline struct irq gsi_router_irq(struct gsi_router *router,
					unsigned int line)
{
	return (struct irq){ gsi_router_set, router, line };
}

#endif
