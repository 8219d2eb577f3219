/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte ring.
 */
#include "vmm/console/ring.h"

#include <string.h>

uint32_t ring_put(struct ring *ring, const uint8_t *data, uint32_t count)
{
	uint32_t tail = atomic_load(&ring->tail);
	uint32_t room = RING_SIZE - ring_used(ring);
	uint32_t at = tail % RING_SIZE;
	uint32_t first;

	if (count > room)
		count = room;
	first = count < RING_SIZE - at ? count : RING_SIZE - at;
	memcpy(ring->data + at, data, first);
	memcpy(ring->data, data + first, count - first);
	atomic_store(&ring->tail, tail + count);
	return count;
}

uint32_t ring_peek(const struct ring *ring, const uint8_t **data)
{
	uint32_t at = atomic_load(&ring->head) % RING_SIZE;
	uint32_t used = ring_used(ring);

	*data = ring->data + at;
	return used < RING_SIZE - at ? used : RING_SIZE - at;
}

void ring_drop(struct ring *ring, uint32_t count)
{
	atomic_fetch_add(&ring->head, count);
}
