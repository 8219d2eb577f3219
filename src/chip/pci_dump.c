/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions on PCI as text, after the manner of lspci: numbers as the
 * registers hold them now.
 */
#include "chip/pci_dump.h"

struct text {
	char data[PCI_DUMP_LINE];
	unsigned int used;
	void (*line)(void *ctx, const char *text);
	void *ctx;
};

static void put(struct text *t, const char *s)
{
	while (*s && t->used < sizeof(t->data) - 1)
		t->data[t->used++] = *s++;
	t->data[t->used] = '\0';
}

static void put_hex(struct text *t, uint64_t value, unsigned int digits)
{
	char s[17];

	s[digits] = '\0';
	for (unsigned int i = digits; i; value >>= 4)
		s[--i] = "0123456789abcdef"[value & 15];
	put(t, s);
}

static void put_number(struct text *t, uint64_t value)
{
	char s[21];
	unsigned int i = sizeof(s) - 1;

	s[i] = '\0';
	do
		s[--i] = (char)('0' + value % 10);
	while (value /= 10);
	put(t, s + i);
}

static void end(struct text *t)
{
	t->line(t->ctx, t->data);
	t->used = 0;
}

static unsigned int bus_number(const struct pci_bus *bus)
{
	return bus->bridge ? pci_get(bus->bridge, PCI_SECONDARY, 1) : 0;
}

static void put_name(struct text *t, const struct pci_device *pci)
{
	uint32_t command = pci_get(pci, PCI_COMMAND, 2);

	put_hex(t, bus_number(pci->bus), 2);
	put(t, ":");
	put_hex(t, pci->devfn >> 3, 2);
	put(t, ".");
	put_hex(t, pci->devfn & 7, 1);
	put(t, " ");
	put_hex(t, pci_get(pci, PCI_CLASS, 4) & 0xffffff, 6);
	put(t, " ");
	put_hex(t, pci_get(pci, PCI_VENDOR, 2), 4);
	put(t, ":");
	put_hex(t, pci_get(pci, PCI_DEVICE, 2), 4);
	put(t, " rev ");
	put_hex(t, pci_get(pci, PCI_REVISION, 1), 2);
	put(t, " ");
	put(t, pci->name);
	put(t, command & PCI_COMMAND_IO ? " io+" : " io-");
	put(t, command & PCI_COMMAND_MEM ? " mem+" : " mem-");
	put(t, command & PCI_COMMAND_MASTER ? " master+" : " master-");
	end(t);
}

static void put_bar(struct text *t, const struct pci_device *pci,
		    unsigned int index)
{
	static const char *const kinds[] = {
		[PCI_IO] = "ports",
		[PCI_MEM32] = "32-bit memory",
		[PCI_MEM64] = "64-bit memory",
		[PCI_PREF64] = "64-bit prefetchable memory",
	};
	const struct pci_bar *bar = &pci->bar[index];

	if (bar->kind == PCI_NO_BAR)
		return;
	put(t, index == PCI_BAR_ROM ? "  ROM: " : "  BAR ");
	if (index != PCI_BAR_ROM) {
		put_number(t, index);
		put(t, ": ");
	}
	put(t, kinds[bar->kind]);
	if (bar->mapped) {
		put(t, " at ");
		put_hex(t, bar->range.base, bar->kind == PCI_IO ? 4 : 8);
	} else {
		put(t, " off");
	}
	put(t, ", size ");
	put_number(t, bar->range.size);
	end(t);
}

static void put_window(struct text *t, const char *name, uint64_t first,
		       uint64_t last, unsigned int digits)
{
	if (first > last)
		return;
	put(t, "  ");
	put(t, name);
	put(t, " ");
	put_hex(t, first, digits);
	put(t, "-");
	put_hex(t, last, digits);
	end(t);
}

static void put_bridge(struct text *t, const struct pci_device *pci)
{
	put(t, "  leads to ");
	put_hex(t, pci_get(pci, PCI_SECONDARY, 1), 2);
	put(t, "-");
	put_hex(t, pci_get(pci, PCI_SUBORDINATE, 1), 2);
	end(t);
	put_window(t, "ports", (pci_get(pci, PCI_IO_BASE, 1) & 0xf0) << 8,
		   (pci_get(pci, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff, 4);
	put_window(t, "memory",
		   (uint64_t)(pci_get(pci, PCI_MEM_BASE, 2) & 0xfff0) << 16,
		   (uint64_t)(pci_get(pci, PCI_MEM_LIMIT, 2) & 0xfff0) << 16 |
			   0xfffff, 8);
	put_window(t, "prefetchable",
		   (uint64_t)pci_get(pci, PCI_PREF_BASE_HIGH, 4) << 32 |
			   (uint64_t)(pci_get(pci, PCI_PREF_BASE, 2) & 0xfff0)
				   << 16,
		   (uint64_t)pci_get(pci, PCI_PREF_LIMIT_HIGH, 4) << 32 |
			   (uint64_t)(pci_get(pci, PCI_PREF_LIMIT, 2) & 0xfff0)
				   << 16 |
			   0xfffff, 10);
}

static void put_caps(struct text *t, const struct pci_device *pci)
{
	unsigned int at = pci_get(pci, PCI_CAPS, 1), limit = 48;

	if (!(pci_get(pci, PCI_STATUS, 2) & PCI_STATUS_CAPS))
		return;
	for (; at && limit; at = pci_get(pci, at + 1, 1), limit--) {
		unsigned int id = pci_get(pci, at, 1);
		uint32_t word = pci_get(pci, at + 2, 2);

		put(t, "  [");
		put_hex(t, at, 2);
		put(t, "] ");
		if (id == PCI_CAP_EXPRESS) {
			put(t, "express, type ");
			put_number(t, word >> 4 & 15);
		} else if (id == PCI_CAP_MSI) {
			put(t, "MSI, vectors ");
			put_number(t, 1u << (word >> 1 & 7));
		} else if (id == PCI_CAP_MSIX) {
			put(t, "MSI-X, vectors ");
			put_number(t, (word & 0x7ff) + 1);
		} else if (id == PCI_CAP_VENDOR) {
			put(t, "vendor's, type ");
			put_number(t, word >> 8);
		} else {
			put(t, "id ");
			put_hex(t, id, 2);
		}
		end(t);
	}
}

static void put_function(void *ctx, struct pci_device *pci)
{
	struct text *t = ctx;

	put_name(t, pci);
	if (pci_get(pci, PCI_HEADER, 1) & PCI_HEADER_BRIDGE) {
		put_bridge(t, pci);
	} else if (pci->pin) {
		put(t, "  interrupt pin ");
		put_number(t, pci->pin);
		put(t, ", line ");
		put_number(t, pci_get(pci, PCI_IRQ_LINE, 1));
		end(t);
	}
	for (unsigned int i = 0; i < PCI_BARS_ALL; i++)
		put_bar(t, pci, i);
	put_caps(t, pci);
}

void pci_dump(struct pci_host *host,
	      void (*line)(void *ctx, const char *text), void *ctx)
{
	struct text t = { .line = line, .ctx = ctx };

	pci_host_each(host, put_function, &t);
}
