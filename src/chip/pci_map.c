/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which BAR answers at an address. A BAR is decoded while its function's
 * command register says so and every bridge above forwards its address
 * (PCI-to-PCI Bridge 1.2, chapter 4). All of it is worked out again when a
 * guest changes something; an access then looks through a short list. Where
 * BARs overlap, the lower function answers.
 */
#include "chip/pci_host.h"
#include "chip/pci_impl.h"

#include "vm/bytes.h"
#include "vm/memory_view.h"

/* Interrupt controllers and firmware, whatever the bus says of them. */
#define CHIPS_FIRST 0xfec00000ull
#define CHIPS_SIZE  0x01400000ull

/* --- where a BAR is --------------------------------------------------------- */

static unsigned int bar_register(unsigned int index)
{
	return index == PCI_BAR_ROM ? PCI_ROM : PCI_BAR0 + 4 * index;
}

/* The base that was written; false while it stands for "nowhere". */
static bool bar_base(const struct pci_device *pci, unsigned int index,
		     uint64_t *base)
{
	const struct pci_bar *bar = &pci->bar[index];
	uint64_t value = pci_get(pci, bar_register(index), 4), last;
	bool wide = bar->kind == PCI_MEM64 || bar->kind == PCI_PREF64;
	uint64_t limit = wide ? UINT64_MAX : UINT32_MAX;

	if (index == PCI_BAR_ROM && !(value & PCI_ROM_ENABLE))
		return false;
	if (wide)
		value |= (uint64_t)pci_get(pci, bar_register(index) + 4, 4)
			 << 32;
	if (bar->kind == PCI_IO)
		limit = 0x10000; /* x86 has no more ports */
	*base = value & ~(bar->range.size - 1);
	last = *base + (bar->range.size - 1);
	/* The top of the address space is what sizing leaves for a moment. */
	return *base && last >= *base && last < limit;
}

static bool in_window(uint64_t base, uint64_t size, uint64_t first,
		      uint64_t last)
{
	return first <= last && base >= first && base + (size - 1) <= last;
}

