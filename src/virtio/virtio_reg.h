/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of virtio 1.2: status 2.1, features 6, split rings 2.7, packed
 * rings 2.8, PCI 4.1.4.
 */
#ifndef LODGE_VIRTIO_VIRTIO_REG_H
#define LODGE_VIRTIO_VIRTIO_REG_H

#include <stdint.h>

#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER	  0x02u
#define VIRTIO_STATUS_DRIVER_OK	  0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED	  0x80u

#define VIRTIO_F(bit_)		 (UINT64_C(1) << (bit_))
#define VIRTIO_F_INDIRECT_DESC	 VIRTIO_F(28)
#define VIRTIO_F_EVENT_IDX	 VIRTIO_F(29)
#define VIRTIO_F_VERSION_1	 VIRTIO_F(32)
#define VIRTIO_F_RING_PACKED	 VIRTIO_F(34)
#define VIRTIO_F_IN_ORDER	 VIRTIO_F(35)
#define VIRTIO_F_NOTIFICATION_DATA VIRTIO_F(38)
#define VIRTIO_F_RING_RESET	 VIRTIO_F(40)

#define VIRTIO_NO_VECTOR 0xffffu

/* Split rings */
#define VIRTQ_NEXT	   0x1u
#define VIRTQ_WRITE	   0x2u
#define VIRTQ_INDIRECT	   0x4u
#define VIRTQ_NO_INTERRUPT 0x1u /* available ring's flags */
#define VIRTQ_NO_NOTIFY	   0x1u /* used ring's flags */

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* packed: `id` */
};

/* Packed rings; the descriptor is laid out { addr, len, id, flags } */
#define VIRTQ_PACKED_AVAIL (1u << 7)
#define VIRTQ_PACKED_USED  (1u << 15)
#define VIRTQ_EVENT_ENABLE  0u
#define VIRTQ_EVENT_DISABLE 1u
#define VIRTQ_EVENT_DESC    2u

/* PCI: types of the vendor's capability */
#define VIRTIO_PCI_CAP_COMMON 1
#define VIRTIO_PCI_CAP_NOTIFY 2
#define VIRTIO_PCI_CAP_ISR    3
#define VIRTIO_PCI_CAP_DEVICE 4
#define VIRTIO_PCI_CAP_PCI    5

#define VIRTIO_ISR_QUEUE  0x1u
#define VIRTIO_ISR_CONFIG 0x2u

/* Common configuration (4.1.4.3) */
#define VIRTIO_COMMON_DEVICE_SELECT  0x00
#define VIRTIO_COMMON_DEVICE_FEATURE 0x04
#define VIRTIO_COMMON_DRIVER_SELECT  0x08
#define VIRTIO_COMMON_DRIVER_FEATURE 0x0c
#define VIRTIO_COMMON_CONFIG_VECTOR  0x10
#define VIRTIO_COMMON_QUEUES	     0x12
#define VIRTIO_COMMON_STATUS	     0x14
#define VIRTIO_COMMON_GENERATION     0x15
#define VIRTIO_COMMON_QUEUE_SELECT   0x16
#define VIRTIO_COMMON_QUEUE_SIZE     0x18
#define VIRTIO_COMMON_QUEUE_VECTOR   0x1a
#define VIRTIO_COMMON_QUEUE_ENABLE   0x1c
#define VIRTIO_COMMON_QUEUE_NOTIFY   0x1e
#define VIRTIO_COMMON_QUEUE_DESC     0x20
#define VIRTIO_COMMON_QUEUE_DRIVER   0x28
#define VIRTIO_COMMON_QUEUE_DEVICE   0x30
#define VIRTIO_COMMON_NOTIFY_DATA    0x38
#define VIRTIO_COMMON_QUEUE_RESET    0x3a
#define VIRTIO_COMMON_SIZE	     0x3c

#endif
