/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of virtio; see driver.h.
 */
#include "driver.h"

#define QUEUE_AREA 0x4000u

void driver_poke(struct driver *d, uint64_t addr, const void *data, size_t size)
{
	assert_int_equal(memory_write(&d->rig->rig.vm.memory, gpa(addr), data,
				      size), 0);
}

void driver_peek(struct driver *d, uint64_t addr, void *data, size_t size)
{
	assert_int_equal(memory_read(&d->rig->rig.vm.memory, gpa(addr), data,
				     size), 0);
}

uint16_t driver_peek16(struct driver *d, uint64_t addr)
{
	uint16_t value;

	driver_peek(d, addr, &value, sizeof(value));
	return value;
}

void driver_poke16(struct driver *d, uint64_t addr, uint16_t value)
{
	driver_poke(d, addr, &value, sizeof(value));
}

void driver_poke_desc(struct driver *d, uint64_t addr, uint64_t at,
		      uint32_t len, uint16_t flags, uint16_t next)
{
	const struct virtq_desc desc = { at, len, flags, next };

	driver_poke(d, addr, &desc, sizeof(desc));
}

/* --- registers ---------------------------------------------------------------- */

static uint32_t config(struct driver *d, unsigned int at, unsigned int size)
{
	return pci_rig_get(d->rig, DRIVER_DEVFN, at, size);
}

static void take_cap(struct driver *d, unsigned int at)
{
	uint32_t offset = config(d, at + 8, 4);

	switch (config(d, at + 3, 1)) {
	case VIRTIO_PCI_CAP_COMMON:
		d->common = offset;
		break;
	case VIRTIO_PCI_CAP_NOTIFY:
		d->notify = offset;
		d->notify_multiplier = config(d, at + 16, 4);
		break;
	case VIRTIO_PCI_CAP_ISR:
		d->isr = offset;
		break;
	case VIRTIO_PCI_CAP_DEVICE:
		d->device = offset;
		assert_int_equal(offset % 4, 0);
		break;
	case VIRTIO_PCI_CAP_PCI:
		d->cfg_cap = at;
		return;
	}
	assert_int_equal(config(d, at + 4, 1), 4); /* the BAR */
}

