/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little machine that the fuzz targets of devices build anew for each
 * input: memory of 1 MiB, a worker, a host bridge whose interrupts go nowhere,
 * and one function on it that may do what it likes. Each target that includes
 * it has its own.
 */
#ifndef LODGE_FUZZ_MACHINE_H
#define LODGE_FUZZ_MACHINE_H

#include <stdlib.h>
#include <string.h>

#include "chip/pci_host.h"
#include "fake/block.h"
#include "fake/host.h"
#include "fuzz_device.h"

#define RAM  0x100000u
#define BAR  0xd0000000u /* where a target puts the function's registers */
#define MSIX 0xd1000000u

static struct vm vm;
static struct pci_host host;
static unsigned int function; /* that was attached last */

static inline void demand(int holds)
{
	if (!holds)
		abort();
}

/* Without PCI; and a host bridge in it. */
static inline void build_machine(void)
{
	fake_host_reset();
	vm_init(&vm, "fuzz");
	demand(!memory_init(&vm.memory, RAM, 0));
	demand(!memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM, "RAM"));
	demand(!host_worker_create(&vm.worker, "devices"));
}

static inline void build_pci_machine(void)
{
	const struct irq nowhere = { 0 };

	build_machine();
	demand(!pci_host_init(&host, &vm, &nowhere, NULL));
}

/* It must have given back all that it had. */
static inline void destroy_machine(void)
{
	vm_fini(&vm);
	demand(fake_live() == 0);
}

/* --- the function ------------------------------------------------------------- */

/* A register of its configuration space. */
static inline void config(unsigned int at, unsigned int size, uint32_t value)
{
	bus_write(&vm.pio, 0xcf8, 4, 0x80000000u | function << 8 | (at & 0xfc));
	bus_write(&vm.pio, 0xcfc + (at & 3), size, value);
}

static inline void attach(struct pci_device *pci, unsigned int devfn)
{
	function = devfn;
	demand(!pci_attach(&host.root, pci, devfn));
}

/* Its registers at BAR, and those of MSI-X at MSIX; no BAR is -1. */
static inline void turn_on(int bar, int msix)
{
	if (bar >= 0)
		config(PCI_BAR0 + 4 * (unsigned int)bar, 4, BAR);
	if (msix >= 0)
		config(PCI_BAR0 + 4 * (unsigned int)msix, 4, MSIX);
	config(PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
}

/* A word at BAR. */
static inline void set(unsigned int at, uint32_t value)
{
	bus_write(&vm.mmio, BAR + at, 4, value);
}

static inline void put(uint64_t at, const void *data, size_t size)
{
	memory_write(&vm.memory, gpa(at), data, size);
}

/* --- requests that are held back ------------------------------------------------ */

static inline void end_one(struct fake_block *block, unsigned int which)
{
	if (block->waiting_count)
		fake_block_end(block, which % block->waiting_count);
}

/* Of two blocks in turn; the second may be NULL. */
static inline void end_waiting(struct fake_block *first,
			       struct fake_block *second)
{
	while (first->waiting_count || (second && second->waiting_count)) {
		end_one(first, 0);
		if (second)
			end_one(second, 0);
	}
}

#endif
