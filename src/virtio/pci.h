/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI (virtio 1.2, 4.1), modern only: a driver that does not take
 * VERSION_1 finds no registers that it knows and never gets FEATURES_OK.
 *
 * BAR 1 is MSI-X, with a vector for each queue and one for the
 * configuration; BAR 4 holds the registers.
 */
#ifndef LODGE_VIRTIO_PCI_H
#define LODGE_VIRTIO_PCI_H

#include "chip/pci.h"
#include "virtio/virtio.h"

struct virtio_pci {
	struct pci_device pci;
	struct pci_msix msix;
	struct virtio_device *virtio;
	unsigned int cfg_cap; /* the capability that reaches into BARs */
	struct host_work pin; /* raises INTx under the device lock */
	_Atomic uint8_t isr;  /* saved */
};

extern const struct device_class virtio_pci_class;

/*
 * Makes the function of an initialised virtio device; pci_attach() puts it on
 * a bus. -ENOSPC.
 */
int virtio_pci_init(struct virtio_pci *own, struct virtio_device *device);

#endif
