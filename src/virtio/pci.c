/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI transport; see pci.h. Registers of BAR 4: common configuration at
 * 0, ISR at 0x1000, the device's configuration at 0x2000, notifications from
 * 0x3000 on, 4 bytes a queue. All of it also through the PCI configuration
 * access capability (4.1.4.9).
 */
#include "virtio/pci.h"

#include "vm/bytes.h"

#define BAR_MSIX 1
#define BAR_REGS 4

#define AT_COMMON 0x0000u
#define AT_ISR	  0x1000u
#define AT_DEVICE 0x2000u
#define AT_NOTIFY 0x3000u
#define REGS_SIZE 0x4000u
#define PART_SIZE 0x1000u

#define NOTIFY_MULTIPLIER 4

/* Offsets in the vendor's capability (4.1.4) */
#define CAP_LENGTH 2
#define CAP_TYPE   3
#define CAP_BAR	   4
#define CAP_OFFSET 8
#define CAP_SIZE   12
#define CAP_DATA   16 /* of the capability for configuration access */

/* --- interrupts ------------------------------------------------------------- */

static void raise_pin(void *ctx)
{
	struct virtio_pci *own = ctx;

	host_lock(&own->pci.vm->device_lock);
	pci_irq_set(&own->pci, atomic_load(&own->isr));
	host_unlock(&own->pci.vm->device_lock);
}

static void interrupt(void *transport, uint16_t vector, uint8_t isr)
{
	struct virtio_pci *own = transport;

	if (pci_msix_enabled(&own->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_notify(&own->pci, vector);
		return;
	}
	atomic_fetch_or(&own->isr, isr);
	host_work_queue(own->pci.vm->worker, &own->pin);
}

static bool may_dma(void *transport)
{
	const struct virtio_pci *own = transport;

	return atomic_load(&own->pci.master);
}

static const struct virtio_transport pci_transport = {
	.interrupt = interrupt,
	.may_dma = may_dma,
};

/* --- common configuration ------------------------------------------------------ */

static struct virtio_queue *selected(struct virtio_device *dev)
{
	return dev->queue_select < dev->queue_count
		       ? &dev->queue[dev->queue_select]
		       : NULL;
}

static uint32_t half(uint64_t value, uint32_t which)
{
	return which > 1 ? 0 : (uint32_t)(value >> 32 * which);
}

static uint64_t read_queue(struct virtio_device *dev, uint64_t at)
{
	struct virtio_queue *q = selected(dev);

	if (!q)
		return 0;
	switch (at) {
	case VIRTIO_COMMON_QUEUE_SIZE:
		return q->size;
	case VIRTIO_COMMON_QUEUE_VECTOR:
		return q->vector;
	case VIRTIO_COMMON_QUEUE_ENABLE:
		return q->enabled;
	case VIRTIO_COMMON_QUEUE_NOTIFY:
		return q->index;
	case VIRTIO_COMMON_QUEUE_DESC:
		return q->desc_addr;
	case VIRTIO_COMMON_QUEUE_DRIVER:
		return q->driver_addr;
	case VIRTIO_COMMON_QUEUE_DEVICE:
		return q->device_addr;
	case VIRTIO_COMMON_NOTIFY_DATA:
		return q->index;
	case VIRTIO_COMMON_QUEUE_RESET:
		return virtio_queue_resetting(q);
	}
	return 0;
}

static uint64_t read_register(struct virtio_device *dev, uint64_t at)
{
	switch (at) {
	case VIRTIO_COMMON_DEVICE_SELECT:
		return dev->device_select;
	case VIRTIO_COMMON_DEVICE_FEATURE:
		return half(dev->features, dev->device_select);
	case VIRTIO_COMMON_DRIVER_SELECT:
		return dev->driver_select;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		return half(dev->driver_features, dev->driver_select);
	case VIRTIO_COMMON_CONFIG_VECTOR:
		return dev->config_vector;
	case VIRTIO_COMMON_QUEUES:
		return dev->queue_count;
	case VIRTIO_COMMON_STATUS:
		return atomic_load(&dev->status);
	case VIRTIO_COMMON_GENERATION:
		return atomic_load(&dev->generation);
	case VIRTIO_COMMON_QUEUE_SELECT:
		return dev->queue_select;
	}
	return read_queue(dev, at);
}

/* Where the registers begin and how long they are. */
static const struct {
	uint8_t at, size;
} common_regs[] = {
	{ VIRTIO_COMMON_DEVICE_SELECT, 4 }, { VIRTIO_COMMON_DEVICE_FEATURE, 4 },
	{ VIRTIO_COMMON_DRIVER_SELECT, 4 }, { VIRTIO_COMMON_DRIVER_FEATURE, 4 },
	{ VIRTIO_COMMON_CONFIG_VECTOR, 2 }, { VIRTIO_COMMON_QUEUES, 2 },
	{ VIRTIO_COMMON_STATUS, 1 },	    { VIRTIO_COMMON_GENERATION, 1 },
	{ VIRTIO_COMMON_QUEUE_SELECT, 2 },  { VIRTIO_COMMON_QUEUE_SIZE, 2 },
	{ VIRTIO_COMMON_QUEUE_VECTOR, 2 },  { VIRTIO_COMMON_QUEUE_ENABLE, 2 },
	{ VIRTIO_COMMON_QUEUE_NOTIFY, 2 },  { VIRTIO_COMMON_QUEUE_DESC, 8 },
	{ VIRTIO_COMMON_QUEUE_DRIVER, 8 },  { VIRTIO_COMMON_QUEUE_DEVICE, 8 },
	{ VIRTIO_COMMON_NOTIFY_DATA, 2 },   { VIRTIO_COMMON_QUEUE_RESET, 2 },
};

/* The register that holds byte `at`, or -1. */
static int find_register(uint64_t at)
{
	unsigned int count = sizeof(common_regs) / sizeof(common_regs[0]);

	for (unsigned int i = 0; i < count; i++)
		if (at >= common_regs[i].at &&
		    at < common_regs[i].at + common_regs[i].size)
			return (int)i;
	return -1;
}

static uint64_t read_common(struct virtio_pci *own, uint64_t at,
			    unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++) {
		int reg = find_register(at + i);

		if (reg >= 0)
			value |= (read_register(own->virtio,
						common_regs[reg].at) >>
				  8 * (at + i - common_regs[reg].at) & 0xff)
				 << 8 * i;
	}
	return value;
}

