/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk in memory; see disk.h. It keeps its bytes twice, as they are and as
 * of the last flush, and the changes in between. Copies share their pages.
 */
#include "fake/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/driver.h"
#include "vm/host.h"

#define SIZE_MAX_BYTES (4ull << 30)
#define PAGES_MORE     256u /* that a copy grows by */

/* Copies share what they have in common; NULL: zeros. */
struct fake_page {
	_Atomic unsigned int users;
	uint8_t data[FAKE_DISK_ROOM];
};

struct fake_bytes {
	struct fake_page **page;
	uint8_t *taken; /* for each page, whether it takes room */
	uint64_t size, pages;
};

struct fake_change {
	struct fake_change *next;
	unsigned int kind; /* FAKE_WRITE, FAKE_ZERO, FAKE_RESIZE */
	uint64_t offset, length; /* of FAKE_RESIZE the new size */
	uint8_t data[];
};

struct fake_leaf {
	struct disk_node node;
	struct fake_disk *disk;
	bool owns; /* the disk, which goes with it */
};

/* --- bytes ------------------------------------------------------------------ */

static struct fake_bytes *bytes_create(void)
{
	struct fake_bytes *bytes = calloc(1, sizeof(*bytes));

	bug_on(!bytes);
	return bytes;
}

static void page_free(struct fake_page *page)
{
	if (page && !--page->users)
		free(page);
}

static void bytes_free(struct fake_bytes *bytes)
{
	for (uint64_t i = 0; i < bytes->pages; i++)
		page_free(bytes->page[i]);
	free(bytes->page);
	free(bytes->taken);
	free(bytes);
}

/* The page's bytes for writing, in this copy alone. */
static uint8_t *page_own(struct fake_bytes *bytes, uint64_t index)
{
	struct fake_page *page = bytes->page[index], *own;

	if (page && page->users == 1)
		return page->data;
	own = page ? malloc(sizeof(*own)) : calloc(1, sizeof(*own));
	bug_on(!own);
	own->users = 1;
	if (page)
		memcpy(own->data, page->data, sizeof(own->data));
	page_free(page);
	bytes->page[index] = own;
	return own->data;
}

/* The part of a range that is in its first page. */
static size_t in_page(uint64_t offset, uint64_t length)
{
	uint64_t part = FAKE_DISK_ROOM - offset % FAKE_DISK_ROOM;

	return part < length ? part : length;
}

static void bytes_clear(struct fake_bytes *bytes, uint64_t offset,
			uint64_t length)
{
	while (length) {
		uint64_t index = offset / FAKE_DISK_ROOM;
		size_t part = in_page(offset, length);

		if (part == FAKE_DISK_ROOM) {
			page_free(bytes->page[index]);
			bytes->page[index] = NULL;
		} else if (bytes->page[index]) {
			memset(page_own(bytes, index) + offset % FAKE_DISK_ROOM,
			       0, part);
		}
		offset += part;
		length -= part;
	}
}

static void bytes_resize(struct fake_bytes *bytes, uint64_t size)
{
	if (size > bytes->pages * FAKE_DISK_ROOM) {
		uint64_t old = bytes->pages;
		uint64_t new = (size - 1) / FAKE_DISK_ROOM + 1 + old / 2 +
			       PAGES_MORE;

		bytes->page = realloc(bytes->page, new * sizeof(*bytes->page));
		bytes->taken = realloc(bytes->taken, new);
		bug_on(!bytes->page || !bytes->taken);
		memset(bytes->page + old, 0,
		       (new - old) * sizeof(*bytes->page));
		memset(bytes->taken + old, 0, new - old);
		bytes->pages = new;
	}
	if (size < bytes->size)
		bytes_clear(bytes, size, bytes->size - size);
	bytes->size = size;
}

/* `data` NULL: zeros. */
static void bytes_change(struct fake_bytes *bytes, uint64_t offset,
			 uint64_t length, const uint8_t *data)
{
	if (offset + length > bytes->size)
		bytes_resize(bytes, offset + length);
	if (!data) {
		bytes_clear(bytes, offset, length);
		return;
	}
	while (length) {
		size_t part = in_page(offset, length);

		memcpy(page_own(bytes, offset / FAKE_DISK_ROOM) +
			       offset % FAKE_DISK_ROOM,
		       data, part);
		offset += part;
		data += part;
		length -= part;
	}
}

