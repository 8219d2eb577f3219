/* SPDX-License-Identifier: Apache-2.0 */
/* File-system device (virtio 1.2, 5.11) over any struct share. */
#ifndef LODGE_VIRTIO_FS_H
#define LODGE_VIRTIO_FS_H

#include "virtio/pci.h"
#include "vm/share.h"

#define VIRTIO_FS_QUEUES_MAX 16u

struct virtio_fs_config {
	struct share *share; /* stays the caller's */
	const char *tag;     /* 1 to SHARE_TAG_MAX bytes */
	unsigned int queues; /* for requests: 1 .. VIRTIO_FS_QUEUES_MAX */
};

struct virtio_fs;

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int virtio_fs_create(struct virtio_fs **fs, struct vm *vm,
		     const struct virtio_fs_config *config);

/* Its function, for pci_attach(). */
struct pci_device *virtio_fs_pci(struct virtio_fs *fs);

#endif
