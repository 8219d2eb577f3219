/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy device (virtio 1.2, 5.4): random bytes of the host, as many as asked. */
#ifndef LODGE_VIRTIO_RNG_H
#define LODGE_VIRTIO_RNG_H

#include "virtio/pci.h"

struct virtio_rng {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct virtio_buffer buffer;
};

/* Then pci_attach() puts rng->pci.pci on a bus. */
int virtio_rng_init(struct virtio_rng *rng, struct vm *vm);

#endif