static void bytes_read(const struct fake_bytes *bytes, uint64_t offset,
		       uint64_t length, struct disk_vec to)
{
	while (length) {
		const struct fake_page *page =
			bytes->page[offset / FAKE_DISK_ROOM];
		size_t part = in_page(offset, length);

		if (page)
			disk_vec_fill(to, page->data + offset % FAKE_DISK_ROOM,
				      part);
		else
			disk_vec_clear(to, part);
		to = disk_vec_from(to, part);
		offset += part;
		length -= part;
	}
}

static struct fake_bytes *bytes_copy(const struct fake_bytes *from)
{
	struct fake_bytes *to = bytes_create();
	uint64_t pages = (from->size + FAKE_DISK_ROOM - 1) / FAKE_DISK_ROOM;

	bytes_resize(to, from->size);
	for (uint64_t i = 0; i < pages; i++) {
		to->page[i] = from->page[i];
		if (to->page[i])
			to->page[i]->users++;
	}
	return to;
}

/* --- changes ---------------------------------------------------------------- */

static void apply(struct fake_bytes *bytes, const struct fake_change *change)
{
	if (change->kind == FAKE_RESIZE)
		bytes_resize(bytes, change->length);
	else
		bytes_change(bytes, change->offset, change->length,
			     change->kind == FAKE_WRITE ? change->data : NULL);
}

static struct fake_change *note(struct fake_disk *disk, unsigned int kind,
				uint64_t offset, uint64_t length)
{
	size_t size = kind == FAKE_WRITE ? length : 0;
	struct fake_change *change = malloc(sizeof(*change) + size);

	bug_on(!change);
	*change = (struct fake_change){ NULL, kind, offset, length };
	*disk->last = change;
	disk->last = &change->next;
	disk->changes++;
	return change;
}

static void forget_changes(struct fake_disk *disk)
{
	while (disk->first) {
		struct fake_change *next = disk->first->next;

		free(disk->first);
		disk->first = next;
	}
	disk->last = &disk->first;
	disk->changes = 0;
}

/* --- room ------------------------------------------------------------------- */

/* Takes what [offset, +length) needs; how many bytes of it there is room for. */
static uint64_t take_room(struct fake_disk *disk, uint64_t offset,
			  uint64_t length)
{
	uint64_t from = offset / FAKE_DISK_ROOM;
	uint64_t end = (offset + length + FAKE_DISK_ROOM - 1) / FAKE_DISK_ROOM;

	if (offset + length > disk->now->size)
		bytes_resize(disk->now, offset + length);
	for (uint64_t unit = from; unit < end; unit++) {
		if (disk->now->taken[unit])
			continue;
		if (disk->used + FAKE_DISK_ROOM > disk->room) {
			uint64_t fits = unit * FAKE_DISK_ROOM;

			return fits > offset ? fits - offset : 0;
		}
		disk->now->taken[unit] = 1;
		disk->used += FAKE_DISK_ROOM;
	}
	return length;
}

static void give_room(struct fake_disk *disk, uint64_t offset, uint64_t length)
{
	uint64_t from = (offset + FAKE_DISK_ROOM - 1) / FAKE_DISK_ROOM;
	uint64_t end = (offset + length) / FAKE_DISK_ROOM;
	uint64_t units = disk->now->pages;

	for (uint64_t unit = from; unit < end && unit < units; unit++) {
		disk->used -= disk->now->taken[unit] ? FAKE_DISK_ROOM : 0;
		disk->now->taken[unit] = 0;
	}
}

/* --- operations ------------------------------------------------------------- */

/* Held from here to leave(): the mutex. 0, or the error that it is to have. */
static int enter(struct fake_disk *disk, unsigned int kind)
{
	pthread_mutex_lock(disk->mutex);
	if (kind != FAKE_READ && disk->before)
		disk->before(disk, kind, disk->ctx);
	disk->count[__builtin_ctz(kind)]++;
	disk->total++;
	if (!(disk->fail & kind) || !disk->times)
		return 0;
	if (disk->after) {
		disk->after--;
		return 0;
	}
	disk->times -= disk->times != UINT64_MAX;
	return disk->error;
}

static int leave(struct fake_disk *disk, int error)
{
	pthread_mutex_unlock(disk->mutex);
	return error;
}

static struct fake_disk *disk_of(struct disk_node *node)
{
	return ((struct fake_leaf *)node)->disk;
}