void driver_probe(struct driver *d, struct pci_rig *rig)
{
	memset(d, 0, sizeof(*d));
	d->rig = rig;
	for (unsigned int at = config(d, PCI_CAPS, 1); at;
	     at = config(d, at + 1, 1))
		if (config(d, at, 1) == PCI_CAP_VENDOR)
			take_cap(d, at);
	assert_true(d->cfg_cap && d->notify && d->isr);
	pci_rig_set(rig, DRIVER_DEVFN, PCI_BAR0 + 4, 4, DRIVER_MSIX);
	pci_rig_set(rig, DRIVER_DEVFN, PCI_BAR0 + 16, 4, DRIVER_BAR);
	pci_rig_set(rig, DRIVER_DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
}

uint64_t driver_get(struct driver *d, unsigned int at, unsigned int size)
{
	return bus_read(&d->rig->rig.vm.mmio, DRIVER_BAR + d->common + at,
			size);
}

void driver_set(struct driver *d, unsigned int at, unsigned int size,
		uint64_t value)
{
	bus_write(&d->rig->rig.vm.mmio, DRIVER_BAR + d->common + at, size,
		  value);
}

uint8_t driver_status(struct driver *d)
{
	return (uint8_t)driver_get(d, VIRTIO_COMMON_STATUS, 1);
}

uint64_t driver_config(struct driver *d, unsigned int at, unsigned int size)
{
	return bus_read(&d->rig->rig.vm.mmio, DRIVER_BAR + d->device + at,
			size);
}

bool driver_negotiate(struct driver *d, uint64_t features)
{
	const uint8_t status[] = { 0, 1, 3 };

	for (unsigned int i = 0; i < 3; i++)
		driver_set(d, VIRTIO_COMMON_STATUS, 1, status[i]);
	for (unsigned int i = 0; i < 2; i++) {
		driver_set(d, VIRTIO_COMMON_DRIVER_SELECT, 4, i);
		driver_set(d, VIRTIO_COMMON_DRIVER_FEATURE, 4,
			   (uint32_t)(features >> 32 * i));
	}
	d->features = features;
	driver_set(d, VIRTIO_COMMON_STATUS, 1, 0x0b);
	return driver_status(d) == 0x0b;
}

void driver_set_queue(struct driver *d, unsigned int index, unsigned int size)
{
	struct driver_queue *q = &d->queue[index];

	*q = (struct driver_queue){
		.index = index,
		.size = size,
		.desc = DRIVER_RINGS + index * QUEUE_AREA,
		.packed = d->features & VIRTIO_F_RING_PACKED,
		.wrap = true,
		.seen_wrap = true,
	};
	q->avail = q->desc + 0x1000;
	q->used = q->desc + 0x2000;
	for (unsigned int i = 0; i < QUEUE_AREA; i += 2)
		driver_poke16(d, q->desc + i, 0);
	driver_set(d, VIRTIO_COMMON_QUEUE_SELECT, 2, index);
	driver_set(d, VIRTIO_COMMON_QUEUE_SIZE, 2, size);
	driver_set(d, VIRTIO_COMMON_QUEUE_VECTOR, 2, index + 1);
	driver_set(d, VIRTIO_COMMON_QUEUE_DESC, 4, q->desc);
	driver_set(d, VIRTIO_COMMON_QUEUE_DESC + 4, 4, 0);
	driver_set(d, VIRTIO_COMMON_QUEUE_DRIVER, 8, q->avail);
	driver_set(d, VIRTIO_COMMON_QUEUE_DEVICE, 8, q->used);
	driver_set(d, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
}

void driver_ok(struct driver *d)
{
	driver_set(d, VIRTIO_COMMON_STATUS, 1, 0x0f);
}

static void set_vector(struct driver *d, unsigned int vector)
{
	const uint32_t entry[4] = { 0xfee00000, 0, 0x40 + vector, 0 };

	for (unsigned int i = 0; i < 4; i++)
		bus_write(&d->rig->rig.vm.mmio,
			  DRIVER_MSIX + 16 * vector + 4 * i, 4, entry[i]);
}

/* Where it is offered it is taken: driver_take() watches it. */
static uint64_t in_order(struct driver *d)
{
	driver_set(d, VIRTIO_COMMON_DEVICE_SELECT, 4, 1);
	return driver_get(d, VIRTIO_COMMON_DEVICE_FEATURE, 4) << 32 &
	       VIRTIO_F_IN_ORDER;
}

void driver_start(struct driver *d, struct pci_rig *rig, uint64_t features,
		  unsigned int queues, unsigned int size)
{
	unsigned int at;

	driver_probe(d, rig);
	for (at = config(d, PCI_CAPS, 1); config(d, at, 1) != PCI_CAP_MSIX;)
		at = config(d, at + 1, 1);
	for (unsigned int i = 0; i <= queues; i++)
		set_vector(d, i);
	pci_rig_set(rig, DRIVER_DEVFN, at + MSIX_CONTROL, 2, MSIX_ENABLE);
	assert_true(driver_negotiate(d, features | in_order(d) |
						VIRTIO_F_VERSION_1));
	driver_set(d, VIRTIO_COMMON_CONFIG_VECTOR, 2, 0);
	for (unsigned int i = 0; i < queues; i++)
		driver_set_queue(d, i, size);
	driver_ok(d);
	fake_work_run();
}

/* --- rings ------------------------------------------------------------------------ */

static uint16_t offer_split(struct driver *d, struct driver_queue *q,
			    const struct driver_desc *descs,
			    unsigned int count)
{
	uint16_t head = q->free_desc;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t at = q->free_desc, flags = descs[i].flags;

		q->free_desc = (uint16_t)((at + 1) % q->size);
		if (i + 1 < count)
			flags |= VIRTQ_NEXT;
		driver_poke_desc(d, q->desc + 16u * at, descs[i].addr,
				 descs[i].len, flags, q->free_desc);
	}
	driver_poke16(d, q->avail + 4 + 2u * (q->next % q->size), head);
	driver_poke16(d, q->avail + 2, ++q->next);
	return head;
}

static uint16_t offer_packed(struct driver *d, struct driver_queue *q,
			     const struct driver_desc *descs,
			     unsigned int count)
{
	uint16_t id = q->next;

	q->chain[id] = (uint16_t)count;
	for (unsigned int i = 0; i < count; i++) {
		uint16_t flags = descs[i].flags;

		flags |= q->wrap ? VIRTQ_PACKED_AVAIL : VIRTQ_PACKED_USED;
		if (i + 1 < count)
			flags |= VIRTQ_NEXT;
		/* `id`, then the flags, in this format. */
		driver_poke_desc(d, q->desc + 16u * q->next, descs[i].addr,
				 descs[i].len, id, flags);
		if (++q->next == q->size) {
			q->next = 0;
			q->wrap = !q->wrap;
		}
	}
	return id;
}

uint16_t driver_offer(struct driver *d, unsigned int index,
		      const struct driver_desc *descs, unsigned int count)
{
	struct driver_queue *q = &d->queue[index];

	return q->packed ? offer_packed(d, q, descs, count)
			 : offer_split(d, q, descs, count);
}

void driver_notify(struct driver *d, unsigned int index)
{
	bus_write(&d->rig->rig.vm.mmio,
		  DRIVER_BAR + d->notify + d->notify_multiplier * index, 2,
		  index);
	fake_work_run();
}

bool driver_take(struct driver *d, unsigned int index, uint16_t *id,
		 uint32_t *written)
{
	struct driver_queue *q = &d->queue[index];
	struct virtq_desc desc;
	uint64_t element;

	bool in_order = d->features & VIRTIO_F_IN_ORDER;

	if (q->packed) {
		driver_peek(d, q->desc + 16u * q->seen, &desc, sizeof(desc));
		if (!(desc.next & VIRTQ_PACKED_AVAIL) == q->seen_wrap ||
		    !(desc.next & VIRTQ_PACKED_USED) == q->seen_wrap)
			return false;
		*id = desc.flags;
		*written = desc.len;
		assert_true(!in_order || *id == q->seen);
		q->seen = (uint16_t)(q->seen + q->chain[*id]);
		if (q->seen >= q->size) {
			q->seen = (uint16_t)(q->seen - q->size);
			q->seen_wrap = !q->seen_wrap;
		}
		return true;
	}
	if (driver_peek16(d, q->used + 2) == q->seen)
		return false;
	driver_peek(d, q->used + 4 + 8u * (q->seen % q->size), &element,
		    sizeof(element));
	*id = (uint16_t)element;
	assert_true(!in_order ||
		    *id == driver_peek16(d, q->avail + 4 +
						2u * (q->seen % q->size)));
	q->seen++;
	*written = (uint32_t)(element >> 32);
	return true;
}

void driver_put_table(struct driver *driver, uint64_t at, bool packed,
		      const struct driver_desc *descs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint16_t flags = descs[i].flags;

		if (packed) {
			driver_poke_desc(driver, at + 16 * i, descs[i].addr,
					 descs[i].len, 0, flags);
			continue;
		}
		if (i + 1 < count)
			flags |= VIRTQ_NEXT;
		driver_poke_desc(driver, at + 16 * i, descs[i].addr,
				 descs[i].len, flags, (uint16_t)(i + 1));
	}
}
