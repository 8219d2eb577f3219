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

struct ata_drive;
struct ide;

struct ide_drive_config {
	struct block *block; /* stays the caller's; NULL: a CD drive's */
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

/*
 * Changes a CD drive's medium as ata_tray_change() does; then the old one is
 * not used any more, and a command that was at it has failed. On the thread
 * that resets and saves, the device lock not held.
 */
int ide_change(struct ide *ide, unsigned int place, struct block *block,
	       bool force);

/* To look at. Held: the device lock. */
const struct ata_drive *ide_drive(const struct ide *ide, unsigned int place);

/* Its function, for pci_attach(). */
struct pci_device *ide_pci(struct ide *ide);

extern const struct device_class ide_class;

#endif
