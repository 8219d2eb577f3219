/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places for BARs and bridges, as firmware hands them out: on each bus the
 * large ones first, so that little is lost to alignment; behind a bridge in
 * its window, which has room to spare for what is plugged in later.
 */
#include "board/pci_layout.h"

#include "board/layout.h"
#include "chip/ich9_lpc.h"
#include "chip/pci_host.h"
#include "vm/host.h"
#include "vm/memory.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define HIGH_ALIGN    (32 * GIB)
#define HIGH_FROM     (64 * MIB) /* prefetchable BARs above 4 GiB from here */
#define BRIDGE_ALIGN  MIB
#define BRIDGE_MEMORY (2 * MIB)	 /* at least, of each bridge */
#define BRIDGE_HIGH   (GIB)

void pci_layout_init(struct pci_layout *layout, uint64_t memory,
		     unsigned int physical_bits)
{
	uint64_t low = memory < MEMORY_LOW_MAX ? memory : MEMORY_LOW_MAX;
	uint64_t end = LAYOUT_4G + (memory - low);
	uint64_t limit = (uint64_t)1 << physical_bits;

	*layout = (struct pci_layout){
		.ecam = { LAYOUT_ECAM, LAYOUT_PCI - LAYOUT_ECAM },
		.low = { LAYOUT_PCI, LAYOUT_IOAPIC - LAYOUT_PCI },
		.ports = { LAYOUT_PORTS, 0x10000 - LAYOUT_PORTS },
	};
	layout->high.base = (end + HIGH_ALIGN - 1) & ~(HIGH_ALIGN - 1);
	if (layout->high.base + HIGH_ALIGN <= limit)
		layout->high.size = HIGH_ALIGN;
}

/* What is left of a window. */
struct room {
	uint64_t next, end;
};

struct rooms {
	struct room low, high, ports;
};

static struct room room_of(const struct pci_window *window)
{
	return (struct room){ window->base, window->base + window->size };
}

/* An aligned piece, or 0 when there is none. */
static uint64_t take(struct room *room, uint64_t size, uint64_t align)
{
	uint64_t at = (room->next + align - 1) & ~(align - 1);

	if (at < room->next || at > room->end || size > room->end - at)
		return 0;
	room->next = at + size;
	return at;
}

static void set_bar(struct pci_device *pci, unsigned int index, uint64_t base)
{
	enum pci_bar_kind kind = pci->bar[index].kind;
	unsigned int at = index == PCI_BAR_ROM ? PCI_ROM
					       : PCI_BAR0 + 4 * index;

	pci_config_write(pci, at, 4, (uint32_t)base);
	if (kind == PCI_MEM64 || kind == PCI_PREF64)
		pci_config_write(pci, at + 4, 4, (uint32_t)(base >> 32));
}

static void place_bar(struct pci_device *pci, unsigned int index,
		      struct rooms *rooms)
{
	const struct pci_bar *bar = &pci->bar[index];
	uint64_t size = bar->range.size, base = 0;
	/* Behind a bridge only its prefetchable window lies that high. */
	bool high = bar->kind == PCI_PREF64 &&
		    (size >= HIGH_FROM || pci->bus->bridge);

	if (bar->kind == PCI_IO)
		base = take(&rooms->ports, size, size);
	else if (high)
		base = take(&rooms->high, size, size);
	if (!base && bar->kind != PCI_IO)
		base = take(&rooms->low, size, size);
	if (!base) {
		host_log(HOST_LOG_WARN, "PCI: no room for BAR %u of %s", index,
			 pci->name);
		return;
	}
	set_bar(pci, index, base);
}

/* BARs of just `size` bytes on one bus. */
static void place_bars(struct pci_bus *bus, uint64_t size, struct rooms *rooms)
{
	for (unsigned int i = 0; i < 256; i++) {
		struct pci_device *pci = bus->function[i];

		for (unsigned int bar = 0; pci && bar < PCI_BARS_ALL; bar++)
			if (pci->bar[bar].kind != PCI_NO_BAR &&
			    pci->bar[bar].range.size == size)
				place_bar(pci, bar, rooms);
	}
}

static void place_bus(struct pci_bus *bus, struct rooms *rooms);

