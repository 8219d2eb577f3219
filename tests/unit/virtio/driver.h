/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of virtio for tests: finds the capabilities of a function
 * on a PCI rig, sets it up, and fills split and packed rings in guest memory.
 */
#ifndef LODGE_TEST_VIRTIO_DRIVER_H
#define LODGE_TEST_VIRTIO_DRIVER_H

#include "pci_rig.h"
#include "virtio/pci.h"

#define DRIVER_DEVFN PCI_DEVFN(2, 0)
#define DRIVER_BAR   0xd0000000ull /* registers */
#define DRIVER_MSIX  0xd1000000ull

/* Where the driver keeps things in guest memory. */
#define DRIVER_RINGS 0x10000u /* 0x4000 a queue */
#define DRIVER_DATA  0x80000u

struct driver_queue {
	unsigned int index, size;
	uint64_t desc, avail, used; /* the three areas */
	bool packed;
	uint16_t next;	    /* available index, or place in a packed ring */
	uint16_t seen;	    /* used index, or place */
	bool wrap, seen_wrap;
	uint16_t free_desc; /* split: next descriptor to take */
	uint16_t chain[256]; /* packed: descriptors of each id */
};

struct driver {
	struct pci_rig *rig;
	uint64_t features;
	uint32_t common, isr, device, notify, notify_multiplier;
	unsigned int cfg_cap;
	struct driver_queue queue[8];
};

/* One descriptor to offer. */
struct driver_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* VIRTQ_WRITE, VIRTQ_INDIRECT; NEXT comes by itself */
};

/* Walks the capabilities, places the BARs, turns bus mastering on. */
void driver_probe(struct driver *driver, struct pci_rig *rig);

/* Status up to FEATURES_OK with these features; whether it stayed. */
bool driver_negotiate(struct driver *driver, uint64_t features);

/* Queue `index` with `size` descriptors, enabled. */
void driver_set_queue(struct driver *driver, unsigned int index,
		      unsigned int size);
void driver_ok(struct driver *driver);

/* All of it: MSI-X on, vector 0 for changes, queue n at vector n + 1. */
void driver_start(struct driver *driver, struct pci_rig *rig,
		  uint64_t features, unsigned int queues, unsigned int size);

/* Registers of the common configuration. */
uint64_t driver_get(struct driver *driver, unsigned int at, unsigned int size);
void driver_set(struct driver *driver, unsigned int at, unsigned int size,
		uint64_t value);
uint8_t driver_status(struct driver *driver);
uint64_t driver_config(struct driver *driver, unsigned int at,
		       unsigned int size);

/* Offers a chain; its id (the head, or the place in a packed ring). */
uint16_t driver_offer(struct driver *driver, unsigned int index,
		      const struct driver_desc *descs, unsigned int count);
/* Tells the device, and lets its worker run. */
void driver_notify(struct driver *driver, unsigned int index);

/* The next used buffer; false when there is none. */
bool driver_take(struct driver *driver, unsigned int index, uint16_t *id,
		 uint32_t *written);

/* Guest memory. */
void driver_poke(struct driver *driver, uint64_t addr, const void *data,
		 size_t size);
void driver_peek(struct driver *driver, uint64_t addr, void *data,
		 size_t size);
uint16_t driver_peek16(struct driver *driver, uint64_t addr);
void driver_poke16(struct driver *driver, uint64_t addr, uint16_t value);
void driver_poke_desc(struct driver *driver, uint64_t addr, uint64_t at,
		      uint32_t len, uint16_t flags, uint16_t next);

/* An indirect table of `count` descriptors at `at`, as split rings or packed
 * ones want it. */
void driver_put_table(struct driver *driver, uint64_t at, bool packed,
		      const struct driver_desc *descs, unsigned int count);

#endif
