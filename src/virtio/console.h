/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console device (virtio 1.2, 5.3): several named ports, the first of them a
 * console, each with a stream (vm/stream.h) as its outside.
 */
#ifndef LODGE_VIRTIO_CONSOLE_H
#define LODGE_VIRTIO_CONSOLE_H

#include "virtio/pci.h"
#include "vm/stream.h"

#define VIRTIO_CONSOLE_PORTS_MAX 31 /* of VIRTIO_QUEUES_MAX queues */
#define VIRTIO_CONSOLE_NAME_MAX	 63

struct virtio_console_port {
	const char *name; /* UTF-8, cut at VIRTIO_CONSOLE_NAME_MAX bytes */
	struct stream stream;
	bool open; /* somebody is there, at first */
};

struct virtio_console_config {
	const struct virtio_console_port *port;
	unsigned int ports; /* 1 .. VIRTIO_CONSOLE_PORTS_MAX */
};

struct virtio_console;

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int virtio_console_create(struct virtio_console **console, struct vm *vm,
			  const struct virtio_console_config *config);

/* Its function, for pci_attach(). */
struct pci_device *virtio_console_pci(struct virtio_console *console);

/* --- from the outside; any thread, no lock held; `port` is one that is there -- */

/*
 * Bytes for the guest; how many it took. After fewer than `count` the
 * stream's ready() tells when to try again.
 */
unsigned int virtio_console_receive(struct virtio_console *console,
				    unsigned int port, const uint8_t *data,
				    unsigned int count);

/* The stream has room, after its write() took less than it was given. */
void virtio_console_room(struct virtio_console *console, unsigned int port);

/* Somebody came to the outside of a port, or went. */
void virtio_console_set_open(struct virtio_console *console,
			     unsigned int port, bool open);

/* The outside of a port has failed for good: the guest loses the port. */
void virtio_console_remove(struct virtio_console *console, unsigned int port);

/* The size of the first port's terminal, in characters. */
void virtio_console_resize(struct virtio_console *console, unsigned int cols,
			   unsigned int rows);

#endif
