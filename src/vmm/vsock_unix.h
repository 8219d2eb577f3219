/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a machine's socket device, by Unix stream sockets. A
 * program that connects to the socket PATH and says "CONNECT port\n" reaches
 * that port of the guest, after the answer "OK port\n"; a guest that connects
 * to port N of the host reaches whoever listens at the socket PATH_N.
 */
#ifndef LODGE_VMM_VSOCK_UNIX_H
#define LODGE_VMM_VSOCK_UNIX_H

#include "host/linux/loop.h"
#include "virtio/vsock.h"
#include "vmm/error.h"
#include "vmm/unix_socket.h"

/* So that a port's number fits in as well. */
#define VSOCK_PATH_MAX (UNIX_PATH_MAX - 11)

struct vsock_unix;

/*
 * Listens at `path`; NULL: nowhere, and only vsock_unix_call() is left. -1 with
 * `error`; then *host is NULL.
 */
int vsock_unix_open(struct vsock_unix **host, const char *path,
		    struct vmm_error *error);

/* For the device. */
struct vsock_host *vsock_unix_host(struct vsock_unix *host);

/* Serves `device` on `loop`. 0 or a negative errno. */
int vsock_unix_start(struct vsock_unix *host, struct loop *loop,
		     struct virtio_vsock *device);

/*
 * Connects to `port` of the guest: a descriptor, which has what a caller of the
 * socket would have, from the answer "OK port\n" on. A negative errno: -EAGAIN
 * when there are too many. The loop's thread.
 */
int vsock_unix_call(struct vsock_unix *host, uint32_t port);

/* After the device's end, before the loop's. NULL is fine. */
void vsock_unix_close(struct vsock_unix *host);

#endif
