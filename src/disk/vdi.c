/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VDI, VirtualBox's disk images, version 1.1: a header, a table with a number
 * for each block of the disk, the blocks. Dynamic and static images are read
 * and written; images on a parent (undo, differencing) are refused.
 *
 * VirtualBox puts a new block behind as many as the header counts, so the
 * numbers of the blocks in use have no gaps: a block keeps its place for good,
 * discard makes a hole in the file there. Gaps that a crash leaves are filled
 * first. The count goes to the file ahead of the table.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "disk/driver.h"
#include "disk/guid.h"
#include "disk/table.h"
#include "disk/wire.h"

#define HEADER	    512u
#define SIGNATURE   0xbeda107fu
#define VERSION	    0x00010001u
#define HEADER_SIZE 0x190u /* from its own field on, without the LCHS */
#define BLOCK	    (1u << 20)
#define BLOCK_MIN   4096u
#define BLOCK_MAX   (128u << 20)
#define BLOCKS_MAX  (1u << 28) /* what the bitmap of a check has room for */
#define DATA_ALIGN  (1u << 20)

/* Places in the header. */
enum {
	AT_TEXT = 0,
	AT_SIGNATURE = 0x40,
	AT_VERSION = 0x44,
	AT_HEADER_SIZE = 0x48,
	AT_TYPE = 0x4c,
	AT_TABLE = 0x154,
	AT_DATA = 0x158,
	AT_SECTOR_SIZE = 0x168,
	AT_DISK_SIZE = 0x170,
	AT_BLOCK_SIZE = 0x178,
	AT_BLOCK_EXTRA = 0x17c,
	AT_BLOCKS = 0x180,
	AT_COUNT = 0x184,
	AT_UUID = 0x188,
	AT_UUID_CHANGE = 0x198,
	AT_UUID_PARENT = 0x1a8,
	AT_UUID_PARENT_CHANGE = 0x1b8,
	AT_LCHS_SECTOR_SIZE = 0x1d4,
};

enum { TYPE_DYNAMIC = 1, TYPE_STATIC, TYPE_UNDO, TYPE_DIFF };

/* Entries that are no number of a block. */
#define ENTRY_FREE 0xffffffffu
#define ENTRY_ZERO 0xfffffffeu

