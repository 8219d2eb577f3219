/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SATA controller as in ICH9 (8086:2922): AHCI 1.3.1 with six ports, each with
 * a disk, a CD-ROM drive or nothing, over any struct block.
 */
#ifndef LODGE_DEVICE_AHCI_H
#define LODGE_DEVICE_AHCI_H

#include "chip/pci.h"
#include "vm/block.h"

#define AHCI_PORTS 6

struct ahci;
struct ata_drive;

struct ahci_drive {
	struct block *block; /* stays the caller's; NULL: a CD drive's */
	const char *serial;  /* NULL: one made of the port; cut at ATA_SERIAL */
	bool cd;
};

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int ahci_create(struct ahci **ahci, struct vm *vm);

/* Plugs a drive in. Only while the machine is being built. */
void ahci_add(struct ahci *ahci, unsigned int port,
	      const struct ahci_drive *drive);

/* Whether there is a drive. Held: the device lock. */
bool ahci_has(const struct ahci *ahci, unsigned int port);

/* The same into an empty port while the machine runs. Held: same. */
void ahci_plug(struct ahci *ahci, unsigned int port,
	       const struct ahci_drive *drive);

/*
 * Takes a drive out. Waits for what is under way; then its block is not used
 * any more. On the thread that resets and saves, the device lock not held.
 */
void ahci_unplug(struct ahci *ahci, unsigned int port);

/*
 * Changes a CD drive's medium as ata_tray_change() does; then the old one is
 * not used any more. On the same thread, the lock not held.
 */
int ahci_change(struct ahci *ahci, unsigned int port, struct block *block,
		bool force);

/* To look at. Held: the device lock. */
const struct ata_drive *ahci_drive(const struct ahci *ahci, unsigned int port);

/* Its function, for pci_attach(). */
struct pci_device *ahci_pci(struct ahci *ahci);

extern const struct device_class ahci_class;

#endif
