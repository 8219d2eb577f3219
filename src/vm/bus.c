/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device registers: finding the range of an address and cutting an access
 * into sizes that its device takes. See bus.h for the rules.
 *
 * A device's callback always gets an offset and size inside its range: sizes
 * are between its minimum and maximum, and offsets are multiples of its
 * minimum.
 */
#include "vm/bus.h"

#include "vm/bytes.h"
#include "vm/error.h"

static unsigned int min_size(const struct bus_ops *ops)
{
	return ops->min_size ? ops->min_size : 1;
}

static unsigned int max_size(const struct bus_ops *ops)
{
	return ops->max_size ? ops->max_size : 8;
}

static uint64_t mask(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : ((uint64_t)1 << (size * 8)) - 1;
}

void bus_init(struct bus *bus, struct host_lock *device_lock)
{
	memset(bus, 0, sizeof(*bus));
	bus->lock = device_lock;
}

/* Index of the first range that ends above `addr`. */
static unsigned int range_above(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;
		const struct bus_range *r = &bus->range[mid];

		if (r->base + (r->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size, const char *name,
	    const struct bus_ops *ops, void *device)
{
	uint64_t last = base + (size - 1);
	struct bus_range *r;
	unsigned int at;

	if (!size || last < base || size % min_size(ops))
		return -VM_EINVAL;
	if (bus->count == BUS_RANGES_MAX)
		return -VM_ENOSPC;
	at = range_above(bus, base);
	if (at < bus->count && bus->range[at].base <= last)
		return -VM_EEXIST;

	r = &bus->range[at];
	memmove(r + 1, r, (bus->count - at) * sizeof(*r));
	*r = (struct bus_range){
		.base = base,
		.size = size,
		.ops = ops,
		.device = device,
		.name = name,
	};
	bus->count++;
	return 0;
}

int bus_remove(struct bus *bus, uint64_t base)
{
	unsigned int at = range_above(bus, base);
	struct bus_range *r = &bus->range[at];

	if (at == bus->count || r->base != base)
		return -VM_ENOENT;
	bus->count--;
	memmove(r, r + 1, (bus->count - at) * sizeof(*r));
	return 0;
}

bool bus_meets(const struct bus *bus, uint64_t base, uint64_t size)
{
	unsigned int at = range_above(bus, base);

	return at < bus->count && bus->range[at].base <= base + (size - 1);
}

/*
 * How many bytes of an access at `offset` go to the device in one call. 0:
 * fewer than it takes, or not aligned to them: part of a word of its minimum
 * size.
 */
static unsigned int call_size(const struct bus_ops *ops, uint64_t offset,
			      unsigned int size)
{
	unsigned int min = min_size(ops), max = max_size(ops);

	if (size < min || (offset & (min - 1)))
		return 0;
	return size < max ? size : max;
}

/* Some bytes out of the one word of minimum size that holds them. */
static uint64_t read_part(const struct bus_range *r, uint64_t offset)
{
	unsigned int min = min_size(r->ops);
	unsigned int skip = offset & (min - 1);
	uint64_t word;

	if (r->ops->exact || !r->ops->read)
		return UINT64_MAX;
	word = r->ops->read(r->device, offset - skip, min);
	return word >> (skip * 8);
}

static void write_part(const struct bus_range *r, uint64_t offset,
		       unsigned int size, uint64_t value)
{
	unsigned int min = min_size(r->ops);
	unsigned int skip = offset & (min - 1);

	if (r->ops->exact || !r->ops->write)
		return;
	value = (value & mask(size)) << (skip * 8);
	r->ops->write(r->device, offset - skip, min, value);
}

/* How many of `size` bytes at `offset` lie in one word of minimum size. */
static unsigned int part_size(const struct bus_ops *ops, uint64_t offset,
			      unsigned int size)
{
	unsigned int min = min_size(ops);
	unsigned int room = min - (offset & (min - 1));

	return size < room ? size : room;
}

uint64_t bus_range_read(const struct bus_range *r, uint64_t offset,
			unsigned int size)
{
	uint64_t value = 0;
	unsigned int done = 0;

	while (done < size) {
		unsigned int n = call_size(r->ops, offset + done, size - done);
		uint64_t v;

		if (n) {
			v = UINT64_MAX;
			if (r->ops->read)
				v = r->ops->read(r->device, offset + done, n);
		} else {
			n = part_size(r->ops, offset + done, size - done);
			v = read_part(r, offset + done);
		}
		value |= (v & mask(n)) << (done * 8);
		done += n;
	}
	return value;
}

void bus_range_write(const struct bus_range *r, uint64_t offset,
		     unsigned int size, uint64_t value)
{
	unsigned int done = 0;

	while (done < size) {
		unsigned int n = call_size(r->ops, offset + done, size - done);
		uint64_t v = value >> (done * 8);

		if (!n) {
			n = part_size(r->ops, offset + done, size - done);
			write_part(r, offset + done, n, v);
		} else if (r->ops->write) {
			r->ops->write(r->device, offset + done, n, v & mask(n));
		}
		done += n;
	}
}

void bus_set_rest(struct bus *bus, const char *name, const struct bus_ops *ops,
		  void *device)
{
	bus->rest = (struct bus_range){
		.size = UINT64_MAX,
		.ops = ops,
		.device = device,
		.name = name,
	};
}

/*
 * Who takes all of [addr, addr + size): a range, or the rest when it touches
 * none. NULL: nobody does, or several share it.
 */
static const struct bus_range *whole(const struct bus *bus, uint64_t addr,
				     unsigned int size)
{
	unsigned int at = range_above(bus, addr);
	const struct bus_range *r = &bus->range[at];
	uint64_t last = addr + (size - 1);

	if (at < bus->count && r->base <= addr)
		return size <= r->size - (addr - r->base) ? r : NULL;
	if (last < addr || (at < bus->count && r->base <= last))
		return NULL;
	return bus->rest.ops ? &bus->rest : NULL;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	const struct bus_range *r = whole(bus, addr, size);
	uint64_t value = 0;
	unsigned int i;

	if (r) {
		if (r->ops->lockless)
			return bus_range_read(r, addr - r->base, size);
		host_lock(bus->lock);
		value = bus_range_read(r, addr - r->base, size);
		host_unlock(bus->lock);
		return value;
	}
	if (size == 1)
		return 0xff;
	for (i = 0; i < size; i++)
		value |= bus_read(bus, addr + i, 1) << (i * 8);
	return value;
}

void bus_write(struct bus *bus, uint64_t addr, unsigned int size,
	       uint64_t value)
{
	const struct bus_range *r = whole(bus, addr, size);
	unsigned int i;

	if (r) {
		if (r->ops->lockless) {
			bus_range_write(r, addr - r->base, size, value);
			return;
		}
		host_lock(bus->lock);
		bus_range_write(r, addr - r->base, size, value);
		host_unlock(bus->lock);
		return;
	}
	for (i = 0; size > 1 && i < size; i++)
		bus_write(bus, addr + i, 1, (value >> (i * 8)) & 0xff);
}
