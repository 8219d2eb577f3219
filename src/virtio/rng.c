/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device; see rng.h. One queue of writable buffers. A buffer gets at
 * most FILL_MAX bytes: the driver asks again for more (5.4.6.2).
 */
#include "virtio/rng.h"

#include "vm/bytes.h"

#define QUEUE_SIZE 64
#define FILL_MAX   65536u

static uint32_t fill(struct virtio_buffer *buffer)
{
	const struct span *span = buffer->span + buffer->out_spans;
	uint32_t written = 0;

	for (unsigned int i = 0; i < buffer->in_spans && written < FILL_MAX;
	     i++) {
		size_t part = span[i].size;

		if (part > FILL_MAX - written)
			part = FILL_MAX - written;
		host_random(span[i].data, part);
		written += (uint32_t)part;
	}
	return written;
}

static void ready(struct virtio_device *device, struct virtio_queue *queue)
{
	struct virtio_rng *rng = (struct virtio_rng *)device;

	while (virtio_queue_pop(queue, &rng->buffer))
		virtio_queue_push(queue, &rng->buffer, fill(&rng->buffer));
}

static const struct virtio_class rng_class = {
	.name = "rng",
	.id = 4,
	.pci_class = 0x00ff00, /* unclassified, as of old */
	.features = VIRTIO_F_IN_ORDER,
	.ready = ready,
};

int virtio_rng_init(struct virtio_rng *rng, struct vm *vm)
{
	int err = virtio_init(&rng->virtio, vm, &rng_class, 1, QUEUE_SIZE);

	return err ? err : virtio_pci_init(&rng->pci, &rng->virtio);
}
