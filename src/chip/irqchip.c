/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines of the PC to the PIC and the IOAPIC; see irqchip.h.
 */
#include "chip/irqchip.h"

#include "chip/ioapic.h"
#include "chip/pic.h"

#define ISA_LINES 16

void gsi_router_set(void *object, unsigned int line, bool level)
{
	const struct gsi_router *router = object;

	if (router->pic && line < ISA_LINES)
		pic_set_line(router->pic, line, level);
	if (router->ioapic)
		ioapic_set_line(router->ioapic,
				line == IRQ_PIT ? IRQ_PIT_GSI : line, level);
}