static int fake_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct fake_disk *disk = disk_of(node);
	int error = enter(disk, FAKE_READ);

	if (!error && offset + length > disk->now->size)
		error = -EIO;
	if (!error)
		bytes_read(disk->now, offset, length, to);
	return leave(disk, error);
}

static void write_part(struct fake_disk *disk, uint64_t offset,
		       uint64_t length, struct disk_vec from)
{
	struct fake_change *change = note(disk, FAKE_WRITE, offset, length);

	disk_vec_gather(change->data, from, length);
	apply(disk->now, change);
}

static int fake_write(struct disk_node *node, uint64_t offset,
		      uint64_t length, struct disk_vec from)
{
	struct fake_disk *disk = disk_of(node);
	int error = enter(disk, FAKE_WRITE);
	uint64_t old = disk->now->size, part;

	if (!error && offset + length > SIZE_MAX_BYTES)
		error = -EFBIG;
	if (error) {
		part = length / 2 & ~(uint64_t)(FAKE_DISK_SECTOR - 1);
		if (part && error != -EFBIG && offset + part <= old)
			write_part(disk, offset, part, from);
		return leave(disk, error);
	}
	part = take_room(disk, offset, length);
	if (part)
		write_part(disk, offset, part, from);
	if (part < length) {
		bytes_resize(disk->now,
			     old > offset + part ? old : offset + part);
		error = -ENOSPC;
	}
	node->size = disk->now->size;
	return leave(disk, error);
}

static int fake_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags)
{
	struct fake_disk *disk = disk_of(node);
	int error = enter(disk, FAKE_ZERO);
	bool inside = offset + length <= disk->now->size;

	if (!error && offset + length > SIZE_MAX_BYTES)
		error = -EFBIG;
	if (!error && flags & DISK_UNMAP && inside)
		give_room(disk, offset, length);
	else if (!error && take_room(disk, offset, length) < length)
		error = -ENOSPC;
	if (!error)
		apply(disk->now, note(disk, FAKE_ZERO, offset, length));
	node->size = disk->now->size;
	return leave(disk, error);
}

static int fake_discard(struct disk_node *node, uint64_t offset,
			uint64_t length)
{
	struct fake_disk *disk = disk_of(node);
	int error = enter(disk, FAKE_DISCARD);

	if (offset >= disk->now->size)
		return leave(disk, error);
	if (offset + length > disk->now->size)
		length = disk->now->size - offset;
	if (!error) {
		give_room(disk, offset, length);
		apply(disk->now, note(disk, FAKE_ZERO, offset, length));
	}
	return leave(disk, error);
}

static int fake_flush(struct disk_node *node)
{
	struct fake_disk *disk = disk_of(node);
	int error = enter(disk, FAKE_FLUSH);

	if (!error) {
		bytes_free(disk->flushed);
		disk->flushed = bytes_copy(disk->now);
		forget_changes(disk);
	}
	return leave(disk, error);
}

static int fake_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *extent)
{
	struct fake_disk *disk = disk_of(node);
	const uint8_t *taken;
	uint64_t from = offset / FAKE_DISK_ROOM, unit = from;
	uint64_t end = (offset + length - 1) / FAKE_DISK_ROOM + 1;

	*extent = (struct disk_extent){ .kind = DISK_DATA, .in_place = true,
					.length = length, .at = offset };
	if (!(flags & DISK_SPARSE))
		return 0;
	pthread_mutex_lock(disk->mutex);
	taken = disk->now->taken;
	while (unit < end && taken[unit] == taken[from])
		unit++;
	if (!taken[from]) {
		extent->kind = DISK_ZERO;
		extent->in_place = false;
	}
	if (unit < end)
		extent->length = unit * FAKE_DISK_ROOM - offset;
	return leave(disk, 0);
}

static uint64_t fake_allocated(struct disk_node *node)
{
	return disk_of(node)->used;
}

static int fake_resize(struct disk_node *node, uint64_t size,
		       enum disk_preallocation prealloc,
		       struct disk_error *error)
{
	struct fake_disk *disk = disk_of(node);
	int result = enter(disk, FAKE_RESIZE);

