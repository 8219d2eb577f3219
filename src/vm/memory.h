/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical memory: a sorted list of RAM and ROM regions over host
 * memory, and a few views of device memory that come and go while the machine
 * runs (memory_view.h). Everything outside them is MMIO or nothing. The only
 * way from a guest-physical address to a host pointer is a checked accessor
 * here.
 *
 * Per-page flags let an engine learn of writes that it must know about: code
 * that it has decoded (MEM_PAGE_CODE) and dirty logging (MEM_PAGE_CLEAN).
 * Every writer (vCPU slow path, device DMA, loader) goes through
 * memory_write(), memory_for_write() or memory_note_write().
 */
#ifndef LODGE_VM_MEMORY_H
#define LODGE_VM_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/addr.h"
#include "vm/host.h"

#define MEMORY_REGIONS_MAX 32
#define MEMORY_SIZE_MAX	   ((uint64_t)1 << 40)
#define MEMORY_DEVICE_MAX  ((uint64_t)64 << 20) /* memory of all devices */
#define MEMORY_VIEWS_MAX   8
#define MEMORY_PLACES_MAX  512

/* Guest RAM below 4 GiB ends here at the latest: room for ECAM, MMIO, APICs. */
#define MEMORY_LOW_MAX	   ((uint64_t)0x80000000)

enum memory_kind {
	MEMORY_RAM,
	MEMORY_ROM, /* guest writes are dropped */
};

/* memory.page_flags bits */
#define MEM_PAGE_CODE  0x01 /* an engine holds decoded code of this page */
#define MEM_PAGE_CLEAN 0x02 /* dirty log on and not written since */
#define MEM_PAGE_HOT   0x04 /* the engine's: beside CODE, host code of it */
#define MEM_PAGE_SEEN  0x08 /* device memory: its device knows what is there */

struct memory_region {
	uint64_t base; /* guest-physical, page-aligned */
	uint64_t size; /* bytes, page-aligned */
	uint8_t *host;
	uint64_t first_page; /* index of its first page in page_flags */
	enum memory_kind kind;
	const char *name;
	/* What is seen in its place (memory_cover.h); NULL: itself. */
	_Atomic(const struct memory_region *) cover;
	/* Of a cover: where guests' writes go; NULL: nowhere. */
	const struct memory_region *under;
};

struct x86_cpu;

/* What an engine does about views of device memory; each may be NULL. */
struct memory_hooks {
	/*
	 * The view shows something else now; it was `before` (NULL: nowhere).
	 * No processor that has seen the change may use what it knew of the
	 * view. Held: the device lock, or no processor runs.
	 */
	void (*view_changed)(void *ctx, unsigned int view,
			     const struct memory_region *before);
	/*
	 * Comes back when no processor uses views as they were before this
	 * call. On the thread of processor `cpu`, no lock held.
	 */
	void (*settle)(void *ctx, struct x86_cpu *cpu);
	/* The same for a region that is covered now, or differently. */
	void (*region_changed)(void *ctx, unsigned int region);
	/* Notes what it has seen written to the view. */
	void (*sync)(void *ctx, unsigned int view);
	/* From soon on the next write to each page that is SEEN is noted. */
	void (*protect)(void *ctx);
	/* That has come true for all calls so far. */
	bool (*protected)(void *ctx);
};

struct memory {
	struct memory_region region[MEMORY_REGIONS_MAX]; /* sorted by base */
	unsigned int region_count;
	struct host_ram ram;		/* backs every RAM region */
	uint64_t ram_used;		/* bytes of `ram` given to regions */
	struct host_ram rom;		/* backs every ROM region */
	uint64_t rom_used;
	uint64_t page_count;
	struct host_ram page_flags_ram; /* one byte per page, lazily committed */
	_Atomic uint8_t *page_flags;
	bool dirty_log; /* memory_dirty_log() is on */

	/*
	 * Views. A place is a region that does not change any more once it
	 * is there, so that whoever finds it may use it at leisure.
	 */
	struct host_ram device; /* backs them */
	uint64_t device_used;
	uint8_t *ones; /* of it: what is nowhere (memory_cover.h) */
	uint64_t ones_size;
	_Atomic(const struct memory_region *) view[MEMORY_VIEWS_MAX];
	const char *view_name[MEMORY_VIEWS_MAX];
	unsigned int view_count;
	struct memory_region place[MEMORY_PLACES_MAX];
	unsigned int place_count;
	_Atomic uint64_t moves;	  /* changes of views so far */
	_Atomic uint64_t settled; /* of those, seen by all processors */
	/* Device pages that a processor may have written unnoted. */
	uint64_t loose[MEMORY_DEVICE_MAX / 4096 / 64];
	const struct memory_hooks *hooks; /* NULL: none */
	void *hooks_ctx;

