/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host bridge; see pci_host.h. Ports as PCI 3.0, 3.2.2.3.2: a double word
 * at 0xcf8 names a register, which is then at 0xcfc. ECAM and BARs are
 * decoded in pci_map.c.
 */
#include "chip/pci_host.h"

#include "chip/pci_impl.h"
#include "chip/reset.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/memory_cover.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS   0x80fffffcu

/* The registers of device 0 that firmware and systems write (MCH 5.1). */
static const struct pci_reg host_regs[] = {
	{ 0x40, 4, 0, 0xfffff001, 0, 0 }, /* EPBAR */
	{ 0x44, 4, 0, 0xf, 0, 0 },
	{ 0x48, 4, 0, 0xffffc001, 0, 0 }, /* MCHBAR */
	{ 0x4c, 4, 0, 0xf, 0, 0 },
	{ 0x52, 2, 0x0002, 0, 0, 0 },	  /* GGC: no graphics */
	{ 0x54, 4, 0x00000001, 0, 0, 0 }, /* DEVEN */
	{ PCI_HOST_PCIEXBAR, 4, 0, 0xfc000007, 0, 0 },
	{ PCI_HOST_PCIEXBAR + 4, 4, 0, 0xf, 0, 0 },
	{ 0x68, 4, 0, 0xfffff001, 0, 0 }, /* DMIBAR */
	{ 0x6c, 4, 0, 0xf, 0, 0 },
	{ PCI_HOST_PAM0 + 0, 1, 0, 0x30, 0, 0 },
	{ PCI_HOST_PAM0 + 1, 1, 0, 0x33, 0, 0 },
	{ PCI_HOST_PAM0 + 2, 1, 0, 0x33, 0, 0 },
	{ PCI_HOST_PAM0 + 3, 1, 0, 0x33, 0, 0 },
	{ PCI_HOST_PAM0 + 4, 1, 0, 0x33, 0, 0 },
	{ PCI_HOST_PAM0 + 5, 1, 0, 0x33, 0, 0 },
	{ PCI_HOST_PAM0 + 6, 1, 0, 0x33, 0, 0 },
	{ 0x9d, 1, 0x02, 0x78, 0, 0 }, /* SMRAM: compatible range at 0xa0000 */
	{ 0x9e, 1, 0x38, 0x87, 0x40, 0 },	 /* ESMRAMC */
	{ 0xdc, 4, 0, 0xffffffff, 0, 0 },	 /* scratch pad */
	{ 0xe0, 2, 0x0009, 0, 0, 0 },		 /* CAPID0; no list leads here */
};

/* --- ports --------------------------------------------------------------------- */

static uint64_t read_address(void *device, uint64_t offset, unsigned int size)
{
	const struct pci_host *host = device;

	if (size == 4)
		return host->address;
	if (size == 1 && host->reset &&
	    PORT_ADDRESS + offset == RESET_CONTROL_PORT)
		return reset_control_read(host->reset);
	return UINT64_MAX;
}

static void write_address(void *device, uint64_t offset, unsigned int size,
			  uint64_t value)
{
	struct pci_host *host = device;

	if (size == 4)
		host->address = (uint32_t)value & ADDRESS_BITS;
	else if (size == 1 && host->reset &&
		 PORT_ADDRESS + offset == RESET_CONTROL_PORT)
		reset_control_write(host->reset, (uint8_t)value);
}

/* The function that port 0xcfc leads to now, and its register. */
static struct pci_device *addressed(struct pci_host *host, unsigned int *at)
{
	if (!(host->address & ADDRESS_ENABLE))
		return NULL;
	*at += host->address & 0xfc;
	return pci_find(host, host->address >> 16 & 0xff,
			host->address >> 8 & 0xff);
}

