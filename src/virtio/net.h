/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network card (virtio 1.2, 5.1) before a struct net; see vm/nic.h.
 */
#ifndef LODGE_VIRTIO_NET_H
#define LODGE_VIRTIO_NET_H

#include "virtio/pci.h"
#include "vm/nic.h"

struct virtio_net_config {
	struct net *net; /* the caller's, longer than the VM */
	uint8_t mac[NIC_MAC];
	uint16_t mtu;	     /* NIC_MTU_MIN to NIC_MTU_MAX */
	unsigned int queues; /* pairs: 1 to NIC_QUEUES_MAX */
};

struct virtio_net;

/* -ENOMEM, -ENOSPC. The VM's end frees the device. */
int virtio_net_create(struct virtio_net **out, struct vm *vm,
		      const struct virtio_net_config *config);

/* Its function, for pci_attach(). */
struct pci_device *virtio_net_pci(struct virtio_net *v);

/* Its side of the packet contract. */
struct nic *virtio_net_nic(struct virtio_net *v);

extern const struct device_class virtio_net_class;

#endif
