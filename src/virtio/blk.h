/* SPDX-License-Identifier: Apache-2.0 */
/* Block device (virtio 1.2, 5.2) over any struct block. */
#ifndef LODGE_VIRTIO_BLK_H
#define LODGE_VIRTIO_BLK_H

#include "virtio/pci.h"
#include "vm/block.h"

#define VIRTIO_BLK_SERIAL 20 /* bytes; shorter ones are padded with NUL */

struct virtio_blk_config {
	struct block *block; /* stays the caller's */
	unsigned int queues; /* 1 .. VIRTIO_QUEUES_MAX */
	const char *serial;  /* NULL: none; cut at VIRTIO_BLK_SERIAL */
};

struct virtio_blk;

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int virtio_blk_create(struct virtio_blk **blk, struct vm *vm,
		      const struct virtio_blk_config *config);

/* Its function, for pci_attach(). */
struct pci_device *virtio_blk_pci(struct virtio_blk *blk);

#endif
