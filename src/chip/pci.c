/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions: configuration space with its masks, capabilities, reset and
 * saved state; see pci.h. Left out: parity and system errors, power states
 * other than D0, the built-in self test.
 */
#include "chip/pci.h"

#include "chip/pci_host.h"
#include "chip/pci_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/memory_view.h"

/* --- registers as data ---------------------------------------------------- */

static void put(uint8_t *space, const struct pci_reg *reg, unsigned int at,
		uint32_t value)
{
	for (unsigned int i = 0; i < reg->size; i++)
		space[at + i] = (uint8_t)(value >> 8 * i);
}

void pci_regs_add(struct pci_device *pci, unsigned int at,
		  const struct pci_reg *regs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct pci_reg *reg = &regs[i];

		bug_on(at + reg->at + reg->size > sizeof(pci->config));
		put(pci->config, reg, at + reg->at, reg->value);
		put(pci->initial, reg, at + reg->at, reg->value);
		put(pci->write, reg, at + reg->at, reg->write);
		put(pci->clear, reg, at + reg->at, reg->clear);
		put(pci->status, reg, at + reg->at, reg->status);
	}
}

uint32_t pci_get(const struct pci_device *pci, unsigned int at,
		 unsigned int size)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint32_t)pci->config[at + i] << 8 * i;
	return value;
}

void pci_set(struct pci_device *pci, unsigned int at, unsigned int size,
	     uint32_t value)
{
	for (unsigned int i = 0; i < size; i++)
		pci->config[at + i] = (uint8_t)(value >> 8 * i);
}

/* A byte of what the device is by itself, from the start on. */
static void define(struct pci_device *pci, unsigned int at, unsigned int size,
		   uint32_t value)
{
	const struct pci_reg reg = { 0, (uint8_t)size, value, 0, 0, 0 };

	pci_regs_add(pci, at, &reg, 1);
}

/* --- what follows configuration space -------------------------------------- */