static const char text[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";

struct vdi {
	struct disk_node node;
	struct disk_meta meta;
	struct disk_table table;
	uint64_t data; /* where the blocks begin */
	uint32_t blocks;
	bool is_static;
	pthread_mutex_t mutex; /* of what follows; the cache's comes after */
	bool counted;
	uint32_t next;	 /* beyond the highest number in use */
	uint32_t gap;	 /* none before this one */
	uint8_t *used;	 /* a bit for each below `next`; NULL: no gaps */
};

static struct vdi *vdi_of(struct disk_node *node)
{
	return (struct vdi *)node;
}

/* --- reading ---------------------------------------------------------------- */

static int vdi_place(void *ctx, const uint8_t *entry,
		     struct disk_place *place)
{
	const struct vdi *vdi = ctx;
	uint32_t number = get_le32(entry);

	place->kind = number == ENTRY_FREE   ? DISK_HOLE
		      : number == ENTRY_ZERO ? DISK_ZERO
					     : DISK_DATA;
	if (place->kind != DISK_DATA)
		return 0;
	place->at = vdi->data + (uint64_t)number * vdi->table.block;
	if (number >= vdi->blocks ||
	    place->at + vdi->table.block > vdi->node.file->size)
		return -EIO;
	return 0;
}

static int vdi_map(struct disk_node *node, uint64_t offset, uint64_t length,
		   unsigned int flags, struct disk_extent *extent)
{
	return disk_table_map(&vdi_of(node)->table, offset, length, flags,
			      extent);
}

/* --- room ------------------------------------------------------------------- */

typedef void (*entry_fn)(void *ctx, uint32_t block, uint32_t number);

/* Calls for every entry of the file's table that is a number. */
static int each_entry(struct vdi *vdi, entry_fn call, void *ctx)
{
	static const uint32_t at_once = 4096;
	uint8_t *entries = malloc(at_once * 4);
	int error = entries ? 0 : -ENOMEM;

	for (uint32_t block = 0; !error && block < vdi->blocks;) {
		uint32_t count = vdi->blocks - block;

		if (count > at_once)
			count = at_once;
		error = disk_read_bytes(vdi->node.file,
					disk_table_at(&vdi->table, block),
					entries, count * 4);
		for (uint32_t i = 0; !error && i < count; i++) {
			uint32_t number = get_le32(entries + i * 4);

			if (number < ENTRY_ZERO)
				call(ctx, block + i, number);
		}
		block += count;
	}
	free(entries);
	return error;
}

struct numbers {
	uint32_t limit, next, count;
	uint8_t *used; /* may be NULL */
};

static void count_entry(void *ctx, uint32_t block, uint32_t number)
{
	struct numbers *numbers = ctx;

	if (number >= numbers->limit)
		return;
	numbers->count++;
	if (number >= numbers->next)
		numbers->next = number + 1;
	if (numbers->used)
		numbers->used[number / 8] |= (uint8_t)(1u << number % 8);
}

/* Learns which numbers are in use, before the first new one. */
static int count_blocks(struct vdi *vdi)
{
	struct numbers numbers = { .limit = vdi->blocks };
	int error = vdi->counted ? 0 : each_entry(vdi, count_entry, &numbers);

	if (error || vdi->counted)
		return error;
	if (numbers.count != numbers.next) {
		numbers.used = calloc(1, numbers.next / 8 + 1);
		error = numbers.used ? each_entry(vdi, count_entry, &numbers)
				     : -ENOMEM;
	}
	if (error) {
		free(numbers.used);
		return error;
	}
	vdi->next = numbers.next;
	vdi->used = numbers.used;
	vdi->gap = 0;
	vdi->counted = true;
	return 0;
}

/* The lowest number in a gap, now in use; false: there is none. */
static bool take_gap(struct vdi *vdi, uint32_t *number)
{
	for (; vdi->used && vdi->gap < vdi->next; vdi->gap++) {
		*number = vdi->gap;
		if (vdi->used[*number / 8] & 1u << *number % 8)
			continue;
		vdi->used[*number / 8] |= (uint8_t)(1u << *number % 8);
		return true;
	}
	free(vdi->used);
	vdi->used = NULL;
	return false;
}

static int set_count(struct vdi *vdi)
{
	uint8_t count[4];

	put_le32(count, vdi->next);
	return disk_meta_write(&vdi->meta, AT_COUNT, count, sizeof(count));
}

/* A block of zeros in the file. */
static int take_block(struct vdi *vdi, uint32_t *number)
{
	int error;

	pthread_mutex_lock(&vdi->mutex);
	error = count_blocks(vdi);
	if (!error && !take_gap(vdi, number)) {
		*number = vdi->next;
		if (*number >= vdi->blocks)
			error = -EIO; /* two blocks have the same number */
	}
	if (!error)
		error = disk_make_room(vdi->node.file,
				       vdi->data + (uint64_t)*number *
							   vdi->table.block,
				       vdi->table.block);
	if (!error && *number == vdi->next) {
		vdi->next++;
		error = set_count(vdi);
	}
	pthread_mutex_unlock(&vdi->mutex);
	return error;
}

/* --- writing ---------------------------------------------------------------- */

static int set_entry(struct vdi *vdi, uint64_t block, uint32_t number)
{
	uint8_t entry[4];

	put_le32(entry, number);
	return disk_meta_write(&vdi->meta, disk_table_at(&vdi->table, block),
			       entry, sizeof(entry));
}

static int vdi_write(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec from)
{
	struct vdi *vdi = vdi_of(node);

	while (length) {
		uint64_t block = offset / vdi->table.block;
		uint64_t skip = offset % vdi->table.block;
		uint64_t part = vdi->table.block - skip;
		uint32_t number;
		int error = take_block(vdi, &number), late;

		if (error)
			return error;
		if (part > length)
			part = length;
		error = disk_write(node->file,
				   vdi->data +
					   (uint64_t)number * vdi->table.block +
					   skip,
				   part, from);
		/* Even if that failed: a number must not be lost. */
		late = set_entry(vdi, block, number);
		if (error || late)
			return error ? error : late;
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return 0;
}

static int vdi_flush(struct disk_node *node)
{
	return disk_meta_flush(&vdi_of(node)->meta);
}

/* --- opening ---------------------------------------------------------------- */

static bool vdi_probe(const uint8_t *head, size_t size)
{
	return size >= HEADER && get_le32(head + AT_SIGNATURE) == SIGNATURE;
}

static bool is_null(const uint8_t *uuid)
{
	static const uint8_t null[16];

	return !memcmp(uuid, null, sizeof(null));
}

static int check_kind(const uint8_t *header, struct disk_error *error)
{
	uint32_t type = get_le32(header + AT_TYPE);

	if (get_le32(header + AT_VERSION) != VERSION)
		return disk_error_set(error, -ENOTSUP, "has version %u.%u of "
				      "VDI; only 1.1 is known",
				      get_le32(header + AT_VERSION) >> 16,
				      get_le32(header + AT_VERSION) & 0xffff);
	if (type == TYPE_UNDO || type == TYPE_DIFF ||
	    !is_null(header + AT_UUID_PARENT))
		return disk_error_set(error, -ENOTSUP, "is a VDI image on a "
				      "parent image (differencing); merge it "
				      "with VBoxManage clonemedium");
	if (type != TYPE_DYNAMIC && type != TYPE_STATIC)
		return disk_error_set(error, -ENOTSUP,
				      "has the unknown VDI type %u", type);
	if (get_le32(header + AT_SECTOR_SIZE) != 512 ||
	    get_le32(header + AT_BLOCK_EXTRA))
		return disk_error_set(error, -ENOTSUP, "is a VDI image with "
				      "sectors of %u bytes and %u more in each "
				      "block; only 512 and 0 are known",
				      get_le32(header + AT_SECTOR_SIZE),
				      get_le32(header + AT_BLOCK_EXTRA));
	return 0;
}

static int bad_header(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a VDI header that makes no "
			      "sense; a damaged or truncated copy?");
}

/* Takes sizes and places from the header; they fit together then. */
static int take_header(struct vdi *vdi, const uint8_t *header,
		       struct disk_error *error)
{
	uint32_t block = get_le32(header + AT_BLOCK_SIZE);
	uint64_t size = get_le64(header + AT_DISK_SIZE);
	uint64_t file = vdi->node.file->size, end;

	vdi->blocks = get_le32(header + AT_BLOCKS);
	vdi->data = get_le32(header + AT_DATA);
	vdi->is_static = get_le32(header + AT_TYPE) == TYPE_STATIC;
	vdi->table.offset = get_le32(header + AT_TABLE);
	vdi->table.block = block;
	end = vdi->table.offset + (uint64_t)vdi->blocks * 4;
	if (block < BLOCK_MIN || block > BLOCK_MAX || block & (block - 1) ||
	    vdi->table.offset < HEADER || vdi->table.offset % 512 ||
	    vdi->data % 512 || vdi->data < end || end > file || !size ||
	    size > (uint64_t)vdi->blocks * block)
		return bad_header(error);
	if (vdi->blocks > BLOCKS_MAX)
		return disk_error_set(error, -EFBIG, "has %u blocks, more than "
				      "the %u that VDI images may have here",
				      vdi->blocks, BLOCKS_MAX);
	vdi->node.size = size & ~(uint64_t)511;
	vdi->node.cluster = block;
	return vdi->node.size ? 0 : bad_header(error);
}

static int vdi_open(struct disk_node **node, struct disk_node *file,
		    const struct disk_open *how, struct disk_error *error)
{
	uint8_t header[HEADER];
	struct vdi *vdi;
	int result = disk_read_bytes(file, 0, header, sizeof(header));

	if (result)
		return bad_header(error);
	result = check_kind(header, error);
	if (result)
		return result;
	vdi = calloc(1, sizeof(*vdi));
	if (!vdi || disk_node_init(&vdi->node, &disk_vdi, file, how)) {
		free(vdi);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	disk_meta_init(&vdi->meta, file);
	pthread_mutex_init(&vdi->mutex, NULL);
	vdi->table.meta = &vdi->meta;
	vdi->table.in = file;
	vdi->table.entry = 4;
	vdi->table.place = vdi_place;
	vdi->table.ctx = vdi;
	result = take_header(vdi, header, error);
	if (result) {
		disk_node_abandon(&vdi->node);
		return result;
	}
	*node = &vdi->node;
	return 0;
}

static void vdi_close(struct disk_node *node)
{
	struct vdi *vdi = vdi_of(node);

	free(vdi->used);
	disk_meta_fini(&vdi->meta);
	pthread_mutex_destroy(&vdi->mutex);
}

/* --- making ----------------------------------------------------------------- */

static void make_header(uint8_t *header, uint64_t size, uint32_t blocks,
			uint32_t data, bool is_static)
{
	memset(header, 0, HEADER);
	memcpy(header + AT_TEXT, text, sizeof(text) - 1);
	put_le32(header + AT_SIGNATURE, SIGNATURE);
	put_le32(header + AT_VERSION, VERSION);
	put_le32(header + AT_HEADER_SIZE, HEADER_SIZE);
	put_le32(header + AT_TYPE, is_static ? TYPE_STATIC : TYPE_DYNAMIC);
	put_le32(header + AT_TABLE, HEADER);
	put_le32(header + AT_DATA, data);
	put_le32(header + AT_SECTOR_SIZE, 512);
	put_le32(header + AT_LCHS_SECTOR_SIZE, 512);
	put_le64(header + AT_DISK_SIZE, size);
	put_le32(header + AT_BLOCK_SIZE, BLOCK);
	put_le32(header + AT_BLOCKS, blocks);
	put_le32(header + AT_COUNT, is_static ? blocks : 0);
	disk_guid_make_le(header + AT_UUID);
	disk_guid_make_le(header + AT_UUID_CHANGE);
}

static int write_table(struct disk_node *file, uint32_t blocks, bool is_static)
{
	static const uint32_t at_once = 16384;
	uint8_t *entries = malloc(at_once * 4);
	int error = entries ? 0 : -ENOMEM;

	for (uint32_t block = 0; !error && block < blocks;) {
		uint32_t count = blocks - block;

		if (count > at_once)
			count = at_once;
		for (uint32_t i = 0; i < count; i++)
			put_le32(entries + i * 4,
				 is_static ? block + i : ENTRY_FREE);
		error = disk_write_bytes(file, HEADER + (uint64_t)block * 4,
					 entries, count * 4);
		block += count;
	}
	free(entries);
	return error;
}

static int vdi_create(struct disk_node *file, const struct disk_create *how,
		      struct disk_error *error)
{
	const char *word = disk_create_option(how, "static");
	bool is_static = word && !strcmp(word, "on");
	uint64_t blocks = (how->size - 1) / BLOCK + 1, data;
	uint8_t header[HEADER];
	int result;

	if (word && !is_static && strcmp(word, "off") != 0)
		return disk_error_set(error, -EINVAL, "static=%s; give on or "
				      "off", word);
	if (blocks > BLOCKS_MAX)
		return disk_error_set(error, -EFBIG, "a VDI image has at most "
				      "%u TiB; take raw or qcow2",
				      BLOCKS_MAX >> 20);
	data = (HEADER + blocks * 4 + DATA_ALIGN - 1) &
	       ~(uint64_t)(DATA_ALIGN - 1);
	make_header(header, how->size, (uint32_t)blocks, (uint32_t)data,
		    is_static);
	result = disk_resize(file,
			     is_static ? data + blocks * BLOCK : data,
			     DISK_PREALLOC_OFF, error);
	if (result)
		return result;
	result = disk_write_bytes(file, 0, header, sizeof(header));
	if (!result)
		result = write_table(file, (uint32_t)blocks, is_static);
	return result ? disk_error_set(error, result, "cannot be written: %s",
				       strerror(-result))
		      : 0;
}

/* --- care ------------------------------------------------------------------- */

/* Both lie in one sector. */
static int set_size(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint8_t number[4], bytes[8];
	int error;

	put_le64(bytes, size);
	put_le32(number, blocks);
	error = disk_meta_write(&vdi->meta, AT_DISK_SIZE, bytes, 8);
	if (!error)
		error = disk_meta_write(&vdi->meta, AT_BLOCKS, number, 4);
	return error ? error : disk_meta_flush(&vdi->meta);
}

static int grow(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint64_t end = (uint64_t)vdi->blocks * vdi->table.block;
	int error = disk_zero_behind(&vdi->node, vdi->node.size,
				     size < end ? size : end);

	if (blocks < vdi->blocks) /* the last ones were never of use */
		blocks = vdi->blocks;
	for (uint32_t block = vdi->blocks; !error && block < blocks; block++)
		error = set_entry(vdi, block, ENTRY_FREE);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error)
		error = set_size(vdi, size, blocks);
	if (!error)
		vdi->blocks = blocks;
	return error;
}

/* --- less of it --------------------------------------------------------------- */

/* Which block has each number that is in use. */
struct owners {
	uint32_t *block; /* ENTRY_FREE: none */
	uint32_t limit;
};

static void note_owner(void *ctx, uint32_t block, uint32_t number)
{
	struct owners *owners = ctx;

	if (number < owners->limit)
		owners->block[number] = block;
}

/* A block's bytes at another number; then the block has that. */
static int move_block(struct vdi *vdi, uint32_t block, uint32_t from,
		      uint32_t to)
{
	uint32_t size = vdi->table.block;
	int error = disk_copy_room(vdi->node.file,
				   vdi->data + (uint64_t)from * size,
				   vdi->data + (uint64_t)to * size, size);

	return error ? error : set_entry(vdi, block, to);
}

/* The last ones go where numbers are free, so that there are no gaps. */
static int fill_from_end(struct vdi *vdi, struct owners *owners, uint32_t *end)
{
	uint32_t to = 0, from = owners->limit;
	int error = 0;

	while (!error) {
		while (from && owners->block[from - 1] == ENTRY_FREE)
			from--;
		while (to < from && owners->block[to] != ENTRY_FREE)
			to++;
		if (to >= from)
			break;
		error = move_block(vdi, owners->block[from - 1], from - 1, to);
		owners->block[to++] = owners->block[--from];
	}
	*end = from;
	return error ? error : disk_meta_flush(&vdi->meta);
}

/* Blocks without gaps, and the file ends behind the last. */
static int compact(struct vdi *vdi)
{
	uint64_t room = (vdi->node.file->size - vdi->data) / vdi->table.block;
	struct owners owners = { .limit = (uint32_t)room };
	uint32_t end = 0;
	int error;

	if (room > BLOCKS_MAX)
		return -EFBIG;
	owners.block = malloc((room + 1) * sizeof(*owners.block));
	if (!owners.block)
		return -ENOMEM;
	memset(owners.block, 0xff, (room + 1) * sizeof(*owners.block));
	error = each_entry(vdi, note_owner, &owners);
	if (!error)
		error = fill_from_end(vdi, &owners, &end);
	free(owners.block);
	free(vdi->used);
	vdi->used = NULL;
	vdi->counted = false;
	if (!error)
		error = count_blocks(vdi);
	if (!error)
		error = set_count(vdi);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	return error ? error
		     : disk_resize(vdi->node.file,
				   vdi->data + (uint64_t)end * vdi->table.block,
				   DISK_PREALLOC_OFF, NULL);
}

/* The disk is smaller before its blocks go. */
static int shrink(struct vdi *vdi, uint64_t size, uint32_t blocks)
{
	uint32_t old = vdi->blocks;
	int error = set_size(vdi, size, old);

	for (uint32_t block = blocks; !error && block < old; block++)
		error = set_entry(vdi, block, ENTRY_FREE);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	/* Numbers are below the count of blocks. */
	if (!error)
		error = compact(vdi);
	if (!error)
		error = set_size(vdi, size, blocks);
	if (!error)
		vdi->blocks = blocks;
	return error;
}

static int vdi_resize(struct disk_node *node, uint64_t size,
		      enum disk_preallocation prealloc,
		      struct disk_error *error)
{
	struct vdi *vdi = vdi_of(node);
	uint64_t room = (vdi->data - vdi->table.offset) / 4;
	uint64_t blocks = (size - 1) / vdi->table.block + 1;
	int result;

	if (prealloc != DISK_PREALLOC_OFF)
		return disk_error_set(error, -ENOTSUP, "is a VDI image, which "
				      "grows without preallocation only");
	if (blocks > room || blocks > BLOCKS_MAX)
		return disk_error_set(error, -ENOTSUP, "has a table with room "
				      "for %llu MiB; convert it to grow more",
				      (unsigned long long)(room *
							   vdi->table.block >>
							   20));
	result = size < node->size ? shrink(vdi, size, (uint32_t)blocks)
				   : grow(vdi, size, (uint32_t)blocks);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	node->size = size;
	return 0;
}

struct finding {
	struct vdi *vdi;
	struct disk_check *check;
	bool repair;
	int error;
	uint8_t *used;
	uint32_t next, count;
};

static void check_entry(void *ctx, uint32_t block, uint32_t number)
{
	struct finding *find = ctx;
	struct vdi *vdi = find->vdi;
	struct disk_place place;
	uint8_t entry[4];

	put_le32(entry, number);
	if (vdi_place(vdi, entry, &place)) {
		disk_check_say(find->check, "block %u: its number %u lies outside of the "
		    "file", block, number);
		find->check->corruptions++;
		if (find->repair && !find->error) {
			find->error = set_entry(vdi, block, ENTRY_FREE);
			find->check->corruptions_fixed += !find->error;
		}
		return;
	}
	find->check->allocated++;
	if (find->used[number / 8] & 1u << number % 8) {
		disk_check_say(find->check, "block %u: another block has its number %u, "
		    "too", block, number);
		find->check->corruptions++;
		return;
	}
	find->used[number / 8] |= (uint8_t)(1u << number % 8);
	find->count++;
	if (number >= find->next)
		find->next = number + 1;
}

/* Gives the numbers in gaps to blocks of zeros. */
static int fill_gaps(struct vdi *vdi)
{
	uint32_t block = 0, number;
	int error = 0;

	while (!error && take_gap(vdi, &number)) {
		uint64_t at = vdi->data + (uint64_t)number * vdi->table.block;
		uint8_t entry[4] = { 0 };

		for (; block < vdi->blocks; block++) {
			error = disk_meta_read(
				&vdi->meta, disk_table_at(&vdi->table, block),
				entry, sizeof(entry), 0);
			if (error || get_le32(entry) >= ENTRY_ZERO)
				break;
		}
		if (!error && block == vdi->blocks)
			break;
		if (!error)
			error = disk_make_room(vdi->node.file, at,
					       vdi->table.block);
		if (!error)
			error = set_entry(vdi, block++, number);
	}
	return error;
}

/* What is not as the numbers in use say: the count, the file's end, gaps. */
static int check_numbers(struct finding *find)
{
	struct vdi *vdi = find->vdi;
	struct disk_check *check = find->check;
	uint64_t end = vdi->data + (uint64_t)find->next * vdi->table.block;
	uint64_t size = vdi->node.file->size, leaks;
	uint8_t count[4];
	int error = disk_meta_read(&vdi->meta, AT_COUNT, count, 4, 0);

	if (error)
		return error;
	leaks = size > end ? (size - end) / vdi->table.block : 0;
	leaks += find->next - find->count;
	if (leaks)
		disk_check_say(check, "%llu blocks of the file are in no use",
		    (unsigned long long)leaks);
	if (get_le32(count) != find->next)
		disk_check_say(check, "the header counts %u blocks, the table %u",
		    get_le32(count), find->next);
	check->leaks += leaks + (get_le32(count) != find->next);
	if (!find->repair)
		return 0;
	free(vdi->used);
	vdi->used = NULL;
	vdi->counted = false;
	error = disk_meta_flush(&vdi->meta);
	if (!error)
		error = count_blocks(vdi);
	if (!error)
		error = fill_gaps(vdi);
	if (!error)
		error = set_count(vdi);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error && size > end)
		error = disk_resize(vdi->node.file, end, DISK_PREALLOC_OFF,
				    NULL);
	if (!error)
		check->leaks_fixed += leaks + (get_le32(count) != find->next);
	return error;
}

