/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte ring between one producer at a time and one consumer, without a
 * lock. Positions only grow; their difference is what the ring holds.
 */
#ifndef LODGE_VMM_CONSOLE_RING_H
#define LODGE_VMM_CONSOLE_RING_H

#include <stdatomic.h>
#include <stdint.h>

#define RING_SIZE 131072u /* a power of two */

struct ring {
	_Atomic uint32_t head; /* written by the consumer */
	_Atomic uint32_t tail; /* written by the producer */
	uint8_t data[RING_SIZE];
};

static inline uint32_t ring_used(const struct ring *ring)
{
	return atomic_load(&ring->tail) - atomic_load(&ring->head);
}

/* Producer: adds as much as fits; how much. */
uint32_t ring_put(struct ring *ring, const uint8_t *data, uint32_t count);

/* Consumer: the longest contiguous part to read next; 0 when empty. */
uint32_t ring_peek(const struct ring *ring, const uint8_t **data);

/* Consumer: `count` bytes have been dealt with. */
void ring_drop(struct ring *ring, uint32_t count);

#endif
