/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical memory: regions, checked accessors, page flags.
 *
 * Regions are few (a PC has four to six) and change only while the vCPUs do
 * not run, so they are a sorted array and lookups a binary search; nothing
 * here takes a lock. A region's kind and its cover alone may change while they
 * do. Views come after regions. Page flags are single bytes changed atomically.
 *
 * A write is noted after its bytes are in memory, with a full barrier between
 * them. An engine does the reverse (sets MEM_PAGE_CODE, then reads the bytes
 * to decode), so one of the two always sees the other.
 */
#include "vm/memory.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define RAM_MIN ((uint64_t)1 << 20)

static bool aligned(uint64_t v)
{
	return !(v & (PAGE_SIZE - 1));
}

int memory_init(struct memory *mem, uint64_t ram_size, uint64_t rom_size)
{
	uint64_t flags_size;
	int err;

	memset(mem, 0, sizeof(*mem));
	mem->ram.fd = mem->rom.fd = mem->page_flags_ram.fd = -1;
	mem->device.fd = -1;
	if (!aligned(ram_size) || !aligned(rom_size) || ram_size < RAM_MIN ||
	    ram_size > MEMORY_SIZE_MAX || rom_size > MEMORY_SIZE_MAX)
		return -VM_EINVAL;

	err = host_ram_create(&mem->ram, ram_size);
	if (err)
		return err;
	if (rom_size) {
		err = host_ram_create(&mem->rom, rom_size);
		if (err)
			goto free_ram;
	}
	mem->page_count = (ram_size + rom_size + MEMORY_DEVICE_MAX) >>
			  PAGE_SHIFT;
	flags_size = (mem->page_count + PAGE_SIZE - 1) & PAGE_MASK;
	err = host_ram_create(&mem->page_flags_ram, flags_size);
	if (err)
		goto free_rom;
	mem->page_flags = (_Atomic uint8_t *)mem->page_flags_ram.base;
	return 0;

free_rom:
	if (rom_size)
		host_ram_destroy(&mem->rom);
free_ram:
	host_ram_destroy(&mem->ram);
	memset(mem, 0, sizeof(*mem));
	return err;
}

void memory_fini(struct memory *mem)
{
	if (mem->page_flags_ram.base)
		host_ram_destroy(&mem->page_flags_ram);
	if (mem->device.base)
		host_ram_destroy(&mem->device);
	if (mem->rom.base)
		host_ram_destroy(&mem->rom);
	if (mem->ram.base)
		host_ram_destroy(&mem->ram);
	memset(mem, 0, sizeof(*mem));
}

