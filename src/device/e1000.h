/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network card as Intel's 82540EM (8086:100e, "PRO/1000 MT Desktop"), for
 * guests without a virtio driver, before a struct net; see vm/nic.h.
 * PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
 * Manual, 317453.
 */
#ifndef LODGE_DEVICE_E1000_H
#define LODGE_DEVICE_E1000_H

#include "chip/pci.h"
#include "vm/nic.h"

struct e1000;

struct e1000_config {
	struct net *net; /* the caller's, longer than the VM */
	uint8_t mac[NIC_MAC];
};

/* -ENOMEM, -ENOSPC. The VM's end frees the device. */
int e1000_create(struct e1000 **out, struct vm *vm,
		 const struct e1000_config *config);

/* Its function, for pci_attach(). */
struct pci_device *e1000_pci(struct e1000 *e);

/* Its side of the packet contract. */
struct nic *e1000_nic(struct e1000 *e);

extern const struct device_class e1000_class;

#endif
