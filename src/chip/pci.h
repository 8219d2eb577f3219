/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI and PCI Express functions: the contract between a device and its bus
 * (PCI Local Bus 3.0; PCI Express Base 2.1, for what software sees).
 *
 * A device embeds a struct pci_device, describes itself with
 * pci_device_init(), pci_bar_add() and the pci_*_add() capabilities, and is
 * put on a bus by pci_attach(). From then on configuration space, BARs,
 * interrupts and their saved state are looked after here. In short:
 *
 *	pci_device_init(&own->pci, vm, &ident, &own_ops, own);
 *	pci_bar_add(&own->pci, 0, PCI_MEM64, 0x4000, &own_bar_ops, own);
 *	pci_msix_add(&own->pci, &own->msix, vectors, 1);
 *	pci_express_add(&own->pci);
 *	err = pci_attach(bus, &own->pci, PCI_DEVFN(3, 0));
 *
 * Registers are data: tables of struct pci_reg say which bits software may
 * write, which a written 1 clears, and which the device changes by itself.
 * What a guest writes elsewhere is dropped.
 *
 * Locks. Everything here is called with the VM's device lock held (bus
 * accesses and timers have it), except while the machine is being built, and
 * except what says "any thread": pci_msix_notify() and the DMA accessors.
 */
#ifndef LODGE_CHIP_PCI_H
#define LODGE_CHIP_PCI_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chip/pci_reg.h"
#include "vm/bus.h"
#include "vm/irq.h"
#include "vm/memory.h"
#include "vm/vm.h"

#define PCI_CONFIG_SIZE	  256u
#define PCI_EXPRESS_SIZE  4096u
#define PCI_BARS	  6
#define PCI_BAR_ROM	  6 /* index of the expansion ROM */
#define PCI_BARS_ALL	  7
#define PCI_MSIX_MAX	  256
#define PCI_DEPTH_MAX	  8 /* bridges above a function */

#define PCI_DEVFN(device, function) ((unsigned int)(device) << 3 | (function))

struct pci_bus;
struct pci_device;
struct pci_host;
struct pci_msix;

/* A register of configuration space; `at` counts from where it is added. */
struct pci_reg {
	uint16_t at;
	uint8_t size;	 /* 1, 2 or 4 bytes */
	uint32_t value;	 /* at power-on */
	uint32_t write;	 /* bits that software may write */
	uint32_t clear;	 /* bits that a written 1 clears */
	uint32_t status; /* bits that the device changes by itself */
};

struct pci_ident {
	const char *name; /* kept; for messages and lists */
	uint16_t vendor, device;
	uint32_t class; /* base class, sub-class, interface: 0x010802 */
	uint8_t revision;
	uint16_t subvendor, subdevice;
	uint8_t pin;	    /* INTx: 1-4 for INTA-INTD; 0: none */
	bool multifunction; /* of function 0 of such a device */
};

struct pci_ops {
	/*
	 * Optional. The guest has written configuration bytes
	 * [at, at + size); masks are applied, and BARs, MSI and the rest
	 * already follow them.
	 */
	void (*config_written)(struct pci_device *pci, unsigned int at,
			       unsigned int size);
	/* Optional. Before such a read, to bring what moves up to date. */
	void (*config_reading)(struct pci_device *pci, unsigned int at,
			       unsigned int size);
	/*
	 * Optional. To power-on state: the machine, a bridge above, or the
	 * function alone is reset. Configuration space has been.
	 */
	void (*reset)(struct pci_device *pci);
	/* Optional. A saved configuration space was loaded. */
	void (*loaded)(struct pci_device *pci);
};

enum pci_bar_kind {
	PCI_NO_BAR,
	PCI_IO,
	PCI_MEM32,
	PCI_MEM64,  /* takes the next BAR's place as well */
	PCI_PREF64, /* the same, prefetchable: no side effects of reads */
};

struct pci_bar {
	enum pci_bar_kind kind;
	struct bus_range range; /* base: where it is mapped, when it is */
	bool mapped;
	uint8_t *memory; /* what it shows; NULL: registers */
	unsigned int view;
};

struct pci_device {
	struct vm *vm;
	struct pci_bus *bus; /* NULL: on none */
	const struct pci_ops *ops;
	void *owner;
	const char *name;
	uint8_t devfn;
	uint8_t pin; /* as in struct pci_ident */
	uint16_t size; /* of configuration space */
	uint8_t cap_last;  /* newest capability; 0: none */
	uint16_t cap_free; /* where the next one may lie */
	uint8_t express, msi; /* their capabilities; 0: none */
	struct pci_bar bar[PCI_BARS_ALL];
	struct pci_bus *below; /* of a bridge: its secondary bus */
	struct pci_msix *msix; /* NULL: none */
	_Atomic bool master; /* DMA and messages get through to memory */
	bool driven;	     /* level of the pin as the lines know it */

	/* Saved. */
	bool intx; /* level that the device asks for */
	uint32_t msi_pending;
	uint8_t config[PCI_EXPRESS_SIZE];

	/* Power-on values and masks, byte by byte; see struct pci_reg. */
	uint8_t initial[PCI_EXPRESS_SIZE];
	uint8_t write[PCI_EXPRESS_SIZE];
	uint8_t clear[PCI_EXPRESS_SIZE];
	uint8_t status[PCI_EXPRESS_SIZE];
};