/* 4.1.5.1.2: a vector that cannot be is answered by NO_VECTOR. */
static uint16_t vector(const struct virtio_pci *own, uint16_t value)
{
	return value < own->msix.vectors ? value : VIRTIO_NO_VECTOR;
}

static void write_address(uint64_t *address, uint64_t value, unsigned int skip,
			  unsigned int size)
{
	uint64_t mask = (size == 8 ? UINT64_MAX : UINT32_MAX) << 8 * skip;

	*address = (*address & ~mask) | (value << 8 * skip & mask);
}

static void write_queue(struct virtio_pci *own, unsigned int reg,
			unsigned int skip, unsigned int size, uint64_t value)
{
	struct virtio_queue *q = selected(own->virtio);

	if (!q)
		return;
	switch (reg) {
	case VIRTIO_COMMON_QUEUE_VECTOR:
		q->vector = vector(own, (uint16_t)value);
		return;
	case VIRTIO_COMMON_QUEUE_ENABLE:
		if (value == 1)
			virtio_queue_enable(q);
		return;
	case VIRTIO_COMMON_QUEUE_RESET:
		if (value == 1 &&
		    virtio_has(own->virtio, VIRTIO_F_RING_RESET))
			virtio_queue_reset(q);
		return;
	}
	if (q->enabled)
		return; /* the ring is in use */
	switch (reg) {
	case VIRTIO_COMMON_QUEUE_SIZE:
		q->size = (uint16_t)value;
		break;
	case VIRTIO_COMMON_QUEUE_DESC:
		write_address(&q->desc_addr, value, skip, size);
		break;
	case VIRTIO_COMMON_QUEUE_DRIVER:
		write_address(&q->driver_addr, value, skip, size);
		break;
	case VIRTIO_COMMON_QUEUE_DEVICE:
		write_address(&q->device_addr, value, skip, size);
		break;
	}
}

static void write_features(struct virtio_device *dev, uint32_t value)
{
	uint32_t shift = 32 * dev->driver_select;

	/* Agreed upon once (2.2.1). */
	if (dev->driver_select > 1 ||
	    (atomic_load(&dev->status) & VIRTIO_STATUS_FEATURES_OK))
		return;
	dev->driver_features = (dev->driver_features &
				~((uint64_t)UINT32_MAX << shift)) |
			       (uint64_t)value << shift;
}