static uint64_t read_data(void *device, uint64_t offset, unsigned int size)
{
	unsigned int at = (unsigned int)offset;
	struct pci_device *pci = addressed(device, &at);
	uint64_t value = 0;

	if (!pci)
		return UINT64_MAX;
	if (!(offset & (size - 1)))
		return pci_config_read(pci, at, size);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)pci_config_read(pci, at + i, 1) << 8 * i;
	return value;
}

static void write_data(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	unsigned int at = (unsigned int)offset;
	struct pci_device *pci = addressed(device, &at);

	if (!pci)
		return;
	if (!(offset & (size - 1))) {
		pci_config_write(pci, at, size, (uint32_t)value);
		return;
	}
	for (unsigned int i = 0; i < size; i++)
		pci_config_write(pci, at + i, 1, value >> 8 * i & 0xff);
}

/* --- the tree -------------------------------------------------------------------- */

/* The bus that a number leads to through the bridges of `bus`, or NULL. */
static struct pci_bus *find_bus(struct pci_bus *bus, unsigned int number,
				unsigned int depth)
{
	for (unsigned int i = 0; i < 256 && depth < PCI_DEPTH_MAX; i++) {
		const struct pci_device *pci = bus->function[i];
		uint32_t secondary;

		if (!pci || !pci->below)
			continue;
		secondary = pci_get(pci, PCI_SECONDARY, 1);
		if (!secondary || number < secondary ||
		    number > pci_get(pci, PCI_SUBORDINATE, 1))
			continue;
		if (number == secondary)
			return pci->below;
		return find_bus(pci->below, number, depth + 1);
	}
	return NULL;
}

struct pci_device *pci_find(struct pci_host *host, unsigned int bus,
			    unsigned int devfn)
{
	struct pci_bus *on = bus ? find_bus(&host->root, bus, 0) : &host->root;

	return on ? on->function[devfn & 0xff] : NULL;
}

static void each(struct pci_bus *bus, unsigned int depth,
		 void (*call)(void *ctx, struct pci_device *pci), void *ctx)
{
	for (unsigned int i = 0; i < 256 && depth < PCI_DEPTH_MAX; i++) {
		struct pci_device *pci = bus->function[i];

		if (!pci)
			continue;
		call(ctx, pci);
		if (pci->below)
			each(pci->below, depth + 1, call, ctx);
	}
}

void pci_host_each(struct pci_host *host,
		   void (*call)(void *ctx, struct pci_device *pci), void *ctx)
{
	each(&host->root, 0, call, ctx);
}

/* --- shadowed firmware ------------------------------------------------------------ */

/* Of a segment's four bits */
#define PAM_READ  1
#define PAM_WRITE 2

/* Where the ICH has the ROM whose end it decodes below 1 MiB as well. */
#define ROM_MIRROR 0xfff00000u
#define ROM_FIRST  0xe0000u

#define SEGMENT_SIZE 0x4000u
#define LAST_SIZE    0x10000u

uint32_t pci_host_segment(unsigned int segment, uint32_t *size)
{
	*size = segment < PCI_HOST_SEGMENTS - 1 ? SEGMENT_SIZE : LAST_SIZE;
	return PCI_HOST_SHADOW + segment * SEGMENT_SIZE;
}

/* PAM0 is the last segment's, the others have two each (MCH 5.1.17-23). */
static unsigned int pam(const struct pci_host *host, unsigned int segment)
{
	unsigned int at = PCI_HOST_PAM0, shift = 4;

	if (segment < PCI_HOST_SEGMENTS - 1) {
		at += 1 + segment / 2;
		shift = 4 * (segment % 2);
	}
	return pci_get(&host->pci, at, 1) >> shift & (PAM_READ | PAM_WRITE);
}

static void shadow_update(struct pci_host *host)
{
	struct memory *mem = &host->vm->memory;
	uint32_t size;

	for (unsigned int i = 0; host->shadow && i < PCI_HOST_SEGMENTS; i++) {
		const gpa_t base = gpa(pci_host_segment(i, &size));
		unsigned int now = pam(host, i);
		bool write = now & PAM_WRITE;

		memory_set_kind(mem, base, write ? MEMORY_RAM : MEMORY_ROM);
		memory_cover(mem, base,
			     now & PAM_READ ? NULL : &host->rom[i][write]);
	}
}