	/* Called after a write to a page that had MEM_PAGE_CODE set; takes
	 * the flag away when no decoded code counts any more. */
	void (*code_written)(void *ctx, uint64_t page);
	void *code_written_ctx;

	/* Called after memory_set_kind() has changed a region. */
	void (*kind_changed)(void *ctx, unsigned int region);
	void *kind_changed_ctx;
};

/*
 * Prepares `mem` for `ram_size` bytes of RAM (1 MiB .. 1 TiB, page-aligned)
 * and `rom_size` bytes of ROM. Adds no region. -EINVAL, -ENOMEM.
 */
int memory_init(struct memory *mem, uint64_t ram_size, uint64_t rom_size);
void memory_fini(struct memory *mem);

/*
 * Adds a region backed by the next unused bytes of RAM or ROM. -EINVAL when
 * unaligned, -EEXIST on overlap, -ENOSPC when the backing or the table is
 * used up. `name` is kept, not copied.
 */
int memory_add(struct memory *mem, enum memory_kind kind, gpa_t base,
	       uint64_t size, const char *name);

/*
 * Has guests' writes to the region that begins at `base` dropped (MEMORY_ROM)
 * or not, at any time; what processors do meanwhile may still be written. Its
 * backing stays. -ENOENT: there is no such region.
 */
int memory_set_kind(struct memory *mem, gpa_t base, enum memory_kind kind);

/* What is seen where a region is. */
static inline const struct memory_region *
memory_seen(const struct memory_region *r)
{
	const struct memory_region *cover =
		atomic_load_explicit(&r->cover, memory_order_acquire);

	return cover ? cover : r;
}

/*
 * The region, its cover or the view that holds `addr`, or NULL. A view's place
 * stays what it is when the view moves away, and so does a cover.
 */
const struct memory_region *memory_find(const struct memory *mem, gpa_t addr);

/*
 * Host pointer to `len` bytes at `addr` for reading, or NULL unless the whole
 * range lies in one region. `len` 0 gives NULL. Overflow-safe.
 */
const void *memory_for_read(const struct memory *mem, gpa_t addr,
			    uint64_t len);

/*
 * The same for writing: NULL for ROM. Notes the write (dirty log, decoded
 * code) at once; a caller that keeps the pointer calls memory_note_write()
 * after each later write.
 */
void *memory_for_write(struct memory *mem, gpa_t addr, uint64_t len);

/*
 * Copies out of or into guest memory across regions; what falls into ROM is
 * dropped, or reaches what the ROM covers. -EFAULT, with nothing copied, when a byte lies outside.
 */
int memory_read(const struct memory *mem, gpa_t addr, void *buf, uint64_t len);
int memory_write(struct memory *mem, gpa_t addr, const void *buf,
		 uint64_t len);

/*
 * As memory_write() but also into ROM, unless it covers something: for loaders
 * and firmware set-up.
 */
int memory_load(struct memory *mem, gpa_t addr, const void *buf, uint64_t len);

/* Index into page_flags of the page that holds `addr`; -1 outside. */
int64_t memory_page_index(const struct memory *mem, gpa_t addr);

/* Tells engines that [addr, addr + len) was written. Any thread. */
void memory_note_write(struct memory *mem, gpa_t addr, uint64_t len);

/* The same for pages of page_flags, from index `page` on. */
void memory_note_pages(struct memory *mem, uint64_t page, uint64_t count);

/* The same for RAM and device memory known by its host address. */
void memory_note_host(struct memory *mem, const void *host, uint64_t len);

/*
 * Gives the whole pages of RAM within [addr, addr + len) back to the host:
 * they read as zeros until they are written again. It counts as a write. What
 * is not RAM stays as it is. Any thread, while processors run. 0, or what the
 * host says.
 */
int memory_discard(struct memory *mem, gpa_t addr, uint64_t len);

/* The same for RAM that is known by its host address. */
int memory_discard_host(struct memory *mem, const void *host, uint64_t len);

/* Starts or stops dirty logging; all pages count as clean at the start. */
void memory_dirty_log(struct memory *mem, bool on);

/*
 * Collects and clears the dirty pages of one region: bit n of `bitmap` is its
 * page n. `bitmap` has (size / 4096 + 63) / 64 words. -EINVAL when the log is
 * off.
 */
int memory_dirty_collect(struct memory *mem, unsigned int region,
			 uint64_t *bitmap);

#endif