static void write_common(struct virtio_pci *own, uint64_t at,
			 unsigned int size, uint64_t value)
{
	struct virtio_device *dev = own->virtio;
	int index = find_register(at);
	unsigned int reg, skip;

	if (index < 0)
		return;
	reg = common_regs[index].at;
	skip = (unsigned int)(at - reg);
	/* As wide as they are; 64-bit ones also by halves (4.1.3.1). */
	if (size != common_regs[index].size &&
	    !(common_regs[index].size == 8 && size == 4 && !(skip & 3)))
		return;
	switch (reg) {
	case VIRTIO_COMMON_DEVICE_SELECT:
		dev->device_select = (uint32_t)value;
		break;
	case VIRTIO_COMMON_DRIVER_SELECT:
		dev->driver_select = (uint32_t)value;
		break;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		write_features(dev, (uint32_t)value);
		break;
	case VIRTIO_COMMON_CONFIG_VECTOR:
		dev->config_vector = vector(own, (uint16_t)value);
		break;
	case VIRTIO_COMMON_STATUS:
		virtio_set_status(dev, (uint8_t)value);
		break;
	case VIRTIO_COMMON_QUEUE_SELECT:
		dev->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(own, reg, skip, size, value);
		break;
	}
}

/* --- the BAR ---------------------------------------------------------------------- */

static uint64_t read_isr(struct virtio_pci *own)
{
	uint8_t isr = atomic_exchange(&own->isr, 0);

	pci_irq_set(&own->pci, false);
	return isr;
}

static uint64_t read_device(struct virtio_pci *own, uint64_t at,
			    unsigned int size)
{
	struct virtio_device *dev = own->virtio;
	uint64_t value = 0;

	if (at + size > dev->class->config_size)
		return 0;
	if (dev->class->config_reading)
		dev->class->config_reading(dev);
	memcpy(&value, dev->config + at, size);
	return value;
}

static uint64_t read_regs(void *device, uint64_t offset, unsigned int size)
{
	struct virtio_pci *own = device;

	switch (offset & ~(uint64_t)(PART_SIZE - 1)) {
	case AT_COMMON:
		return read_common(own, offset, size);
	case AT_ISR:
		return offset == AT_ISR ? read_isr(own) : 0;
	case AT_DEVICE:
		return read_device(own, offset - AT_DEVICE, size);
	}
	return 0;
}

static void notify(struct virtio_pci *own, uint64_t at)
{
	uint64_t index = at / NOTIFY_MULTIPLIER;

	/* Whatever value: the place names the queue. */
	if (index < own->virtio->queue_count)
		virtio_queue_notified(&own->virtio->queue[index]);
}

static void write_regs(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct virtio_pci *own = device;
	struct virtio_device *dev = own->virtio;
	uint64_t at = offset & (PART_SIZE - 1);

	switch (offset & ~(uint64_t)(PART_SIZE - 1)) {
	case AT_COMMON:
		write_common(own, at, size, value);
		break;
	case AT_DEVICE:
		if (at + size <= dev->class->config_size && size <= 4 &&
		    dev->class->config_written)
			dev->class->config_written(dev, (unsigned int)at, size,
						   (uint32_t)value);
		break;
	case AT_NOTIFY:
		notify(own, at);
		break;
	}
}

static const struct bus_ops regs_ops = {
	.read = read_regs,
	.write = write_regs,
};

/* --- through configuration space (4.1.4.9) ------------------------------------------- */

/* The range that the capability names now; NULL: none that can be. */
static const struct bus_range *window(struct virtio_pci *own, uint32_t *offset,
				      unsigned int *size)
{
	struct pci_device *pci = &own->pci;
	unsigned int bar = pci_get(pci, own->cfg_cap + CAP_BAR, 1);
	const struct bus_range *range;

	*offset = pci_get(pci, own->cfg_cap + CAP_OFFSET, 4);
	*size = pci_get(pci, own->cfg_cap + CAP_SIZE, 4);
	if (bar >= PCI_BARS || pci->bar[bar].kind == PCI_NO_BAR ||
	    (*size != 1 && *size != 2 && *size != 4) || *offset % *size)
		return NULL;
	range = &pci->bar[bar].range;
	return *offset <= range->size - *size ? range : NULL;
}

static bool data_touched(const struct virtio_pci *own, unsigned int at,
			 unsigned int size)
{
	unsigned int data = own->cfg_cap + CAP_DATA;

	return at < data + 4 && at + size > data;
}

static void config_reading(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	struct virtio_pci *own = pci->owner;
	const struct bus_range *range;
	unsigned int bytes;
	uint32_t offset;

	if (!data_touched(own, at, size))
		return;
	range = window(own, &offset, &bytes);
	if (range)
		pci_set(pci, own->cfg_cap + CAP_DATA, bytes,
			(uint32_t)bus_range_read(range, offset, bytes));
}