/* Index of the first region that ends above `addr`. */
static unsigned int region_above(const struct memory *mem, uint64_t addr)
{
	unsigned int low = 0, high = mem->region_count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;
		const struct memory_region *r = &mem->region[mid];

		if (r->base + (r->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int memory_add(struct memory *mem, enum memory_kind kind, gpa_t base,
	       uint64_t size, const char *name)
{
	struct host_ram *back = kind == MEMORY_ROM ? &mem->rom : &mem->ram;
	uint64_t *used = kind == MEMORY_ROM ? &mem->rom_used : &mem->ram_used;
	uint64_t last = base.v + (size - 1);
	struct memory_region *r;
	unsigned int at;

	if (!size || !aligned(base.v) || !aligned(size) || last < base.v)
		return -VM_EINVAL;
	if (mem->region_count == MEMORY_REGIONS_MAX ||
	    size > back->size - *used)
		return -VM_ENOSPC;
	at = region_above(mem, base.v);
	if (at < mem->region_count && mem->region[at].base <= last)
		return -VM_EEXIST;

	r = &mem->region[at];
	memmove(r + 1, r, (mem->region_count - at) * sizeof(*r));
	*r = (struct memory_region){
		.base = base.v,
		.size = size,
		.host = back->base + *used,
		.first_page = *used >> PAGE_SHIFT,
		.kind = kind,
		.name = name,
	};
	if (kind == MEMORY_ROM)
		r->first_page += mem->ram.size >> PAGE_SHIFT;
	*used += size;
	mem->region_count++;
	return 0;
}

int memory_set_kind(struct memory *mem, gpa_t base, enum memory_kind kind)
{
	unsigned int at = region_above(mem, base.v);
	struct memory_region *r = &mem->region[at];

	if (at == mem->region_count || r->base != base.v)
		return -VM_ENOENT;
	if (r->kind == kind)
		return 0;
	__atomic_store_n(&r->kind, kind, __ATOMIC_SEQ_CST);
	if (mem->kind_changed)
		mem->kind_changed(mem->kind_changed_ctx, at);
	return 0;
}

static const struct memory_region *find_view(const struct memory *mem,
					     uint64_t addr)
{
	for (unsigned int i = 0; i < mem->view_count; i++) {
		const struct memory_region *r = atomic_load_explicit(
			&mem->view[i], memory_order_acquire);

		if (r && addr - r->base < r->size)
			return r;
	}
	return NULL;
}

const struct memory_region *memory_find(const struct memory *mem, gpa_t addr)
{
	unsigned int at = region_above(mem, addr.v);

	if (at == mem->region_count || mem->region[at].base > addr.v)
		return find_view(mem, addr.v);
	return memory_seen(&mem->region[at]);
}

/* The region that holds all of [addr, addr + len), or NULL. */
static const struct memory_region *find_whole(const struct memory *mem,
					      gpa_t addr, uint64_t len)
{
	const struct memory_region *r = memory_find(mem, addr);

	if (!r || !len || len > r->size - (addr.v - r->base))
		return NULL;
	return r;
}

const void *memory_for_read(const struct memory *mem, gpa_t addr, uint64_t len)
{
	const struct memory_region *r = find_whole(mem, addr, len);

	return r ? r->host + (addr.v - r->base) : NULL;
}

void memory_note_pages(struct memory *mem, uint64_t page, uint64_t count)
{
	const uint8_t unseen = MEM_PAGE_CLEAN | MEM_PAGE_SEEN;

	atomic_thread_fence(memory_order_seq_cst);
	for (; count; page++, count--) {
		uint8_t flags = atomic_load_explicit(&mem->page_flags[page],
						     memory_order_relaxed);

		if (!flags)
			continue;
		if (flags & unseen)
			atomic_fetch_and(&mem->page_flags[page],
					 (uint8_t)~unseen);
		if ((flags & MEM_PAGE_CODE) && mem->code_written)
			mem->code_written(mem->code_written_ctx, page);
	}
}

/* The same for bytes [offset, offset + len) of one region; `len` > 0. */
static void note_region(struct memory *mem, const struct memory_region *r,
			uint64_t offset, uint64_t len)
{
	uint64_t first = offset >> PAGE_SHIFT;
	uint64_t last = (offset + (len - 1)) >> PAGE_SHIFT;

	memory_note_pages(mem, r->first_page + first, last - first + 1);
}

void *memory_for_write(struct memory *mem, gpa_t addr, uint64_t len)
{
	const struct memory_region *r = find_whole(mem, addr, len);

	if (!r || r->kind == MEMORY_ROM)
		return NULL;
	note_region(mem, r, addr.v - r->base, len);
	return r->host + (addr.v - r->base);
}

/* True when every byte of [addr, addr + len) lies in some region. */
static bool covered(const struct memory *mem, gpa_t addr, uint64_t len)
{
	while (len) {
		const struct memory_region *r = memory_find(mem, addr);
		uint64_t room;

		if (!r)
			return false;
		room = r->size - (addr.v - r->base);
		if (len <= room)
			return true;
		addr.v += room;
		len -= room;
		if (!addr.v) /* wrapped past the end of the address space */
			return false;
	}
	return true;
}

int memory_read(const struct memory *mem, gpa_t addr, void *buf, uint64_t len)
{
	uint8_t *to = buf;

	if (!covered(mem, addr, len))
		return -VM_EFAULT;
	while (len) {
		const struct memory_region *r = memory_find(mem, addr);
		uint64_t offset = addr.v - r->base;
		uint64_t part = r->size - offset;

		if (part > len)
			part = len;
		memcpy(to, r->host + offset, part);
		to += part;
		addr.v += part;
		len -= part;
	}
	return 0;
}

/* Where bytes written to what is seen as `r` go; NULL: nowhere. */
static const struct memory_region *
target(const struct memory *mem, const struct memory_region *r, bool into_rom)
{
	bool cover = r < mem->region || r >= mem->region + mem->region_count;

	if (r->kind == MEMORY_RAM)
		return r;
	return cover || !into_rom ? r->under : r;
}

static int copy_in(struct memory *mem, gpa_t addr, const void *buf,
		   uint64_t len, bool into_rom)
{
	const uint8_t *from = buf;

	if (!covered(mem, addr, len))
		return -VM_EFAULT;
	while (len) {
		const struct memory_region *r = memory_find(mem, addr), *to;
		uint64_t offset = addr.v - r->base;
		uint64_t part = r->size - offset;

		if (part > len)
			part = len;
		to = target(mem, r, into_rom);
		if (to) {
			memcpy(to->host + offset, from, part);
			note_region(mem, to, offset, part);
		}
		from += part;
		addr.v += part;
		len -= part;
	}
	return 0;
}

int memory_write(struct memory *mem, gpa_t addr, const void *buf, uint64_t len)
{
	return copy_in(mem, addr, buf, len, false);
}

int memory_load(struct memory *mem, gpa_t addr, const void *buf, uint64_t len)
{
	return copy_in(mem, addr, buf, len, true);
}

int64_t memory_page_index(const struct memory *mem, gpa_t addr)
{
	const struct memory_region *r = memory_find(mem, addr);

	if (!r)
		return -1;
	return (int64_t)(r->first_page + ((addr.v - r->base) >> PAGE_SHIFT));
}

void memory_note_write(struct memory *mem, gpa_t addr, uint64_t len)
{
	while (len) {
		const struct memory_region *r = memory_find(mem, addr);
		uint64_t offset, part;

		if (!r)
			return;
		offset = addr.v - r->base;
		part = r->size - offset;
		if (part > len)
			part = len;
		note_region(mem, r, offset, part);
		addr.v += part;
		len -= part;
	}
}

/* Notes bytes of `back`, whose first page is page `first`, if they are. */
static bool note_backing(struct memory *mem, const struct host_ram *back,
			 uint64_t first, const void *host, uint64_t len)
{
	uint64_t at = (uint64_t)((const uint8_t *)host - back->base);

	if (!back->base || at >= back->size || len > back->size - at)
		return false;
	memory_note_pages(mem, first + (at >> PAGE_SHIFT),
			  ((at + len - 1) >> PAGE_SHIFT) - (at >> PAGE_SHIFT) +
				  1);
	return true;
}

void memory_note_host(struct memory *mem, const void *host, uint64_t len)
{
	/* Regions of RAM have the pages of the backing memory, in order. */
	if (len && !note_backing(mem, &mem->ram, 0, host, len))
		note_backing(mem, &mem->device,
			     (mem->ram.size + mem->rom.size) >> PAGE_SHIFT,
			     host, len);
}

int memory_discard_host(struct memory *mem, const void *host, uint64_t len)
{
	uint64_t at = (uint64_t)((const uint8_t *)host - mem->ram.base);
	uint64_t first, end;
	int err;

	if (at >= mem->ram.size || len > mem->ram.size - at)
		return 0;
	first = (at + PAGE_SIZE - 1) >> PAGE_SHIFT;
	end = (at + len) >> PAGE_SHIFT;
	if (first >= end)
		return 0;
	err = host_ram_discard(&mem->ram, first << PAGE_SHIFT,
			       (end - first) << PAGE_SHIFT);
	if (!err)
		memory_note_pages(mem, first, end - first);
	return err;
}

int memory_discard(struct memory *mem, gpa_t addr, uint64_t len)
{
	uint64_t from = addr.v;
	uint64_t last = len ? from + (len - 1) : 0;
	int err = 0;

	if (!len || last < from)
		return 0;
	for (unsigned int i = region_above(mem, from);
	     i < mem->region_count && mem->region[i].base <= last && !err;
	     i++) {
		const struct memory_region *r = &mem->region[i];
		uint64_t start = from > r->base ? from : r->base;
		uint64_t stop = r->base + (r->size - 1);

		if (stop > last)
			stop = last;
		if (r->kind == MEMORY_RAM)
			err = memory_discard_host(mem,
						  r->host + (start - r->base),
						  stop - start + 1);
	}
	return err;
}

void memory_dirty_log(struct memory *mem, bool on)
{
	uint64_t i;

	if (on == mem->dirty_log)
		return;
	mem->dirty_log = on;
	for (i = 0; i < mem->page_count; i++) {
		if (on)
			atomic_fetch_or(&mem->page_flags[i], MEM_PAGE_CLEAN);
		else if (atomic_load(&mem->page_flags[i]) & MEM_PAGE_CLEAN)
			atomic_fetch_and(&mem->page_flags[i],
					 (uint8_t)~MEM_PAGE_CLEAN);
	}
}

int memory_dirty_collect(struct memory *mem, unsigned int region,
			 uint64_t *bitmap)
{
	const struct memory_region *r;
	uint64_t i, pages;

	if (!mem->dirty_log || region >= mem->region_count)
		return -VM_EINVAL;
	r = &mem->region[region];
	pages = r->size >> PAGE_SHIFT;
	memset(bitmap, 0, (pages + 63) / 64 * sizeof(*bitmap));
	for (i = 0; i < pages; i++) {
		_Atomic uint8_t *flags = &mem->page_flags[r->first_page + i];

		if (atomic_load_explicit(flags, memory_order_relaxed) &
		    MEM_PAGE_CLEAN)
			continue;
		atomic_fetch_or(flags, MEM_PAGE_CLEAN);
		bitmap[i / 64] |= (uint64_t)1 << (i % 64);
	}
	return 0;
}