static int vdi_check(struct disk_node *node, bool repair,
		     struct disk_check *check, struct disk_error *error)
{
	struct vdi *vdi = vdi_of(node);
	struct finding find = { .vdi = vdi, .check = check, .repair = repair };
	int result = node->readonly ? 0 : disk_meta_flush(&vdi->meta);

	find.used = calloc(1, vdi->blocks / 8 + 1);
	if (!find.used)
		result = -ENOMEM;
	check->clusters = vdi->blocks;
	if (!result)
		result = each_entry(vdi, check_entry, &find);
	if (!result)
		result = find.error;
	if (!result)
		result = check_numbers(&find);
	free(find.used);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static json_t *vdi_info(struct disk_node *node)
{
	const struct vdi *vdi = vdi_of(node);

	return json_pack("{ss}", "subformat",
			 vdi->is_static ? "static" : "dynamic");
}

static const struct disk_option vdi_options[] = {
	{ "static", "on|off: all blocks have their place (default: off)" },
	{ NULL, NULL },
};

const struct disk_driver disk_vdi = {
	.name = "vdi",
	.title = "VDI",
	.suffixes = ".vdi",
	.options = vdi_options,
	.probe = vdi_probe,
	.open = vdi_open,
	.create = vdi_create,
	.close = vdi_close,
	.map = vdi_map,
	.write = vdi_write,
	.zero = disk_extents_zero,
	.discard = disk_extents_discard,
	.flush = vdi_flush,
	.resize = vdi_resize,
	.info = vdi_info,
	.check = vdi_check,
};
