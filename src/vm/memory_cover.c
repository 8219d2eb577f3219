/* SPDX-License-Identifier: Apache-2.0 */
/* Covers; see memory_cover.h. */
#include "vm/memory_cover.h"

#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/memory_view.h"

/* The region that begins there, as itself. */
static struct memory_region *find(struct memory *mem, gpa_t base)
{
	for (unsigned int i = 0; i < mem->region_count; i++)
		if (mem->region[i].base == base.v)
			return &mem->region[i];
	return NULL;
}

/* Bytes that read as ones: some of those that there are, or more. */
static int find_ones(struct memory *mem, struct memory_region *cover)
{
	if (cover->size > mem->ones_size) {
		int err = memory_device_alloc(mem, cover->size, &mem->ones);

		if (err)
			return err;
		memset(mem->ones, 0xff, cover->size);
		mem->ones_size = cover->size;
	}
	cover->host = mem->ones;
	cover->first_page = memory_device_page(mem, mem->ones);
	return 0;
}

int memory_cover_init(struct memory *mem, struct memory_region *cover,
		      gpa_t base, gpa_t rom, bool through)
{
	const struct memory_region *r = find(mem, base);
	const struct memory_region *from = memory_find(mem, rom);

	if (!r)
		return -VM_ENOENT;
	*cover = (struct memory_region){
		.base = r->base,
		.size = r->size,
		.kind = MEMORY_ROM,
		.name = "no memory",
		.under = through ? r : NULL,
	};
	if (!from || r->size > from->size - (rom.v - from->base))
		return find_ones(mem, cover);
	cover->host = from->host + (rom.v - from->base);
	cover->first_page = from->first_page +
			    ((rom.v - from->base) >> PAGE_SHIFT);
	cover->name = from->name;
	return 0;
}

void memory_cover(struct memory *mem, gpa_t base,
		  const struct memory_region *cover)
{
	struct memory_region *r = find(mem, base);

	bug_on(!r);
	if (atomic_load(&r->cover) == cover)
		return;
	atomic_store(&r->cover, cover);
	atomic_fetch_add(&mem->moves, 1);
	if (mem->hooks && mem->hooks->region_changed)
		mem->hooks->region_changed(mem->hooks_ctx,
					   (unsigned int)(r - mem->region));
}
