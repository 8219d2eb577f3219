/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device (virtio 1.2, 5.10): stream sockets between the guest and the
 * host's end of each connection, a struct vsock_stream that the host makes.
 *
 * The host has no call into connections. It says vsock_poke(), and the device
 * takes its events when it can, one by one. All calls of struct vsock_host_ops
 * come with the device's own lock held, one at a time, from any thread; none
 * may wait. Locks: device lock, queue's lock, the device's own, the host's.
 */
#ifndef LODGE_VIRTIO_VSOCK_H
#define LODGE_VIRTIO_VSOCK_H

#include "virtio/pci.h"
#include "vm/span.h"

#define VSOCK_CONNECTIONS_MAX 1024 /* at a time */
#define VSOCK_BUFFER	      131072u /* bytes on their way to the host, each */

#define VSOCK_CID_HOST 2
#define VSOCK_CID_MIN  3
#define VSOCK_CID_MAX  0xfffffffeu

struct vsock_host;
struct vsock_stream;

struct vsock_event {
	struct vsock_stream *stream;
	void *connection; /* that the device named; NULL: an offer */
	uint32_t port;	  /* of an offer: the guest's port to connect to */
	bool hung; /* it takes nothing more; what it sent can be received */
};

struct vsock_host_ops {
	/*
	 * The next event: an offer of a new stream, or that send() or
	 * receive() of one are worth another try. False: none.
	 */
	bool (*event)(struct vsock_host *host, struct vsock_event *event);
	/* The guest connects to the host's `port`. NULL: refused. */
	struct vsock_stream *(*connect)(struct vsock_host *host, uint32_t port,
					void *connection);
	/* An offer is taken: its events name `connection` from now on. */
	void (*take)(struct vsock_stream *stream, void *connection);
	/* The guest has accepted it, as coming from `port` of the host. */
	void (*established)(struct vsock_stream *stream, uint32_t port);
	/*
	 * As many bytes as it takes now. -EAGAIN: an event will tell; other
	 * negative errnos: it is broken.
	 */
	int64_t (*send)(struct vsock_stream *stream, const struct span *span,
			unsigned int spans);
	/* The same; 0 at the end of what it sends. */
	int64_t (*receive)(struct vsock_stream *stream,
			   const struct span *span, unsigned int spans);
	/* Nothing more is sent to it; nothing more is received from it. */
	void (*end_send)(struct vsock_stream *stream);
	void (*end_receive)(struct vsock_stream *stream);
	/* It is no more; no event of it follows. */
	void (*close)(struct vsock_stream *stream);
};

struct vsock_host {
	const struct vsock_host_ops *ops;
};

struct virtio_vsock;

/*
 * `cid` from VSOCK_CID_MIN to VSOCK_CID_MAX. The host is the caller's, and
 * outlives the VM. -ENOMEM, -ENOSPC. The VM's end frees the device.
 */
int virtio_vsock_create(struct virtio_vsock **vsock, struct vm *vm,
			struct vsock_host *host, uint32_t cid);

/* Its function, for pci_attach(). */
struct pci_device *virtio_vsock_pci(struct virtio_vsock *vsock);

/* The host has events. Any thread, no lock of the device held. */
void vsock_poke(struct virtio_vsock *vsock);

extern const struct device_class virtio_vsock_class;

#endif