/* The functions on one bus, by device and function number. */
struct pci_bus {
	struct pci_host *host;
	struct pci_device *bridge; /* that leads here; NULL: bus 0 */
	struct pci_device *function[256];
};

extern const struct device_class pci_class;

/* --- describing a device ------------------------------------------------- */

/*
 * A function with header type 0, no BARs and no capabilities, known to the VM
 * (reset and saved state of what is kept here; the rest of the device is its
 * own class's). `ident->name`, `ops` and `owner` are kept. -ENOSPC.
 */
int pci_device_init(struct pci_device *pci, struct vm *vm,
		    const struct pci_ident *ident, const struct pci_ops *ops,
		    void *owner);

/* Registers at `at` of configuration space. Only before pci_attach(). */
void pci_regs_add(struct pci_device *pci, unsigned int at,
		  const struct pci_reg *regs, unsigned int count);

/*
 * BAR `index`: `size` bytes (a power of two; memory at least 4 KiB, I/O 4 to
 * 256 bytes) that the callbacks of `ops` answer for, `offset` counting from
 * its base wherever the guest maps it. PCI_BAR_ROM is a PCI_MEM32.
 */
void pci_bar_add(struct pci_device *pci, unsigned int index,
		 enum pci_bar_kind kind, uint64_t size,
		 const struct bus_ops *ops, void *device);

/*
 * Makes a memory BAR, before pci_attach(), a view of device memory at `host`
 * (vm/memory_view.h). The callbacks still answer where it cannot be one: in
 * part behind something else. -ENOSPC.
 */
int pci_bar_show(struct pci_device *pci, unsigned int index, uint8_t *host);

/*
 * A capability of `size` bytes with registers counted from its start; its
 * two first bytes are filled in. Where it lies.
 */
unsigned int pci_cap_add(struct pci_device *pci, uint8_t id, unsigned int size,
			 const struct pci_reg *regs, unsigned int count);

/*
 * The PCI Express capability, with function-level reset, and 4 KiB of
 * configuration space. On bus 0 it is an integrated endpoint.
 */
void pci_express_add(struct pci_device *pci);

/* MSI with 1, 2, 4 .. 32 vectors, 64-bit addresses and masks. */
void pci_msi_add(struct pci_device *pci, unsigned int vectors);

/*
 * MSI-X with 1 .. PCI_MSIX_MAX vectors, table and pending bits in a memory
 * BAR of their own. -ENOSPC.
 */
int pci_msix_add(struct pci_device *pci, struct pci_msix *msix,
		 unsigned int vectors, unsigned int bar);

/* -EEXIST: something is there already. */
int pci_attach(struct pci_bus *bus, struct pci_device *pci,
	       unsigned int devfn);
void pci_detach(struct pci_device *pci);

/* --- for devices at work --------------------------------------------------- */

/* The level of the function's INTx pin. */
void pci_irq_set(struct pci_device *pci, bool level);

/* Whether the driver has turned these on (then INTx is not used). */
bool pci_msi_enabled(const struct pci_device *pci);
bool pci_msix_enabled(const struct pci_device *pci);

/* Sends a vector's message, or keeps it pending while it is masked. */
void pci_msi_notify(struct pci_device *pci, unsigned int vector);

/* The same for MSI-X. Any thread, device lock held or not. */
void pci_msix_notify(struct pci_device *pci, unsigned int vector);

/*
 * Guest memory as the device reaches it: only while it, and each bridge above
 * it, may be bus master. -EFAULT or NULL: it may not, or there is no such
 * memory. What is written through a pointer is told by
 * memory_note_write(). Any thread.
 */
int pci_dma_read(const struct pci_device *pci, uint64_t addr, void *to,
		 uint64_t size);
int pci_dma_write(struct pci_device *pci, uint64_t addr, const void *from,
		  uint64_t size);
const void *pci_dma_for_read(const struct pci_device *pci, uint64_t addr,
			     uint64_t size);
void *pci_dma_for_write(struct pci_device *pci, uint64_t addr, uint64_t size);

/* The device's own view of its registers; no masks, no callbacks. */
uint32_t pci_get(const struct pci_device *pci, unsigned int at,
		 unsigned int size);
void pci_set(struct pci_device *pci, unsigned int at, unsigned int size,
	     uint32_t value);

/* Puts the function and all behind it to power-on state. */
void pci_device_reset(struct pci_device *pci);

/* --- configuration cycles -------------------------------------------------- */

/* `size` is 1, 2 or 4, `at` a multiple of it. */
uint32_t pci_config_read(struct pci_device *pci, unsigned int at,
			 unsigned int size);
void pci_config_write(struct pci_device *pci, unsigned int at,
		      unsigned int size, uint32_t value);

/* The function at a bus number as bridges have it now; NULL: none. */
struct pci_device *pci_find(struct pci_host *host, unsigned int bus,
			    unsigned int devfn);

/* --- MSI-X ----------------------------------------------------------------- */

/* A table of vectors: what a device embeds for pci_msix_add(). */
struct pci_msix {
	struct pci_device *pci;
	struct host_lock lock; /* guards the rest; innermost */
	unsigned int vectors;
	unsigned int cap;
	bool enabled, masked; /* as in the capability's control register */
	uint8_t table[PCI_MSIX_MAX * MSIX_ENTRY];
	uint64_t pending[PCI_MSIX_MAX / 64];
};

extern const struct device_class pci_msix_class;

#endif
