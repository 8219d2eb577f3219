/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of PCI: pci.c, pci_map.c, pci_irq.c, pci_msix.c. */
#ifndef LODGE_CHIP_PCI_IMPL_H
#define LODGE_CHIP_PCI_IMPL_H

#include "chip/pci.h"

/* The rest of both buses; the device is the pci_host. */
extern const struct bus_ops pci_memory_ops, pci_port_ops;

/* Works out anew what is mapped where, from all BARs and windows. */
void pci_map_update(struct pci_host *host);

/* Follows the INTx level, its disable bit, and who is on a bus. */
void pci_irq_update(struct pci_device *pci);
/* As pci_irq_update() with the pin let go: before a detach. */
void pci_irq_release(struct pci_device *pci);

/* A guest wrote the MSI capability. */
void pci_msi_changed(struct pci_device *pci);
/* The MSI-X control register may have changed. */
void pci_msix_changed(struct pci_msix *msix);
void pci_msix_reset(struct pci_msix *msix);

static inline bool pci_overlaps(unsigned int at, unsigned int size,
				unsigned int from, unsigned int to)
{
	return at < to && at + size > from;
}

#endif