int pci_host_shadow(struct pci_host *host)
{
	struct memory *mem = &host->vm->memory;
	int err = 0;

	for (unsigned int i = 0; i < PCI_HOST_SEGMENTS; i++) {
		uint32_t size, base = pci_host_segment(i, &size);
		/* Nothing is at the end of the address space. */
		const gpa_t rom = gpa(base < ROM_FIRST ? UINT64_MAX
						       : ROM_MIRROR + base);

		for (unsigned int through = 0; through < 2 && !err; through++)
			err = memory_cover_init(mem, &host->rom[i][through],
						gpa(base), rom, through);
	}
	host->shadow = !err;
	shadow_update(host);
	return err;
}

/* --- the device -------------------------------------------------------------------- */

static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	struct pci_host *host = pci->owner;

	if (pci_overlaps(at, size, PCI_HOST_PCIEXBAR, PCI_HOST_PCIEXBAR + 8))
		pci_map_update(host);
	if (pci_overlaps(at, size, PCI_HOST_PAM0, PCI_HOST_PAM0 + 7))
		shadow_update(host);
}

static void registers_changed(struct pci_device *pci)
{
	shadow_update(pci->owner);
}

static const struct pci_ops host_ops = {
	.config_written = config_written,
	.reset = registers_changed,
	.loaded = registers_changed,
};

static void class_reset(void *device)
{
	struct pci_host *host = device;

	host->address = 0;
}

static int check(const void *object)
{
	const struct pci_host *host = object;

	return host->address & ~ADDRESS_BITS ? -VM_EBADMSG : 0;
}

static const struct field host_fields[] = {
	FIELD(struct pci_host, FIELD_U32, address),
};

static const struct state_class host_state = {
	.name = "pci-host",
	.version = 1,
	.size = sizeof(struct pci_host),
	.fields = host_fields,
	.field_count = sizeof(host_fields) / sizeof(host_fields[0]),
	.check = check,
};

const struct device_class pci_host_class = {
	.name = "pci-host",
	.reset = class_reset,
	.state = &host_state,
};

static const struct bus_ops address_ops = {
	.read = read_address,
	.write = write_address,
	.max_size = 4,
};

static const struct bus_ops data_ops = {
	.read = read_data,
	.write = write_data,
	.max_size = 4,
};

static const struct pci_ident host_ident = {
	.name = "host bridge",
	.vendor = 0x8086,
	.device = 0x29c0,
	.class = 0x060000,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
};

int pci_host_init(struct pci_host *host, struct vm *vm,
		  const struct irq *pirq, struct reset *reset)
{
	int err;

	memset(host, 0, sizeof(*host));
	host->vm = vm;
	host->pirq = *pirq;
	host->reset = reset;
	host->root.host = host;
	err = pci_device_init(&host->pci, vm, &host_ident, &host_ops, host);
	if (err)
		return err;
	pci_regs_add(&host->pci, 0, host_regs,
		     sizeof(host_regs) / sizeof(host_regs[0]));
	err = pci_attach(&host->root, &host->pci, PCI_DEVFN(0, 0));
	if (!err)
		err = bus_add(&vm->pio, PORT_ADDRESS, 4, "pci-address",
			      &address_ops, host);
	if (!err)
		err = bus_add(&vm->pio, PORT_DATA, 4, "pci-data", &data_ops,
			      host);
	if (err)
		return err;
	bus_set_rest(&vm->mmio, "pci", &pci_memory_ops, host);
	bus_set_rest(&vm->pio, "pci", &pci_port_ops, host);
	return vm_add_device(vm, &pci_host_class, host);
}
