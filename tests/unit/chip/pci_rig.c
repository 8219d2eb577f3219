/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench for PCI; see pci_rig.h.
 */
#include "pci_rig.h"

static void note_message(void *object, const struct msi *msi)
{
	struct pci_rig *rig = object;

	if (rig->sent_count < 64)
		rig->sent[rig->sent_count] = *msi;
	rig->sent_count++;
}

void pci_rig_init(struct pci_rig *rig)
{
	const struct irq pirq = { ich9_lpc_set_pirq, &rig->lpc, 0 };
	struct irq lines;

	memset(rig, 0, sizeof(*rig));
	rig_init(&rig->rig);
	lines = rig_line(&rig->rig, 0);
	assert_int_equal(memory_init(&rig->rig.vm.memory, 1 << 20, 0), 0);
	assert_int_equal(memory_add(&rig->rig.vm.memory, MEMORY_RAM, gpa(0),
				    1 << 20, "RAM"), 0);
	rig->rig.vm.msi = (struct msi_sink){ note_message, rig };
	assert_int_equal(reset_init(&rig->reset, &rig->rig.vm), 0);
	assert_int_equal(pci_host_init(&rig->host, &rig->rig.vm, &pirq,
				       &rig->reset), 0);
	assert_int_equal(ich9_lpc_init(&rig->lpc, &rig->host, &lines), 0);
}

void pci_rig_fini(struct pci_rig *rig)
{
	vm_fini(&rig->rig.vm);
}

static void address(struct pci_rig *rig, unsigned int devfn, unsigned int at)
{
	bus_write(&rig->rig.vm.pio, 0xcf8, 4,
		  0x80000000u | devfn << 8 | (at & 0xfc));
}

uint32_t pci_rig_get(struct pci_rig *rig, unsigned int devfn, unsigned int at,
		     unsigned int size)
{
	address(rig, devfn, at);
	return (uint32_t)bus_read(&rig->rig.vm.pio, 0xcfc + (at & 3), size);
}

void pci_rig_set(struct pci_rig *rig, unsigned int devfn, unsigned int at,
		 unsigned int size, uint32_t value)
{
	address(rig, devfn, at);
	bus_write(&rig->rig.vm.pio, 0xcfc + (at & 3), size, value);
}

unsigned int pci_rig_items(struct pci_rig *rig, struct state_item *item)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < rig->rig.vm.device_count; i++) {
		const struct device *d = &rig->rig.vm.device[i];

		if (d->class->state)
			item[count++] = (struct state_item){
				d->class->state, d->object, d->instance };
	}
	return count;
}
