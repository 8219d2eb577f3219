/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe controller (NVM Express 1.4) with one namespace of 512-byte blocks over
 * any struct block.
 */
#ifndef LODGE_DEVICE_NVME_H
#define LODGE_DEVICE_NVME_H

#include "chip/pci.h"
#include "vm/block.h"

#define NVME_SERIAL	20 /* characters */
#define NVME_QUEUES_MAX 64 /* pairs, beside the admin queues */

struct nvme;

struct nvme_config {
	struct block *block; /* stays the caller's */
	const char *serial;  /* NULL: one made of the index; cut at NVME_SERIAL */
	unsigned int queues; /* pairs offered; 0: all that there are */
	unsigned int index;  /* of the machine's controllers */
};

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int nvme_create(struct nvme **nvme, struct vm *vm,
		const struct nvme_config *config);

/* Its function, for pci_attach(). */
struct pci_device *nvme_pci(struct nvme *nvme);

extern const struct device_class nvme_class;

#endif