static bool may_master(const struct pci_device *pci)
{
	return pci_get(pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/* Bus mastering needs the bit of every bridge on the way as well. */
static void update_master(struct pci_device *pci, bool above)
{
	bool master = above && may_master(pci);

	atomic_store(&pci->master, master);
	if (!pci->below)
		return;
	for (unsigned int i = 0; i < 256; i++)
		if (pci->below->function[i])
			update_master(pci->below->function[i], master);
}

static bool master_above(const struct pci_device *pci)
{
	const struct pci_device *bridge = pci->bus ? pci->bus->bridge : NULL;

	return pci->bus && (!bridge || atomic_load(&bridge->master));
}

/* Everything that derives from the whole of configuration space. */
static void settle(struct pci_device *pci)
{
	update_master(pci, master_above(pci));
	if (pci->bus)
		pci_map_update(pci->bus->host);
	pci_irq_update(pci);
	if (pci->msix)
		pci_msix_changed(pci->msix);
}

static bool flr_asked(struct pci_device *pci, unsigned int at,
		      unsigned int size)
{
	unsigned int control = pci->express + EXP_DEVICE_CTL;

	if (!pci->express || !pci_overlaps(at, size, control, control + 2) ||
	    !(pci_get(pci, control, 2) & EXP_DEVICE_CTL_FLR))
		return false;
	return pci_get(pci, pci->express + EXP_DEVICE_CAP, 4) &
	       EXP_DEVICE_CAP_FLR;
}

static void config_changed(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	if (pci_overlaps(at, size, PCI_COMMAND, PCI_COMMAND + 2)) {
		update_master(pci, master_above(pci));
		pci_irq_update(pci);
	}
	if (pci->bus && (pci_overlaps(at, size, PCI_COMMAND, PCI_COMMAND + 2) ||
			 pci_overlaps(at, size, PCI_BAR0, PCI_CAPS) ||
			 pci_overlaps(at, size, PCI_BRIDGE_ROM,
				      PCI_BRIDGE_ROM + 4)))
		pci_map_update(pci->bus->host);
	if (pci->msi && pci_overlaps(at, size, pci->msi, pci->msi + MSI_SIZE))
		pci_msi_changed(pci);
	if (pci->msix && pci_overlaps(at, size, pci->msix->cap,
				      pci->msix->cap + MSIX_CAP_SIZE))
		pci_msix_changed(pci->msix);
}

uint32_t pci_config_read(struct pci_device *pci, unsigned int at,
			 unsigned int size)
{
	if (at + size > pci->size)
		return UINT32_MAX >> (32 - 8 * size);
	if (pci->ops && pci->ops->config_reading)
		pci->ops->config_reading(pci, at, size);
	return pci_get(pci, at, size);
}

void pci_config_write(struct pci_device *pci, unsigned int at,
		      unsigned int size, uint32_t value)
{
	if (at + size > pci->size)
		return;
	for (unsigned int i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * i);
		uint8_t *reg = &pci->config[at + i];

		*reg = (*reg & (uint8_t)~pci->write[at + i]) |
		       (byte & pci->write[at + i]);
		*reg &= (uint8_t)~(byte & pci->clear[at + i]);
	}
	if (flr_asked(pci, at, size)) {
		pci_device_reset(pci);
		return;
	}
	config_changed(pci, at, size);
	if (pci->ops && pci->ops->config_written)
		pci->ops->config_written(pci, at, size);
}

/* --- describing a device --------------------------------------------------- */

static const struct pci_reg header_regs[] = {
	{ PCI_COMMAND, 2, 0,
	  PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER |
		  PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_NO_INTX,
	  0, 0 },
	{ PCI_STATUS, 2, 0, 0, PCI_STATUS_ERRORS, PCI_STATUS_INTX },
	{ PCI_CACHE_LINE, 1, 0, 0xff, 0, 0 },
	{ PCI_IRQ_LINE, 1, 0, 0xff, 0, 0 },
};

int pci_device_init(struct pci_device *pci, struct vm *vm,
		    const struct pci_ident *ident, const struct pci_ops *ops,
		    void *owner)
{
	memset(pci, 0, sizeof(*pci));
	pci->vm = vm;
	pci->ops = ops;
	pci->owner = owner;
	pci->name = ident->name;
	pci->pin = ident->pin;
	pci->size = PCI_CONFIG_SIZE;
	pci->cap_free = PCI_HEADER_END;
	pci_regs_add(pci, 0, header_regs,
		     sizeof(header_regs) / sizeof(header_regs[0]));
	define(pci, PCI_VENDOR, 2, ident->vendor);
	define(pci, PCI_DEVICE, 2, ident->device);
	define(pci, PCI_REVISION, 1, ident->revision);
	define(pci, PCI_CLASS, 2, ident->class & 0xffff);
	define(pci, PCI_CLASS + 2, 1, ident->class >> 16);
	define(pci, PCI_SUBVENDOR, 2, ident->subvendor);
	define(pci, PCI_SUBDEVICE, 2, ident->subdevice);
	define(pci, PCI_IRQ_PIN, 1, ident->pin);
	if (ident->multifunction)
		define(pci, PCI_HEADER, 1, PCI_HEADER_MULTIFUNCTION);
	return vm_add_device(vm, &pci_class, pci);
}

void pci_bar_add(struct pci_device *pci, unsigned int index,
		 enum pci_bar_kind kind, uint64_t size,
		 const struct bus_ops *ops, void *device)
{
	struct pci_reg reg[2] = {
		{ (uint16_t)(PCI_BAR0 + 4 * index), 4, 0,
		  (uint32_t)~(size - 1), 0, 0 },
		{ (uint16_t)(PCI_BAR0 + 4 * index + 4), 4, 0,
		  (uint32_t)(~(size - 1) >> 32), 0, 0 },
	};
	bool wide = kind == PCI_MEM64 || kind == PCI_PREF64;

	bug_on(index >= PCI_BARS_ALL || !size || (size & (size - 1)) ||
	       (wide && index >= PCI_BARS - 1));
	bug_on(kind == PCI_IO ? size < 4 || size > 256 : size < 16);
	if (kind == PCI_IO)
		reg[0].value = PCI_BAR_IS_IO;
	if (wide)
		reg[0].value = PCI_BAR_IS_64;
	if (kind == PCI_PREF64)
		reg[0].value |= PCI_BAR_PREFETCH;
	if (index == PCI_BAR_ROM) {
		reg[0].at = PCI_ROM;
		reg[0].write |= PCI_ROM_ENABLE;
	}
	pci->bar[index] = (struct pci_bar){
		.kind = kind,
		.range = { .size = size, .ops = ops, .device = device,
			   .name = pci->name },
	};
	pci_regs_add(pci, 0, reg, wide ? 2 : 1);
}

int pci_bar_show(struct pci_device *pci, unsigned int index, uint8_t *host)
{
	struct pci_bar *bar = &pci->bar[index];
	int view = memory_view_add(&pci->vm->memory, pci->name);

	bug_on(bar->kind == PCI_NO_BAR || bar->kind == PCI_IO ||
	       bar->range.size & (PAGE_SIZE - 1));
	if (view < 0)
		return view;
	bar->memory = host;
	bar->view = (unsigned int)view;
	return 0;
}

unsigned int pci_cap_add(struct pci_device *pci, uint8_t id, unsigned int size,
			 const struct pci_reg *regs, unsigned int count)
{
	unsigned int at = pci->cap_free;

	bug_on(at + size > PCI_CONFIG_SIZE);
	pci->cap_free = (uint16_t)((at + size + 3) & ~3u);
	define(pci, at, 1, id);
	define(pci, pci->cap_last ? pci->cap_last + 1u : PCI_CAPS, 1, at);
	pci->cap_last = (uint8_t)at;
	pci->config[PCI_STATUS] |= PCI_STATUS_CAPS;
	pci->initial[PCI_STATUS] |= PCI_STATUS_CAPS;
	pci_regs_add(pci, at, regs, count);
	return at;
}

/* Version 2; payloads of 128 bytes, requests of 512. */
static const struct pci_reg express_regs[] = {
	{ EXP_FLAGS, 2, 2 | EXP_TYPE_ENDPOINT << 4, 0, 0, 0 },
	{ EXP_DEVICE_CAP, 4, EXP_DEVICE_CAP_RBER | EXP_DEVICE_CAP_FLR, 0, 0,
	  0 },
	{ EXP_DEVICE_CTL, 2, 0x2810, 0xf8ff, 0, 0 },
	{ EXP_DEVICE_STA, 2, 0, 0, 0x000f, 0 },
	{ EXP_LINK_CAP, 4, 0x11, 0, 0, 0 }, /* one lane of 2.5 GT/s */
	{ EXP_LINK_CTL, 2, 0, 0x01c3, 0, 0 },
	{ EXP_LINK_STA, 2, 0x11, 0, 0, 0 },
};

/* An integrated endpoint has no link (7.8.6 to 7.8.8). */
static const struct pci_reg integrated_regs[] = {
	{ EXP_FLAGS, 2, 2 | EXP_TYPE_INTEGRATED << 4, 0, 0, 0 },
	{ EXP_LINK_CAP, 4, 0, 0, 0, 0 },
	{ EXP_LINK_CTL, 2, 0, 0, 0, 0 },
	{ EXP_LINK_STA, 2, 0, 0, 0, 0 },
};

void pci_express_add(struct pci_device *pci)
{
	pci->express = (uint8_t)pci_cap_add(
		pci, PCI_CAP_EXPRESS, EXP_SIZE, express_regs,
		sizeof(express_regs) / sizeof(express_regs[0]));
	pci->size = PCI_EXPRESS_SIZE;
}

/* Function 0 tells that there are others. */
static void tell_of_functions(struct pci_bus *bus, unsigned int devfn)
{
	struct pci_device *first = bus->function[devfn & ~7u];

	if ((devfn & 7) && first)
		define(first, PCI_HEADER, 1,
		       first->config[PCI_HEADER] | PCI_HEADER_MULTIFUNCTION);
}

int pci_attach(struct pci_bus *bus, struct pci_device *pci, unsigned int devfn)
{
	if (devfn > 0xff || bus->function[devfn])
		return -VM_EEXIST;
	bus->function[devfn] = pci;
	tell_of_functions(bus, devfn);
	pci->bus = bus;
	pci->devfn = (uint8_t)devfn;
	if (pci->below)
		pci->below->host = bus->host;
	if (pci->express && !bus->bridge &&
	    pci_get(pci, pci->express + EXP_FLAGS, 2) >> 4 == EXP_TYPE_ENDPOINT)
		pci_regs_add(pci, pci->express, integrated_regs,
			     sizeof(integrated_regs) /
				     sizeof(integrated_regs[0]));
	settle(pci);
	return 0;
}

void pci_detach(struct pci_device *pci)
{
	struct pci_bus *bus = pci->bus;

	if (!bus)
		return;
	pci_irq_release(pci);
	bus->function[pci->devfn] = NULL;
	pci->bus = NULL;
	update_master(pci, false);
	for (unsigned int i = 0; i < PCI_BARS_ALL; i++) {
		pci->bar[i].mapped = false;
		if (pci->bar[i].memory)
			memory_view_unmap(&pci->vm->memory, pci->bar[i].view);
	}
	pci_map_update(bus->host);
}

/* --- memory ---------------------------------------------------------------- */

int pci_dma_read(const struct pci_device *pci, uint64_t addr, void *to,
		 uint64_t size)
{
	if (!atomic_load(&pci->master))
		return -VM_EFAULT;
	return memory_read(&pci->vm->memory, gpa(addr), to, size);
}

int pci_dma_write(struct pci_device *pci, uint64_t addr, const void *from,
		  uint64_t size)
{
	if (!atomic_load(&pci->master))
		return -VM_EFAULT;
	return memory_write(&pci->vm->memory, gpa(addr), from, size);
}

const void *pci_dma_for_read(const struct pci_device *pci, uint64_t addr,
			     uint64_t size)
{
	if (!atomic_load(&pci->master))
		return NULL;
	return memory_for_read(&pci->vm->memory, gpa(addr), size);
}

void *pci_dma_for_write(struct pci_device *pci, uint64_t addr, uint64_t size)
{
	if (!atomic_load(&pci->master))
		return NULL;
	return memory_for_write(&pci->vm->memory, gpa(addr), size);
}

/* --- reset and saved state -------------------------------------------------- */

void pci_device_reset(struct pci_device *pci)
{
	memcpy(pci->config, pci->initial, sizeof(pci->config));
	pci->intx = false;
	pci->msi_pending = 0;
	if (pci->msix)
		pci_msix_reset(pci->msix);
	settle(pci);
	if (pci->ops && pci->ops->reset)
		pci->ops->reset(pci);
	if (!pci->below)
		return;
	for (unsigned int i = 0; i < 256; i++)
		if (pci->below->function[i])
			pci_device_reset(pci->below->function[i]);
}

static void class_reset(void *device)
{
	pci_device_reset(device);
}

static int check(const void *object)
{
	const struct pci_device *pci = object;

	for (unsigned int i = 0; i < sizeof(pci->config); i++) {
		uint8_t may = pci->write[i] | pci->clear[i] | pci->status[i];

		if ((pci->config[i] ^ pci->initial[i]) & (uint8_t)~may)
			return -VM_EBADMSG;
	}
	return 0;
}

static void loaded(void *object)
{
	struct pci_device *pci = object;

	settle(pci);
	if (pci->ops && pci->ops->loaded)
		pci->ops->loaded(pci);
}

static const struct field pci_fields[] = {
	FIELD(struct pci_device, FIELD_BOOL, intx),
	FIELD(struct pci_device, FIELD_U32, msi_pending),
	FIELD_ARRAY(struct pci_device, FIELD_U8, config, PCI_EXPRESS_SIZE),
};

static const struct state_class pci_state = {
	.name = "pci",
	.version = 1,
	.size = sizeof(struct pci_device),
	.fields = pci_fields,
	.field_count = sizeof(pci_fields) / sizeof(pci_fields[0]),
	.check = check,
	.loaded = loaded,
};

const struct device_class pci_class = {
	.name = "pci",
	.reset = class_reset,
	.state = &pci_state,
};
