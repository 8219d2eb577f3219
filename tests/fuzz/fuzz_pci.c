/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: configuration space. A guest writes to the registers of the
 * host bridge, the LPC bridge, a root port, and devices before and behind it,
 * by ports and ECAM, and touches what BARs it happens to have placed; cards
 * are plugged and pulled. After each step the state must be one that the
 * saved-state checks accept.
 */
#include "fuzz_machine.h"

#include "chip/ich9_lpc.h"
#include "chip/pci_dump.h"
#include "chip/pci_port.h"
#include "chip/reset.h"
#include "virtio/rng.h"

#define ECAM 0xb0000000u

static struct reset reset;
static struct ich9_lpc lpc;
static struct pci_port port;
static struct virtio_rng rng[2];

static void drop_line(void *object, unsigned int line, bool level)
{
	demand(line < 24);
}

static void build(void)
{
	const struct irq pirq = { ich9_lpc_set_pirq, &lpc, 0 };
	const struct irq lines = { drop_line, NULL, 0 };

	build_machine();
	demand(!reset_init(&reset, &vm));
	demand(!pci_host_init(&host, &vm, &pirq, &reset));
	demand(!ich9_lpc_init(&lpc, &host, &lines));
	demand(!pci_port_init(&port, &vm, 1));
	demand(!pci_attach(&host.root, &port.pci, PCI_DEVFN(28, 0)));
	for (unsigned int i = 0; i < 2; i++)
		demand(!virtio_rng_init(&rng[i], &vm));
	demand(!pci_attach(&host.root, &rng[0].pci.pci, PCI_DEVFN(2, 0)));
	bus_write(&vm.pio, 0xcf8, 4, 0x80000000 | PCI_HOST_PCIEXBAR);
	bus_write(&vm.pio, 0xcfc, 4, ECAM | 1);
}

static void check_states(void)
{
	for (unsigned int i = 0; i < vm.device_count; i++) {
		const struct device *d = &vm.device[i];

		if (d->class->state && d->class->state->check)
			demand(!d->class->state->check(d->object));
	}
}

static void drop_text(void *ctx, const char *text)
{
	demand(strlen(text) < PCI_DUMP_LINE);
}

static void config_access(struct words *w, unsigned int op)
{
	static const uint8_t functions[] = { 0x00, 0xf8, 0xe0, 0x10 };
	uint64_t pick = next_word(w, 1);
	unsigned int size = 1u << (op & 3);
	/* Bus 0, or what the port's registers may call bus 1. */
	uint64_t at = pick & 0x80 ? 1 << 20
				  : (uint64_t)functions[pick & 3] << 12;

	at += next_word(w, 1) | (pick & 0x40 ? 0x100 : 0);
	if (op & 0x10)
		bus_write(&vm.mmio, ECAM + at, size, next_word(w, size));
	else if (op & 0x20)
		bus_read(&vm.mmio, ECAM + at, size);
	else {
		bus_write(&vm.pio, 0xcf8, 4, 0x80000000 | at >> 4);
		bus_write(&vm.pio, 0xcfc + (op >> 2 & 3), size & 7 ? size : 4,
			  next_word(w, 4));
	}
}

static void other_step(struct words *w, unsigned int op)
{
	const struct pci_map *map = op & 8 ? &host.io : &host.memory;
	struct bus *bus = op & 8 ? &vm.pio : &vm.mmio;
	uint64_t at = next_word(w, 2);

	host_lock(&vm.device_lock);
	switch (op & 7) {
	case 0:
		pci_port_plug(&port, &rng[1].pci.pci);
		break;
	case 1:
		pci_port_ask(&port);
		break;
	case 2:
		pci_port_pull(&port);
		break;
	case 3:
		pci_irq_set(&rng[at & 1].pci.pci, at & 2);
		break;
	case 4:
		pci_msix_notify(&rng[at & 1].pci.pci, at >> 1 & 3);
		break;
	case 5:
		pci_dump(&host, drop_text, NULL);
		break;
	}
	host_unlock(&vm.device_lock);
	if ((op & 7) > 5 && map->count) {
		const struct bus_range *r = map->range[at % map->count];
		uint64_t place = r->base + next_word(w, 2) % r->size;

		bus_write(bus, place, 1u << (at & 3), next_word(w, 4));
		bus_read(bus, place, 1u << (at & 3));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build();
	while (w.left) {
		unsigned int op = (unsigned int)next_word(&w, 1);

		if (op & 0x40)
			other_step(&w, op);
		else if (op == 0x3f)
			vm_reset_devices(&vm);
		else
			config_access(&w, op);
		fake_work_run();
		check_states();
		vm.request = VM_RUN;
	}
	destroy_machine();
	return 0;
}
