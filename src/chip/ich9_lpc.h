/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LPC bridge 00:1f.0 of an ICH9 (datasheet 316972, chapter 13), as far as
 * firmware and systems look at it: PIRQ routing to the 8259A pair, where the
 * ACPI registers and the chipset's configuration registers are. The chips
 * behind it are on the bus themselves; PMBASE tells where the ACPI block is
 * and does not move it.
 */
#ifndef LODGE_CHIP_ICH9_LPC_H
#define LODGE_CHIP_ICH9_LPC_H

#include "chip/pci.h"

#define ICH9_PMBASE    0x40
#define ICH9_ACPI_CNTL 0x44
#define ICH9_PIRQ_A    0x60 /* A to D; E to H from 0x68 */
#define ICH9_PIRQ_E    0x68
#define ICH9_RCBA      0xf0

#define ICH9_GSI_FIRST 16 /* PIRQA's input of the IOAPIC */

struct ich9_lpc {
	struct pci_device pci;
	struct irq lines; /* set and object: lines of chip/irqchip.h */
	uint8_t pirq;	  /* levels of PIRQA to PIRQH */
	uint16_t isa;	  /* ISA lines that they hold up */
};

/* On the root bus at 1f.0. lines->line is not used. */
int ich9_lpc_init(struct ich9_lpc *lpc, struct pci_host *host,
		  const struct irq *lines);

/* Handler for struct irq: `object` is the bridge, lines 0-7 PIRQA-PIRQH. */
void ich9_lpc_set_pirq(void *object, unsigned int line, bool level);

#endif