	if (!result && size > SIZE_MAX_BYTES)
		result = -EFBIG;
	if (!result && size < disk->now->size)
		give_room(disk, size, disk->now->size - size);
	if (!result)
		apply(disk->now, note(disk, FAKE_RESIZE, 0, size));
	node->size = disk->now->size;
	leave(disk, 0);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static void fake_close(struct disk_node *node)
{
	if (((struct fake_leaf *)node)->owns)
		fake_disk_free(disk_of(node));
}

static const struct disk_driver fake_driver = {
	.name = "fake",
	.title = "fake",
	.leaf = true,
	.close = fake_close,
	.map = fake_map,
	.read = fake_read,
	.write = fake_write,
	.zero = fake_zero,
	.discard = fake_discard,
	.flush = fake_flush,
	.allocated = fake_allocated,
	.resize = fake_resize,
};

/* --- the disk --------------------------------------------------------------- */

/* Owns both copies. */
static struct fake_disk *create_with(struct fake_bytes *now,
				     struct fake_bytes *flushed)
{
	struct fake_disk *disk = calloc(1, sizeof(*disk));

	bug_on(!disk);
	disk->room = UINT64_MAX;
	disk->now = now;
	disk->flushed = flushed;
	disk->last = &disk->first;
	pthread_mutex_init(&disk->own, NULL);
	disk->mutex = &disk->own;
	return disk;
}

struct fake_disk *fake_disk_create(void)
{
	return create_with(bytes_create(), bytes_create());
}

void fake_disk_free(struct fake_disk *disk)
{
	if (!disk)
		return;
	forget_changes(disk);
	bytes_free(disk->now);
	bytes_free(disk->flushed);
	pthread_mutex_destroy(&disk->own);
	free(disk);
}

struct disk_node *fake_disk_open(struct fake_disk *disk)
{
	const struct disk_open how = { .path = "fake" };

	return fake_disk_open_as(disk, &how);
}

struct disk_node *fake_disk_open_as(struct fake_disk *disk,
				    const struct disk_open *how)
{
	struct fake_leaf *leaf = calloc(1, sizeof(*leaf));

	bug_on(!leaf || disk_node_init(&leaf->node, &fake_driver, NULL, how));
	leaf->disk = disk;
	leaf->node.size = disk->now->size;
	leaf->node.grows = true;
	return &leaf->node;
}

struct disk_node *fake_disk_open_new(void)
{
	struct disk_node *node = fake_disk_open(fake_disk_create());

	((struct fake_leaf *)node)->owns = true;
	return node;
}

void fake_disk_replace(struct fake_disk *disk, const void *bytes,
		       uint64_t size)
{
	pthread_mutex_lock(disk->mutex);
	bytes_free(disk->now);
	bytes_free(disk->flushed);
	disk->now = bytes_create();
	if (size)
		bytes_change(disk->now, 0, size, bytes);
	disk->flushed = bytes_copy(disk->now);
	forget_changes(disk);
	pthread_mutex_unlock(disk->mutex);
}

/* --- the power goes --------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* Some of a change's sectors. */
static void apply_some(struct fake_bytes *bytes,
		       const struct fake_change *change, uint64_t *state)
{
	uint64_t at = change->offset, end = at + change->length;

	if (change->kind == FAKE_RESIZE) {
		if (next_random(state) >> 63)
			apply(bytes, change);
		return;
	}
	while (at < end) {
		uint64_t next = (at / FAKE_DISK_SECTOR + 1) * FAKE_DISK_SECTOR;

		if (next > end)
			next = end;
		if (next_random(state) >> 63)
			bytes_change(bytes, at, next - at,
				     change->kind == FAKE_WRITE
					     ? change->data + at -
						       change->offset
					     : NULL);
		at = next;
	}
}

struct fake_disk *fake_disk_cut(struct fake_disk *disk, uint64_t seed)
{
	struct fake_bytes *left = bytes_copy(seed == 1 ? disk->now
						       : disk->flushed);
	struct fake_disk *cut;
	uint64_t state = seed * 0x9e3779b97f4a7c15ull | 1;
	uint64_t way = seed < 2 ? 0 : 1 + next_random(&state) % 3;
	uint64_t first = next_random(&state) % (disk->changes + 1);

	for (struct fake_change *c = disk->first; way && c; c = c->next) {
		bool last = way == 1 && !first--;

		if (last || way == 3)
			apply_some(left, c, &state);
		else if (way == 1 || next_random(&state) >> 63)
			apply(left, c);
		if (last)
			break;
	}
	cut = create_with(left, bytes_copy(left));
	take_room(cut, 0, left->size);
	return cut;
}
