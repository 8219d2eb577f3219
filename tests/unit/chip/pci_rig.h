/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench for PCI: host bridge, LPC bridge and 1 MiB of RAM on a rig. Lines
 * of the rig are those that the LPC bridge drives: ISA 0-15, GSI 16-23.
 */
#ifndef LODGE_TEST_CHIP_PCI_RIG_H
#define LODGE_TEST_CHIP_PCI_RIG_H

#include "chip/ich9_lpc.h"
#include "chip/pci_host.h"
#include "chip/reset.h"
#include "rig.h"

#define RIG_ECAM 0xb0000000ull

struct pci_rig {
	struct rig rig;
	struct reset reset;
	struct pci_host host;
	struct ich9_lpc lpc;
	struct msi sent[64]; /* messages, the first ones */
	unsigned int sent_count;
};

void pci_rig_init(struct pci_rig *rig);
void pci_rig_fini(struct pci_rig *rig);

/* Configuration cycles of a guest, through ports. */
uint32_t pci_rig_get(struct pci_rig *rig, unsigned int devfn, unsigned int at,
		     unsigned int size);
void pci_rig_set(struct pci_rig *rig, unsigned int devfn, unsigned int at,
		 unsigned int size, uint32_t value);

/* All of its machine that is saved: how many; there is room for 32. */
unsigned int pci_rig_items(struct pci_rig *rig, struct state_item *item);

#endif
