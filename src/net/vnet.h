/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header before each frame of a Linux tap (<linux/virtio_net.h>): what the
 * frame leaves open, to and from the packet contract's words.
 */
#ifndef LODGE_NET_VNET_H
#define LODGE_NET_VNET_H

#include <linux/virtio_net.h>

#include "vm/nic.h"

/* What `frame` leaves open. */
struct virtio_net_hdr vnet_header(const struct nic_frame *frame);

/*
 * The same back, of a frame whose spans and size are set. False: the header
 * and the frame do not go together.
 */
bool vnet_parse(const struct virtio_net_hdr *header, struct nic_frame *frame);

#endif
