/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory and its views.
 *
 * A place, once somebody may have found it, is never changed, and used again
 * only after a reset: so no reader needs a lock or a count. A guest that moves
 * a view about without end runs out of places and is left with callbacks.
 *
 * Who has written: a page that its device has seen is marked, which keeps it
 * out of the processors' write tags until somebody has written it once. The
 * processors are asked to drop the tags that they had; until all have done so
 * a page that was just marked may be written unnoted, so it is loose: it
 * counts as written each time.
 */
#include "vm/memory_view.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define SEEN_WORD (0x0101010101010101ull * MEM_PAGE_SEEN)

int memory_device_alloc(struct memory *mem, uint64_t size, uint8_t **host)
{
	int err;

	size = (size + PAGE_SIZE - 1) & PAGE_MASK;
	if (!size || size > MEMORY_DEVICE_MAX - mem->device_used)
		return -VM_ENOSPC;
	if (!mem->device.base) {
		err = host_ram_create(&mem->device, MEMORY_DEVICE_MAX);
		if (err)
			return err;
	}
	*host = mem->device.base + mem->device_used;
	mem->device_used += size;
	return 0;
}

int memory_view_add(struct memory *mem, const char *name)
{
	if (mem->view_count == MEMORY_VIEWS_MAX)
		return -VM_ENOSPC;
	mem->view_name[mem->view_count] = name;
	return (int)mem->view_count++;
}

/* --- places ----------------------------------------------------------------- */

static bool meets(const struct memory_region *r, uint64_t base, uint64_t size)
{
	return base <= r->base + (r->size - 1) && r->base <= base + (size - 1);
}

/* True when nothing but the view itself is at [base, base + size). */
static bool is_free(const struct memory *mem, unsigned int view, uint64_t base,
		    uint64_t size)
{
	for (unsigned int i = 0; i < mem->region_count; i++)
		if (meets(&mem->region[i], base, size))
			return false;
	for (unsigned int i = 0; i < mem->view_count; i++) {
		const struct memory_region *r = atomic_load(&mem->view[i]);

		if (i != view && r && meets(r, base, size))
			return false;
	}
	return true;
}

/* The place that is like this one, old or new; NULL: there are too many. */
static const struct memory_region *
find_place(struct memory *mem, const struct memory_region *want)
{
	struct memory_region *r;

	for (unsigned int i = 0; i < mem->place_count; i++) {
		r = &mem->place[i];
		if (r->base == want->base && r->size == want->size &&
		    r->host == want->host && r->name == want->name)
			return r;
	}
	if (mem->place_count == MEMORY_PLACES_MAX)
		return NULL;
	r = &mem->place[mem->place_count++];
	*r = *want;
	return r;
}

/* Code that was decoded where the view was is out of date. */
static void forget_code(struct memory *mem, const struct memory_region *r)
{
	for (uint64_t n = 0; n < r->size >> PAGE_SHIFT; n++)
		if (atomic_load(&mem->page_flags[r->first_page + n]) &
			    MEM_PAGE_CODE &&
		    mem->code_written)
			mem->code_written(mem->code_written_ctx,
					  r->first_page + n);
}

static void show(struct memory *mem, unsigned int view,
		 const struct memory_region *now)
{
	const struct memory_region *before = atomic_load(&mem->view[view]);

	if (now == before)
		return;
	atomic_store(&mem->view[view], now);
	if (before)
		forget_code(mem, before);
	atomic_fetch_add(&mem->moves, 1);
	if (mem->hooks && mem->hooks->view_changed)
		mem->hooks->view_changed(mem->hooks_ctx, view, before);
}

bool memory_view_map(struct memory *mem, unsigned int view, gpa_t base,
		     uint8_t *host, uint64_t size)
{
	const struct memory_region want = {
		.base = base.v,
		.size = size,
		.host = host,
		.first_page = memory_device_page(mem, host),
		.kind = MEMORY_RAM,
		.name = mem->view_name[view],
	};
	const struct memory_region *place = NULL;

	if (size && !((base.v | size) & (PAGE_SIZE - 1)) &&
	    base.v + (size - 1) >= base.v &&
	    is_free(mem, view, base.v, size))
		place = find_place(mem, &want);
	show(mem, view, place);
	return place;
}

void memory_view_unmap(struct memory *mem, unsigned int view)
{
	show(mem, view, NULL);
}

void memory_views_reset(struct memory *mem)
{
	for (unsigned int i = 0; i < mem->view_count; i++)
		show(mem, i, NULL);
	mem->place_count = 0;
}

/* --- writes ----------------------------------------------------------------- */

/* Marks a page as seen; true: it was written since. */
static bool take_page(struct memory *mem, uint64_t page)
{
	_Atomic uint8_t *flags = &mem->page_flags[page];

	return !(atomic_fetch_or(flags, MEM_PAGE_SEEN) & MEM_PAGE_SEEN);
}

/* The same for the 64 pages from `page` on, of which `count` count. */
static uint64_t take_pages(struct memory *mem, uint64_t page, uint64_t count)
{
	uint64_t bits = 0;

	for (uint64_t n = 0; n < count; n++) {
		uint64_t word;

		/* Eight at a time, where nothing has happened. */
		if (!(n & 7) && count - n >= 8) {
			memcpy(&word, (const void *)&mem->page_flags[page + n],
			       sizeof(word));
			if ((word & SEEN_WORD) == SEEN_WORD) {
				n += 7;
				continue;
			}
		}
		if (take_page(mem, page + n))
			bits |= 1ull << n;
	}
	return bits;
}

static void sync(struct memory *mem)
{
	if (!mem->hooks || !mem->hooks->sync)
		return;
	for (unsigned int i = 0; i < mem->view_count; i++)
		if (atomic_load(&mem->view[i]))
			mem->hooks->sync(mem->hooks_ctx, i);
}

bool memory_device_written(struct memory *mem, const uint8_t *host,
			   uint64_t size, uint64_t *bitmap)
{
	const struct memory_hooks *hooks = mem->hooks;
	uint64_t at = (uint64_t)(host - mem->device.base) >> PAGE_SHIFT;
	uint64_t first = memory_device_page(mem, host);
	uint64_t pages = size >> PAGE_SHIFT;
	bool guarded = hooks && hooks->protect;
	bool still = guarded && hooks->protected(mem->hooks_ctx);
	bool any = false, fresh = false;

	sync(mem);
	for (uint64_t n = 0; n < pages; n += 64) {
		uint64_t count = pages - n < 64 ? pages - n : 64;
		uint64_t *loose = &mem->loose[(at + n) / 64];
		uint64_t bits = take_pages(mem, first + n, count);

		bitmap[n / 64] |= bits | *loose;
		any |= bits || *loose;
		fresh |= bits;
		*loose = guarded ? bits | (still ? 0 : *loose) : 0;
	}
	if (guarded && fresh)
		hooks->protect(mem->hooks_ctx);
	return any;
}
