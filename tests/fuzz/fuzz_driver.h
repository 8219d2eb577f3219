/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of virtio devices share beside the machine: a driver
 * that keeps to the rules, up to where a target begins to break them. The
 * registers are those of the transport at BAR; a queue's three areas are 0x400
 * apart.
 */
#ifndef LODGE_FUZZ_DRIVER_H
#define LODGE_FUZZ_DRIVER_H

#include "fuzz_machine.h"
#include "virtio/virtio.h"

#define QUEUE_SIZE 16
#define DRIVER_AREA 0x400u
#define DEVICE_AREA 0x800u
#define NOTIFY	    0x3000u /* 4 a queue */

static inline void regs(unsigned int at, unsigned int size, uint64_t value)
{
	bus_write(&vm.mmio, BAR + at, size, value);
}

/* Up to FEATURES_OK; then queues, and driver_ok(). */
static inline void negotiate(uint64_t features)
{
	regs(VIRTIO_COMMON_STATUS, 1, 0);
	regs(VIRTIO_COMMON_STATUS, 1, 3);
	for (unsigned int i = 0; i < 2; i++) {
		regs(VIRTIO_COMMON_DRIVER_SELECT, 4, i);
		regs(VIRTIO_COMMON_DRIVER_FEATURE, 4,
		     (uint32_t)(features >> 32 * i));
	}
	regs(VIRTIO_COMMON_STATUS, 1, 0x0b);
}

static inline void set_up_queue(unsigned int n, uint64_t at)
{
	regs(VIRTIO_COMMON_QUEUE_SELECT, 2, n);
	regs(VIRTIO_COMMON_QUEUE_SIZE, 2, QUEUE_SIZE);
	regs(VIRTIO_COMMON_QUEUE_DESC, 8, at);
	regs(VIRTIO_COMMON_QUEUE_DRIVER, 8, at + DRIVER_AREA);
	regs(VIRTIO_COMMON_QUEUE_DEVICE, 8, at + DEVICE_AREA);
	regs(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
}

static inline void driver_ok(void)
{
	regs(VIRTIO_COMMON_STATUS, 1, 0x0f);
}

/*
 * One descriptor as a driver would offer it in queue `n`, a split ring at `at`
 * whose next index is *next.
 */
static inline void offer_one(unsigned int n, uint64_t at, uint16_t *next,
			     const struct virtq_desc *desc)
{
	uint16_t slot = *next % QUEUE_SIZE;

	put(at + 16u * slot, desc, sizeof(*desc));
	put(at + DRIVER_AREA + 4 + 2u * slot, &slot, 2);
	++*next;
	put(at + DRIVER_AREA + 2, next, 2);
	regs(NOTIFY + 4 * n, 2, 0);
}

#endif
