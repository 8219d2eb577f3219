/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDE controller as in PIIX4 (8086:7111): two channels at the addresses and
 * interrupts that PCs have had them at, each with two drives over struct
 * blocks, and bus master DMA.
 */
#ifndef LODGE_DEVICE_IDE_H
#define LODGE_DEVICE_IDE_H

#include "chip/pci.h"
#include "vm/block.h"

#define IDE_CHANNELS 2
#define IDE_DRIVES   4

struct ide;

struct ide_drive_config {
	struct block *block; /* stays the caller's */
	const char *serial;  /* NULL: one made of the place; cut at 20 */
	bool cd;
};

/* `irq`: of each channel; kept. -ENOMEM, -ENOSPC, -EEXIST. */
int ide_create(struct ide **ide, struct vm *vm,
	       const struct irq irq[IDE_CHANNELS]);

/*
 * Plugs a drive in: 0 and 1 on the first channel, 2 and 3 on the second.
 * Only while the machine is being built.
 */
void ide_add(struct ide *ide, unsigned int place,
	     const struct ide_drive_config *drive);

/* Its function, for pci_attach(). */
struct pci_device *ide_pci(struct ide *ide);

extern const struct device_class ide_class;

#endif