static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	struct virtio_pci *own = pci->owner;
	const struct bus_range *range;
	unsigned int bytes;
	uint32_t offset;

	/* Queues wait while the function may not reach memory. */
	if (at < PCI_COMMAND + 2 && at + size > PCI_COMMAND && may_dma(own))
		virtio_class.resume(own->virtio);
	if (!data_touched(own, at, size))
		return;
	range = window(own, &offset, &bytes);
	if (range)
		bus_range_write(range, offset, bytes,
				pci_get(pci, own->cfg_cap + CAP_DATA, bytes));
}

/* --- reset and saved state --------------------------------------------------------------- */

static void pci_was_reset(struct pci_device *pci)
{
	struct virtio_pci *own = pci->owner;

	atomic_store(&own->isr, 0);
	virtio_reset_now(own->virtio);
}

static const struct pci_ops virtio_pci_ops = {
	.config_reading = config_reading,
	.config_written = config_written,
	.reset = pci_was_reset,
};

static const struct field virtio_pci_fields[] = {
	FIELD(struct virtio_pci, FIELD_U8, isr),
};

static const struct state_class virtio_pci_state = {
	.name = "virtio-pci",
	.version = 1,
	.size = sizeof(struct virtio_pci),
	.fields = virtio_pci_fields,
	.field_count = sizeof(virtio_pci_fields) / sizeof(virtio_pci_fields[0]),
};

const struct device_class virtio_pci_class = {
	.name = "virtio-pci",
	.state = &virtio_pci_state,
};

/* --- making one ------------------------------------------------------------------------------ */

static unsigned int add_cap(struct virtio_pci *own, uint8_t type,
			    uint32_t offset, uint32_t size, unsigned int extra,
			    uint32_t word)
{
	bool access = type == VIRTIO_PCI_CAP_PCI;
	const struct pci_reg regs[] = {
		{ CAP_LENGTH, 1, CAP_DATA + extra, 0, 0, 0 },
		{ CAP_TYPE, 1, type, 0, 0, 0 },
		{ CAP_BAR, 1, access ? 0 : BAR_REGS, access ? 0xff : 0, 0, 0 },
		{ CAP_OFFSET, 4, offset, access ? UINT32_MAX : 0, 0, 0 },
		{ CAP_SIZE, 4, size, access ? UINT32_MAX : 0, 0, 0 },
		{ CAP_DATA, 4, word, access ? UINT32_MAX : 0, 0, 0 },
	};

	return pci_cap_add(&own->pci, PCI_CAP_VENDOR, CAP_DATA + extra, regs,
			   extra ? 6 : 5);
}

int virtio_pci_init(struct virtio_pci *own, struct virtio_device *dev)
{
	const struct pci_ident ident = {
		.name = dev->class->name,
		.vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + dev->class->id),
		.class = dev->class->pci_class,
		.revision = 1,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.pin = 1,
	};
	int err;

	memset(own, 0, sizeof(*own));
	own->virtio = dev;
	own->pin = (struct host_work){ .run = raise_pin, .ctx = own };
	dev->transport = &pci_transport;
	dev->transport_object = own;
	err = pci_device_init(&own->pci, dev->vm, &ident, &virtio_pci_ops, own);
	if (err)
		return err;
	add_cap(own, VIRTIO_PCI_CAP_COMMON, AT_COMMON, VIRTIO_COMMON_SIZE, 0,
		0);
	add_cap(own, VIRTIO_PCI_CAP_ISR, AT_ISR, 1, 0, 0);
	if (dev->class->config_size)
		add_cap(own, VIRTIO_PCI_CAP_DEVICE, AT_DEVICE,
			dev->class->config_size, 0, 0);
	add_cap(own, VIRTIO_PCI_CAP_NOTIFY, AT_NOTIFY,
		NOTIFY_MULTIPLIER * dev->queue_count, 4, NOTIFY_MULTIPLIER);
	own->cfg_cap = add_cap(own, VIRTIO_PCI_CAP_PCI, 0, 0, 4, 0);
	pci_bar_add(&own->pci, BAR_REGS, PCI_MEM64, REGS_SIZE, &regs_ops, own);
	err = pci_msix_add(&own->pci, &own->msix, dev->queue_count + 1,
			   BAR_MSIX);
	if (err)
		return err;
	pci_express_add(&own->pci);
	return vm_add_device(dev->vm, &virtio_pci_class, own);
}
