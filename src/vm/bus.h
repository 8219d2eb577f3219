/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of device registers: one for ports, one for MMIO.
 *
 * Accesses of 1, 2, 4 or 8 bytes. A range's descriptor says which sizes its
 * device takes; the bus splits larger accesses and widens smaller ones
 * (reads: extract; writes: merge into a zeroed word, or refused when
 * `exact` is set, then dropped). Absent addresses read as all ones and drop
 * writes. An access that straddles the end of a range is split by bytes.
 *
 * What no range claims goes to the bus's rest, when it has one: a decoder that
 * looks the address up by itself (PCI, whose windows guests move about).
 *
 * Locking: bus_read()/bus_write() take the VM's device lock around the
 * callback unless the range is marked `lockless`.
 */
#ifndef LODGE_VM_BUS_H
#define LODGE_VM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/host.h"

#define BUS_RANGES_MAX 128

struct bus_ops {
	/* `offset` from the range's base; `size` in bytes. */
	uint64_t (*read)(void *device, uint64_t offset, unsigned int size);
	void (*write)(void *device, uint64_t offset, unsigned int size,
		      uint64_t value);
	uint8_t min_size; /* 1, 2, 4 or 8; 0 means 1 */
	uint8_t max_size; /* 1, 2, 4 or 8; 0 means 8 (MMIO) or 4 (PIO) */
	bool exact;	  /* drop accesses smaller than min_size */
	bool lockless;	  /* the device does its own locking */
};

struct bus_range {
	uint64_t base;
	uint64_t size;
	const struct bus_ops *ops;
	void *device;
	const char *name;
};

struct bus {
	struct bus_range range[BUS_RANGES_MAX]; /* sorted by base */
	unsigned int count;
	struct bus_range rest; /* where no range is; ops NULL: nothing */
	struct host_lock *lock; /* the VM's device lock */
};

void bus_init(struct bus *bus, struct host_lock *device_lock);

/*
 * Claims [base, base + size) for a device. `ops` and `name` are kept, not
 * copied. -EEXIST on overlap, -EINVAL when empty or wrapping, -ENOSPC when
 * the table is full. Only while the vCPUs do not run.
 */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, const char *name,
	    const struct bus_ops *ops, void *device);

/* Gives a claimed range back; -ENOENT when there is none at `base`. */
int bus_remove(struct bus *bus, uint64_t base);

/*
 * Sends every access where no range is to `ops`, with the address itself as
 * the offset. Only while the vCPUs do not run.
 */
void bus_set_rest(struct bus *bus, const char *name, const struct bus_ops *ops,
		  void *device);

/* True when some range has bytes of [base, base + size). */
bool bus_meets(const struct bus *bus, uint64_t base, uint64_t size);

/* `size` is 1, 2, 4 or 8. The value is zero-extended. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(struct bus *bus, uint64_t addr, unsigned int size,
	       uint64_t value);

/*
 * The same for one range, whoever found it: `offset + size` within it, cut
 * into sizes that its device takes. Takes no lock.
 */
uint64_t bus_range_read(const struct bus_range *range, uint64_t offset,
			unsigned int size);
void bus_range_write(const struct bus_range *range, uint64_t offset,
		     unsigned int size, uint64_t value);

#endif