/* A bridge's windows, around what is behind it. */
static void place_bridge(struct pci_device *bridge, struct rooms *rooms)
{
	struct rooms inner = *rooms;
	uint64_t low = take(&inner.low, 0, BRIDGE_ALIGN);
	uint64_t high = take(&inner.high, 0, BRIDGE_ALIGN);
	uint64_t least;

	inner.ports = (struct room){ 1, 0 };
	place_bus(bridge->below, &inner);
	least = low + BRIDGE_MEMORY;
	if (inner.low.next < least)
		inner.low.next = least;
	if (low && take(&inner.low, 0, BRIDGE_ALIGN) &&
	    inner.low.next <= inner.low.end) {
		pci_config_write(bridge, PCI_MEM_BASE, 2, low >> 16);
		pci_config_write(bridge, PCI_MEM_LIMIT, 2,
				 (inner.low.next - 1) >> 16);
		rooms->low.next = inner.low.next;
	}
	least = high + BRIDGE_HIGH;
	if (inner.high.next < least)
		inner.high.next = least;
	if (high && take(&inner.high, 0, BRIDGE_ALIGN) &&
	    inner.high.next <= inner.high.end) {
		uint64_t last = inner.high.next - 1;

		pci_config_write(bridge, PCI_PREF_BASE, 2, high >> 16 & 0xfff0);
		pci_config_write(bridge, PCI_PREF_BASE_HIGH, 4, high >> 32);
		pci_config_write(bridge, PCI_PREF_LIMIT, 2,
				 last >> 16 & 0xfff0);
		pci_config_write(bridge, PCI_PREF_LIMIT_HIGH, 4, last >> 32);
		rooms->high.next = inner.high.next;
	}
}

static void place_bus(struct pci_bus *bus, struct rooms *rooms)
{
	for (unsigned int bit = 63; bit--;)
		place_bars(bus, (uint64_t)1 << bit, rooms);
	for (unsigned int i = 0; i < 256; i++)
		if (bus->function[i] && bus->function[i]->below)
			place_bridge(bus->function[i], rooms);
}

/* Gives the buses behind `bus` their numbers, from *next on. */
static void number(struct pci_bus *bus, unsigned int own, unsigned int *next)
{
	for (unsigned int i = 0; i < 256; i++) {
		struct pci_device *pci = bus->function[i];
		unsigned int below;

		if (!pci || !pci->below || *next > 0xff)
			continue;
		below = (*next)++;
		pci_config_write(pci, PCI_PRIMARY, 1, own);
		pci_config_write(pci, PCI_SECONDARY, 1, below);
		number(pci->below, below, next);
		pci_config_write(pci, PCI_SUBORDINATE, 1, *next - 1);
	}
}

/* PIRQ A, B, E, F and C, D, G, H: as PC firmware shares them out. */
unsigned int pci_layout_isa(unsigned int pirq)
{
	return pirq & 2 ? 11 : 10;
}

static void route_pirqs(struct pci_host *host)
{
	struct pci_device *lpc = host->root.function[PCI_DEVFN(31, 0)];

	for (unsigned int i = 0; lpc && i < PCI_PIRQS; i++)
		pci_config_write(lpc, i < 4 ? ICH9_PIRQ_A + i
					    : ICH9_PIRQ_E + i - 4,
				 1, pci_layout_isa(i));
}

static void turn_on(void *ctx, struct pci_device *pci)
{
	uint32_t command = pci_get(pci, PCI_COMMAND, 2);

	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (pci->bar[i].kind == PCI_IO)
			command |= PCI_COMMAND_IO;
		else if (pci->bar[i].kind != PCI_NO_BAR)
			command |= PCI_COMMAND_MEM;
	}
	if (pci->below)
		command |= PCI_COMMAND_IO | PCI_COMMAND_MEM |
			   PCI_COMMAND_MASTER;
	pci_config_write(pci, PCI_COMMAND, 2, command);
	if (pci->pin)
		pci_config_write(pci, PCI_IRQ_LINE, 1,
				 pci_layout_isa(pci_pirq(pci)));
}

void pci_layout_assign(const struct pci_layout *layout, struct pci_host *host)
{
	struct rooms rooms = {
		.low = room_of(&layout->low),
		.high = room_of(&layout->high),
		.ports = room_of(&layout->ports),
	};
	unsigned int next = 1;

	pci_config_write(&host->pci, PCI_HOST_PCIEXBAR + 4, 4,
			 (uint32_t)(layout->ecam.base >> 32));
	pci_config_write(&host->pci, PCI_HOST_PCIEXBAR, 4,
			 (uint32_t)layout->ecam.base | 1);
	number(&host->root, 0, &next);
	place_bus(&host->root, &rooms);
	route_pirqs(host);
	pci_host_each(host, turn_on, NULL);
}
