/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where PCI lies in the machine's address spaces, and the part of firmware
 * that gives each device its place there. Without firmware the board does it
 * before a kernel starts; firmware does it anew by itself.
 */
#ifndef LODGE_BOARD_PCI_LAYOUT_H
#define LODGE_BOARD_PCI_LAYOUT_H

#include <stdint.h>

struct pci_host;

struct pci_window {
	uint64_t base, size;
};

struct pci_layout {
	struct pci_window ecam;	 /* configuration space of all buses */
	struct pci_window low;	 /* memory below 4 GiB */
	struct pci_window high;	 /* memory above all RAM */
	struct pci_window ports; /* for ports of BARs; a part of the rest */
};

/* Of a machine with `memory` bytes and this many physical address bits. */
void pci_layout_init(struct pci_layout *layout, uint64_t memory,
		     unsigned int physical_bits);

/*
 * The ISA interrupt, 10 or 11, that PIRQ 0-7 is routed to for systems that
 * know the 8259A pair alone; both are level-triggered.
 */
unsigned int pci_layout_isa(unsigned int pirq);

/*
 * Numbers the buses, gives every BAR and bridge window its address and turns
 * decoding on. A BAR that finds no room stays off, with a line in the log.
 */
void pci_layout_assign(const struct pci_layout *layout,
		       struct pci_host *host);

#endif