/* Whether `bridge` forwards [base, base + size) to its secondary bus. */
static bool forwards(const struct pci_device *bridge, enum pci_bar_kind kind,
		     uint64_t base, uint64_t size)
{
	uint32_t command = pci_get(bridge, PCI_COMMAND, 2);
	uint64_t first, last;

	if (kind == PCI_IO) {
		first = (pci_get(bridge, PCI_IO_BASE, 1) & 0xf0) << 8;
		last = (pci_get(bridge, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff;
		return (command & PCI_COMMAND_IO) &&
		       in_window(base, size, first, last);
	}
	if (!(command & PCI_COMMAND_MEM))
		return false;
	first = (uint64_t)(pci_get(bridge, PCI_MEM_BASE, 2) & 0xfff0) << 16;
	last = (uint64_t)(pci_get(bridge, PCI_MEM_LIMIT, 2) & 0xfff0) << 16 |
	       0xfffff;
	if (in_window(base, size, first, last))
		return true;
	first = (uint64_t)pci_get(bridge, PCI_PREF_BASE_HIGH, 4) << 32 |
		(uint64_t)(pci_get(bridge, PCI_PREF_BASE, 2) & 0xfff0) << 16;
	last = (uint64_t)pci_get(bridge, PCI_PREF_LIMIT_HIGH, 4) << 32 |
	       (uint64_t)(pci_get(bridge, PCI_PREF_LIMIT, 2) & 0xfff0) << 16 |
	       0xfffff;
	return in_window(base, size, first, last);
}

static bool decoded(const struct pci_device *pci, unsigned int index,
		    uint64_t *base)
{
	const struct pci_bar *bar = &pci->bar[index];
	uint32_t command = pci_get(pci, PCI_COMMAND, 2);
	const struct pci_device *bridge;

	if (!(command &
	      (bar->kind == PCI_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEM)) ||
	    !bar_base(pci, index, base))
		return false;
	for (bridge = pci->bus->bridge; bridge; bridge = bridge->bus->bridge)
		if (!forwards(bridge, bar->kind, *base, bar->range.size))
			return false;
	return true;
}

static void map_function(void *ctx, struct pci_device *pci)
{
	struct pci_host *host = ctx;

	for (unsigned int i = 0; i < PCI_BARS_ALL; i++) {
		struct pci_bar *bar = &pci->bar[i];
		struct pci_map *map;

		if (bar->kind == PCI_NO_BAR)
			continue;
		map = bar->kind == PCI_IO ? &host->io : &host->memory;
		bar->mapped = map->count < PCI_MAPPED_MAX &&
			      decoded(pci, i, &bar->range.base);
		if (bar->mapped)
			map->range[map->count++] = &bar->range;
	}
}

static void update_ecam(struct pci_host *host)
{
	static const uint32_t sizes[4] = { 256u << 20, 128u << 20, 64u << 20,
					   0 };
	uint64_t value = pci_get(&host->pci, PCI_HOST_PCIEXBAR, 4) |
			 (uint64_t)pci_get(&host->pci, PCI_HOST_PCIEXBAR + 4, 4)
				 << 32;

	host->ecam_size = value & 1 ? sizes[value >> 1 & 3] : 0;
	host->ecam = value & ~(uint64_t)(host->ecam_size - 1) & ~0xfull;
}

/* --- memory BARs that are plain memory ---------------------------------------- */

static bool meets(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

/* Nothing else answers at any of its addresses. */
static bool is_alone(const struct pci_host *host, const struct bus_range *bar)
{
	uint64_t base = bar->base, size = bar->size;

	if (bus_meets(&host->pci.vm->mmio, base, size) ||
	    meets(base, size, CHIPS_FIRST, CHIPS_SIZE) ||
	    (host->ecam_size && meets(base, size, host->ecam, host->ecam_size)))
		return false;
	for (unsigned int i = 0; i < host->memory.count; i++) {
		const struct bus_range *r = host->memory.range[i];

		if (r != bar && meets(base, size, r->base, r->size))
			return false;
	}
	return true;
}

/* What `bar` showed and shows no more goes first, to make room. */
static void hide_views(void *ctx, struct pci_device *pci)
{
	struct pci_host *host = ctx;
	struct memory *mem = &pci->vm->memory;

	for (unsigned int i = 0; i < PCI_BARS_ALL; i++) {
		const struct pci_bar *bar = &pci->bar[i];
		const struct memory_region *now;

		if (!bar->memory)
			continue;
		now = atomic_load(&mem->view[bar->view]);
		if (now && (!bar->mapped || now->base != bar->range.base ||
			    !is_alone(host, &bar->range)))
			memory_view_unmap(mem, bar->view);
	}
}

static void show_views(void *ctx, struct pci_device *pci)
{
	struct pci_host *host = ctx;

	for (unsigned int i = 0; i < PCI_BARS_ALL; i++) {
		const struct pci_bar *bar = &pci->bar[i];

		if (bar->memory && bar->mapped && is_alone(host, &bar->range))
			memory_view_map(&pci->vm->memory, bar->view,
					gpa(bar->range.base), bar->memory,
					bar->range.size);
	}
}

void pci_map_update(struct pci_host *host)
{
	host->memory.count = host->io.count = 0;
	update_ecam(host);
	pci_host_each(host, map_function, host);
	pci_host_each(host, hide_views, host);
	pci_host_each(host, show_views, host);
}

/* --- accesses ------------------------------------------------------------------ */

static const struct bus_range *map_find(struct pci_map *map, uint64_t addr)
{
	for (unsigned int i = 0; i < map->count; i++) {
		const struct bus_range *r = map->range[i];

		if (addr - r->base < r->size)
			return r;
	}
	return NULL;
}

static uint64_t map_read(struct pci_map *map, uint64_t addr, unsigned int size)
{
	const struct bus_range *r = map_find(map, addr);
	uint64_t value = 0;

	if (r && size <= r->size - (addr - r->base))
		return bus_range_read(r, addr - r->base, size);
	if (size == 1)
		return 0xff;
	for (unsigned int i = 0; i < size; i++)
		value |= map_read(map, addr + i, 1) << (i * 8);
	return value;
}

static void map_write(struct pci_map *map, uint64_t addr, unsigned int size,
		      uint64_t value)
{
	const struct bus_range *r = map_find(map, addr);

	if (r && size <= r->size - (addr - r->base)) {
		bus_range_write(r, addr - r->base, size, value);
		return;
	}
	for (unsigned int i = 0; size > 1 && i < size; i++)
		map_write(map, addr + i, 1, value >> (i * 8) & 0xff);
}

/* ECAM: bus, device, function and register are the address (PCIe 7.2.2). */
static uint64_t read_ecam(struct pci_host *host, uint64_t at, unsigned int size)
{
	struct pci_device *pci = pci_find(host, (unsigned int)(at >> 20),
					  at >> 12 & 0xff);

	if (!pci)
		return UINT64_MAX;
	return pci_config_read(pci, at & 0xfff, size);
}

static void write_ecam(struct pci_host *host, uint64_t at, unsigned int size,
		       uint64_t value)
{
	struct pci_device *pci = pci_find(host, (unsigned int)(at >> 20),
					  at >> 12 & 0xff);

	if (pci)
		pci_config_write(pci, at & 0xfff, size, (uint32_t)value);
}

/* The largest part of an access that is one configuration cycle. */
static unsigned int cycle(uint64_t at, unsigned int size)
{
	unsigned int part = size < 4 ? size : 4;

	while (at & (part - 1))
		part /= 2;
	return part;
}

static uint64_t read_memory(void *device, uint64_t addr, unsigned int size)
{
	struct pci_host *host = device;
	uint64_t value = 0;
	unsigned int n;

	if (addr - host->ecam >= host->ecam_size)
		return map_read(&host->memory, addr, size);
	for (unsigned int i = 0; i < size; i += n) {
		n = cycle(addr + i, size - i);
		value |= (read_ecam(host, addr + i - host->ecam, n) &
			  (UINT64_MAX >> (64 - 8 * n)))
			 << 8 * i;
	}
	return value;
}

static void write_memory(void *device, uint64_t addr, unsigned int size,
			 uint64_t value)
{
	struct pci_host *host = device;
	unsigned int n;

	if (addr - host->ecam >= host->ecam_size) {
		map_write(&host->memory, addr, size, value);
		return;
	}
	for (unsigned int i = 0; i < size; i += n) {
		n = cycle(addr + i, size - i);
		write_ecam(host, addr + i - host->ecam, n, value >> 8 * i);
	}
}

static uint64_t read_port(void *device, uint64_t port, unsigned int size)
{
	struct pci_host *host = device;

	return map_read(&host->io, port, size);
}

static void write_port(void *device, uint64_t port, unsigned int size,
		       uint64_t value)
{
	struct pci_host *host = device;

	map_write(&host->io, port, size, value);
}

const struct bus_ops pci_memory_ops = {
	.read = read_memory,
	.write = write_memory,
};

const struct bus_ops pci_port_ops = {
	.read = read_port,
	.write = write_port,
	.max_size = 4,
};
