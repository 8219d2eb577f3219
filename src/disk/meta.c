/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of an image's tables; see meta.h. Pages are found by a hash and
 * leave by the second chance of a clock's hand; dirty ones never leave.
 */
#include "disk/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/node.h"

#define PAGES_MIN 16u

void disk_meta_init(struct disk_meta *meta, struct disk_node *file)
{
	memset(meta, 0, sizeof(*meta));
	meta->file = file;
	meta->limit = META_PAGES;
	meta->dirty_limit = META_PAGES / 2;
	pthread_mutex_init(&meta->mutex, NULL);
}

void disk_meta_share(struct disk_meta *meta, unsigned int caches)
{
	meta->limit = META_PAGES / caches;
	if (meta->limit < PAGES_MIN)
		meta->limit = PAGES_MIN;
	meta->dirty_limit = meta->limit / 2;
}

void disk_meta_fini(struct disk_meta *meta)
{
	for (unsigned int i = 0; i < meta->pages; i++)
		free(meta->page[i]);
	pthread_mutex_destroy(&meta->mutex);
}

/* --- pages ------------------------------------------------------------------ */

static struct disk_meta_page **bucket_of(struct disk_meta *meta,
					 uint64_t offset)
{
	return &meta->hash[offset / META_PAGE % META_HASH];
}

static struct disk_meta_page *find_page(struct disk_meta *meta,
					uint64_t offset)
{
	struct disk_meta_page *page = *bucket_of(meta, offset);

	while (page && page->offset != offset)
		page = page->next;
	return page;
}

static void unhash(struct disk_meta *meta, struct disk_meta_page *page)
{
	struct disk_meta_page **link = bucket_of(meta, page->offset);

	while (*link != page)
		link = &(*link)->next;
	*link = page->next;
	page->hashed = false;
}

static void add_hash(struct disk_meta *meta, struct disk_meta_page *page)
{
	struct disk_meta_page **bucket = bucket_of(meta, page->offset);

	page->next = *bucket;
	*bucket = page;
	page->hashed = true;
}

/* A page that may be filled, out of the hash. At most half are dirty, so the
 * hand finds one. */
static struct disk_meta_page *take_page(struct disk_meta *meta)
{
	struct disk_meta_page *page;

	if (meta->pages < meta->limit) {
		page = calloc(1, sizeof(*page));
		if (page)
			meta->page[meta->pages++] = page;
		return page;
	}
	for (;; page->used = false) {
		page = meta->page[meta->hand++ % meta->limit];
		if (!page->used && !page->dirty)
			break;
	}
	if (page->hashed)
		unhash(meta, page);
	return page;
}

static int fill_page(struct disk_meta *meta, struct disk_meta_page *page)
{
	uint64_t size = meta->file->size;
	size_t part = 0;

	if (page->offset < size)
		part = size - page->offset < META_PAGE ? size - page->offset
						       : META_PAGE;
	memset(page->bytes + part, 0, META_PAGE - part);
	return part ? disk_read_bytes(meta->file, page->offset, page->bytes,
				      part)
		    : 0;
}

static int get_page(struct disk_meta *meta, uint64_t offset,
		    unsigned int flags, struct disk_meta_page **found)
{
	struct disk_meta_page *page = find_page(meta, offset);
	int error;

	if (!page) {
		if (flags & DISK_NOWAIT)
			return -EAGAIN;
		page = take_page(meta);
		if (!page)
			return -ENOMEM;
		page->offset = offset;
		error = fill_page(meta, page);
		if (error)
			return error;
		add_hash(meta, page);
	}
	page->used = true;
	*found = page;
	return 0;
}

/* --- writing back ----------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
	const struct disk_meta_page *const *x = a, *const *y = b;

	return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

/* The page's dirty sectors, neighbours at once. */
static int write_page(struct disk_meta *meta, struct disk_meta_page *page)
{
	unsigned int sector = 0;

	while (page->dirty >> sector) {
		unsigned int first = sector;
		int error;

		while (page->dirty >> sector & 1)
			sector++;
		if (first == sector) {
			sector++;
			continue;
		}
		error = disk_write_bytes(meta->file,
					 page->offset + first * META_SECTOR,
					 page->bytes + first * META_SECTOR,
					 (sector - first) * META_SECTOR);
		if (error)
			return error;
	}
	return 0;
}

