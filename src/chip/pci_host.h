/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of PCI as on a Q35: host bridge (Intel 82G33/Q35 MCH, datasheet
 * 316966), configuration cycles through ports 0xcf8 and 0xcfc and through
 * ECAM (PCIEXBAR), and the decoding of everything that BARs claim. Port 0xcf9
 * lies in between and stays the reset control register.
 *
 * PAM registers tell what is seen below 1 MiB, where the board has memory that
 * firmware copies itself to: with RE a segment is read from that memory, else
 * from where the ICH decodes it, which is the firmware's ROM for the last
 * 128 KiB and nothing for the rest; with WE writes go to the memory, else they
 * are dropped. SMRAM and the like are registers that keep what is written and
 * do nothing.
 */
#ifndef LODGE_CHIP_PCI_HOST_H
#define LODGE_CHIP_PCI_HOST_H

#include "chip/pci.h"

#define PCI_MAPPED_MAX 256 /* BARs decoded at a time, of each kind */
#define PCI_PIRQS      8

#define PCI_HOST_PCIEXBAR 0x60
#define PCI_HOST_PAM0	  0x90
#define PCI_HOST_SHADOW	  0xc0000u /* to the end of the first MiB */
#define PCI_HOST_SEGMENTS 13	   /* of it, with bits of their own */

struct reset;

/* BARs that are mapped now, lower functions first. */
struct pci_map {
	const struct bus_range *range[PCI_MAPPED_MAX];
	unsigned int count;
};

struct pci_host {
	struct pci_device pci; /* 00:00.0 */
	struct pci_bus root;   /* bus 0 */
	struct vm *vm;
	struct reset *reset; /* whose port 0xcf9 is; NULL: nobody's */
	struct irq pirq;     /* its lines 0-7 are PIRQA to PIRQH */
	uint16_t pirq_count[PCI_PIRQS]; /* functions that hold it up */
	uint32_t address;		/* port 0xcf8 */
	bool shadow; /* segments are memory of their own: */
	struct memory_region rom[PCI_HOST_SEGMENTS][2]; /* [1]: with WE */
	uint64_t ecam, ecam_size;	/* as PCIEXBAR says; size 0: off */
	struct pci_map memory, io;
};

extern const struct device_class pci_host_class;

/*
 * Claims ports 0xcf8 to 0xcff and the rest of both buses, where nothing else
 * is. `pirq` and `reset` are kept; pirq->line is not used.
 */
int pci_host_init(struct pci_host *host, struct vm *vm,
		  const struct irq *pirq, struct reset *reset);

/* A segment's address and size: 16 KiB each, the last one 64 KiB. */
uint32_t pci_host_segment(unsigned int segment, uint32_t *size);

/*
 * From now on PAM registers rule the segments, which are memory regions of
 * their own; so is the ROM that ends at 4 GiB. -ENOENT, -ENOSPC, -ENOMEM.
 */
int pci_host_shadow(struct pci_host *host);

/* Which PIRQ (0-7) a pin (0-3) of a device on bus 0 ends at. */
unsigned int pci_root_pirq(unsigned int device, unsigned int pin);

/* Where the pin of a function on a bus ends; it has one. */
unsigned int pci_pirq(const struct pci_device *pci);

/* Calls for each function: bus 0 in order, behind each bridge its bus. */
void pci_host_each(struct pci_host *host,
		   void (*call)(void *ctx, struct pci_device *pci), void *ctx);

#endif