/* Called with the mutex held. Pages stay dirty when anything fails. */
static int commit(struct disk_meta *meta)
{
	struct disk_meta_page *dirty[META_PAGES];
	uint64_t size = meta->file->size;
	unsigned int count = 0;
	int error = disk_flush(meta->file);

	if (!error)
		meta->stable = size;
	for (unsigned int i = 0; i < meta->pages; i++)
		if (meta->page[i]->dirty)
			dirty[count++] = meta->page[i];
	if (error || !count)
		return error;
	qsort(dirty, count, sizeof(*dirty), by_offset);
	if (meta->log)
		error = meta->log(meta->ctx, dirty, count);
	for (unsigned int i = 0; !error && i < count; i++)
		error = write_page(meta, dirty[i]);
	if (!error)
		error = disk_flush(meta->file);
	for (unsigned int i = 0; !error && i < count; i++)
		dirty[i]->dirty = 0;
	if (!error)
		meta->dirty = 0;
	return error;
}

/* The data goes first without the mutex: most of the time goes by here, and
 * readers of tables need not wait for it. */
int disk_meta_flush(struct disk_meta *meta)
{
	int error = disk_flush(meta->file);

	pthread_mutex_lock(&meta->mutex);
	if (!error && meta->dirty)
		error = commit(meta);
	pthread_mutex_unlock(&meta->mutex);
	return error;
}

/* --- bytes ------------------------------------------------------------------ */

static size_t part_of(uint64_t offset, size_t size)
{
	size_t part = META_PAGE - offset % META_PAGE;

	return part < size ? part : size;
}

int disk_meta_read(struct disk_meta *meta, uint64_t offset, void *buf,
		   size_t size, unsigned int flags)
{
	int error = 0;

	if (!(flags & DISK_NOWAIT))
		pthread_mutex_lock(&meta->mutex);
	else if (pthread_mutex_trylock(&meta->mutex))
		return -EAGAIN;
	while (!error && size) {
		size_t part = part_of(offset, size);
		struct disk_meta_page *page;

		error = get_page(meta, offset & ~(uint64_t)(META_PAGE - 1),
				 flags, &page);
		if (!error)
			memcpy(buf, page->bytes + offset % META_PAGE, part);
		buf = (char *)buf + part;
		offset += part;
		size -= part;
	}
	pthread_mutex_unlock(&meta->mutex);
	return error;
}

/* Within a page; with the mutex held. */
static int write_part(struct disk_meta *meta, uint64_t offset,
		      const void *buf, size_t size)
{
	unsigned int first = offset % META_PAGE / META_SECTOR;
	unsigned int last = (offset % META_PAGE + size - 1) / META_SECTOR;
	struct disk_meta_page *page;
	int error = get_page(meta, offset & ~(uint64_t)(META_PAGE - 1), 0,
			     &page);

	if (!error && !page->dirty && meta->dirty >= meta->dirty_limit)
		error = commit(meta);
	if (error)
		return error;
	if (!page->dirty)
		meta->dirty++;
	page->dirty |= (uint8_t)((2u << last) - (1u << first));
	memcpy(page->bytes + offset % META_PAGE, buf, size);
	return 0;
}

int disk_meta_write(struct disk_meta *meta, uint64_t offset, const void *buf,
		    size_t size)
{
	int error = 0;

	pthread_mutex_lock(&meta->mutex);
	while (!error && size) {
		size_t part = part_of(offset, size);

		error = write_part(meta, offset, buf, part);
		buf = (const char *)buf + part;
		offset += part;
		size -= part;
	}
	pthread_mutex_unlock(&meta->mutex);
	return error;
}
