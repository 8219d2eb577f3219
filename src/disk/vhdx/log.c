/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHDX's log, section 2.3: entries of pages that are to lie elsewhere in the
 * file, written there only when the entry is on the disk.
 *
 * Ours has one entry for each flush, in either half of the log by turns: the
 * last one stays whole while the next is written, and each begins a sequence
 * of its own, since what came before it is done. The log ends, by a header
 * that names none, when the image is closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crc32c.h"
#include "disk/guid.h"
#include "disk/vhdx/vhdx.h"
#include "disk/wire.h"

#define HEAD	    64u /* bytes of an entry's header */
#define DESCRIPTOR  32u
#define LEAD	    8u /* bytes of a page that its descriptor has */
#define TRAIL	    4u

/* Places in an entry's header. */
enum {
	AT_SUM = 4,
	AT_LENGTH = 8,
	AT_TAIL = 12,
	AT_SEQUENCE = 16,
	AT_COUNT = 24,
	AT_GUID = 32,
	AT_FLUSHED = 48,
	AT_LAST = 56,
};

/* Sectors that so many descriptors take with the header. */
static uint32_t head_sectors(uint32_t count)
{
	return (uint32_t)(((uint64_t)count * DESCRIPTOR + HEAD + VHDX_SECTOR -
			   1) / VHDX_SECTOR);
}

/* --- writing ---------------------------------------------------------------- */

unsigned int vhdx_log_pages(const struct vhdx *vhdx)
{
	uint32_t sectors = (uint32_t)(vhdx->log.length / VHDX_SECTOR / 2);
	uint32_t pages = sectors - 1;

	while (pages + head_sectors(pages) > sectors)
		pages--;
	return pages;
}

static void put_page(uint8_t *descriptor, uint8_t *sector,
		     const struct disk_meta_page *page, uint64_t sequence)
{
	memcpy(descriptor, "desc", 4);
	memcpy(descriptor + 4, page->bytes + META_PAGE - TRAIL, TRAIL);
	memcpy(descriptor + 8, page->bytes, LEAD);
	put_le64(descriptor + 16, page->offset);
	put_le64(descriptor + 24, sequence);
	memcpy(sector, "data", 4);
	put_le32(sector + 4, (uint32_t)(sequence >> 32));
	memcpy(sector + LEAD, page->bytes + LEAD, META_PAGE - LEAD - TRAIL);
	put_le32(sector + META_PAGE - TRAIL, (uint32_t)sequence);
}

static void put_head(struct vhdx *vhdx, uint8_t *entry, uint32_t length,
		     uint32_t at, uint32_t count)
{
	memcpy(entry, "loge", 4);
	put_le32(entry + AT_LENGTH, length);
	put_le32(entry + AT_TAIL, at);
	put_le64(entry + AT_SEQUENCE, vhdx->log_sequence);
	put_le32(entry + AT_COUNT, count);
	memcpy(entry + AT_GUID, vhdx->header + VHDX_AT_LOG_GUID, 16);
	put_le64(entry + AT_FLUSHED, vhdx->meta.stable);
	put_le64(entry + AT_LAST, vhdx->meta.stable);
	put_le32(entry + AT_SUM, crc32c_around(entry, length, AT_SUM));
}

static int write_entry(struct vhdx *vhdx, struct disk_meta_page *const *page,
		       uint32_t count)
{
	uint32_t heads = head_sectors(count);
	uint32_t length = (heads + count) * VHDX_SECTOR;
	uint32_t at = (uint32_t)(vhdx->log.length / 2 * vhdx->log_slot);
	uint8_t *entry = calloc(1, length);
	int error;

	if (!entry)
		return -ENOMEM;
	vhdx->log_sequence++;
	for (uint32_t i = 0; i < count; i++)
		put_page(entry + HEAD + i * DESCRIPTOR,
			 entry + (heads + i) * VHDX_SECTOR, page[i],
			 vhdx->log_sequence);
	put_head(vhdx, entry, length, at, count);
	error = disk_write_bytes(vhdx->node.file, vhdx->log.at + at, entry,
				 length);
	free(entry);
	if (!error)
		error = disk_flush(vhdx->node.file);
	if (!error)
		vhdx->log_slot = 1 - vhdx->log_slot;
	return error;
}

int vhdx_log_write(void *ctx, struct disk_meta_page *const *page,
		   unsigned int count)
{
	struct vhdx *vhdx = ctx;
	uint8_t guid[16];
	bool begins;
	int error;

	pthread_mutex_lock(&vhdx->change);
	begins = vhdx_is_null(vhdx->header + VHDX_AT_LOG_GUID);
	memcpy(guid, vhdx->header + VHDX_AT_LOG_GUID, 16);
	if (begins)
		disk_guid_make_le(vhdx->header + VHDX_AT_LOG_GUID);
	error = write_entry(vhdx, page, count);
	/* The header names the log when there is an entry in it. */
	if (!error && begins)
		error = vhdx_write_header(vhdx);
	if (error && begins)
		memcpy(vhdx->header + VHDX_AT_LOG_GUID, guid, 16);
	pthread_mutex_unlock(&vhdx->change);
	return error;
}

int vhdx_log_end(struct vhdx *vhdx)
{
	int error = 0;

	pthread_mutex_lock(&vhdx->change);
	if (!vhdx_is_null(vhdx->header + VHDX_AT_LOG_GUID)) {
		memset(vhdx->header + VHDX_AT_LOG_GUID, 0, 16);
		error = vhdx_write_header(vhdx);
	}
	pthread_mutex_unlock(&vhdx->change);
	return error;
}

/* --- reading ---------------------------------------------------------------- */

struct log {
	struct vhdx *vhdx;
	uint8_t *bytes;
	uint32_t sectors;
};

/* What is known of an entry that is whole. */
struct entry {
	uint32_t at, sectors, tail; /* sectors of the log */
	uint32_t count;
	uint64_t sequence;
};

static uint8_t *sector_at(const struct log *log, uint32_t sector)
{
	return log->bytes + (uint64_t)(sector % log->sectors) * VHDX_SECTOR;
}

static uint8_t *descriptor_at(const struct log *log, const struct entry *entry,
			      uint32_t index)
{
	uint32_t bytes = HEAD + index * DESCRIPTOR;

	return sector_at(log, entry->at + bytes / VHDX_SECTOR) +
	       bytes % VHDX_SECTOR;
}

static bool whole_sum(const struct log *log, const struct entry *entry)
{
	static const uint8_t zeros[4];
	const uint8_t *head = sector_at(log, entry->at);
	uint32_t crc = crc32c_more(~0u, head, AT_SUM);

	crc = crc32c_more(crc, zeros, 4);
	crc = crc32c_more(crc, head + AT_SUM + 4, VHDX_SECTOR - AT_SUM - 4);
	for (uint32_t i = 1; i < entry->sectors; i++)
		crc = crc32c_more(crc, sector_at(log, entry->at + i),
				  VHDX_SECTOR);
	return ~crc == get_le32(head + AT_SUM);
}

/* Every descriptor and every sector of data is this entry's. Ends at the first
 * that is not, so that a log of many heads is looked through once. */
static bool whole_parts(const struct log *log, const struct entry *entry)
{
	uint32_t data = entry->at + head_sectors(entry->count);
	uint32_t end = entry->at + entry->sectors;

	for (uint32_t i = 0; i < entry->count; i++) {
		const uint8_t *descriptor = descriptor_at(log, entry, i);
		const uint8_t *sector = sector_at(log, data);

		if (get_le64(descriptor + 24) != entry->sequence)
			return false;
		if (!memcmp(descriptor, "zero", 4))
			continue;
		if (memcmp(descriptor, "desc", 4) != 0 || data++ == end ||
		    memcmp(sector, "data", 4) != 0 ||
		    get_le32(sector + 4) != entry->sequence >> 32 ||
		    get_le32(sector + META_PAGE - TRAIL) !=
			    (uint32_t)entry->sequence)
			return false;
	}
	return data == end;
}

static bool read_entry(const struct log *log, uint32_t at, struct entry *entry)
{
	const uint8_t *head = sector_at(log, at);
	uint32_t length = get_le32(head + AT_LENGTH);
	uint32_t tail = get_le32(head + AT_TAIL);

	entry->at = at % log->sectors;
	entry->sectors = length / VHDX_SECTOR;
	entry->tail = tail / VHDX_SECTOR;
	entry->count = get_le32(head + AT_COUNT);
	entry->sequence = get_le64(head + AT_SEQUENCE);
	if (memcmp(head, "loge", 4) != 0 || !entry->sequence ||
	    memcmp(head + AT_GUID, log->vhdx->header + VHDX_AT_LOG_GUID, 16) ||
	    !length || length % VHDX_SECTOR || tail % VHDX_SECTOR ||
	    entry->sectors > log->sectors || entry->tail >= log->sectors ||
	    entry->count > log->sectors * (VHDX_SECTOR / DESCRIPTOR) ||
	    head_sectors(entry->count) > entry->sectors)
		return false;
	return whole_parts(log, entry) && whole_sum(log, entry);
}

/* The sequence of entries from `first` on: its last one. Whether that one's
 * tail is among them. `used`: sectors that it goes over. */
static bool follow(const struct log *log, const struct entry *first,
		   struct entry *last, uint32_t *used)
{
	bool has_tail = false;
	struct entry next = *first;

	*used = 0;
	do {
		*last = next;
		*used += next.sectors;
	} while (*used < log->sectors &&
		 read_entry(log, last->at + last->sectors, &next) &&
		 next.sequence == last->sequence + 1 &&
		 *used + next.sectors <= log->sectors);
	for (uint32_t at = first->at, i = 0; i < *used;) {
		struct entry entry = {
			.sectors = get_le32(sector_at(log, at) + AT_LENGTH) /
				   VHDX_SECTOR,
		};

		has_tail |= at % log->sectors == last->tail;
		at += entry.sectors;
		i += entry.sectors;
	}
	return has_tail;
}

/* The newest sequence that is whole: its last entry. */
static bool find_newest(const struct log *log, struct entry *newest)
{
	bool found = false;

	for (uint32_t at = 0; at < log->sectors;) {
		struct entry first, last;
		uint32_t used = 1;

		if (read_entry(log, at, &first) &&
		    follow(log, &first, &last, &used) &&
		    (!found || last.sequence > newest->sequence)) {
			*newest = last;
			found = true;
		}
		at += used;
	}
	return found;
}

/* --- replaying -------------------------------------------------------------- */

static int replay_data(const struct log *log, const uint8_t *descriptor,
		       const uint8_t *sector)
{
	uint64_t at = get_le64(descriptor + 16);
	uint8_t page[META_PAGE];

	if (at % META_PAGE || at > VHDX_PLACE_MAX)
		return -EINVAL;
	memcpy(page, descriptor + 8, LEAD);
	memcpy(page + LEAD, sector + LEAD, META_PAGE - LEAD - TRAIL);
	memcpy(page + META_PAGE - TRAIL, descriptor + 4, TRAIL);
	return disk_write_bytes(log->vhdx->node.file, at, page, sizeof(page));
}

static int replay_zeros(const struct log *log, const uint8_t *descriptor)
{
	uint64_t length = get_le64(descriptor + 8);
	uint64_t at = get_le64(descriptor + 16);
	uint64_t size = log->vhdx->node.file->size;

	if (at % META_PAGE || length % META_PAGE || at > VHDX_PLACE_MAX ||
	    length > VHDX_PLACE_MAX)
		return -EINVAL;
	if (at >= size)
		return 0; /* will read as zeros */
	if (length > size - at)
		length = size - at;
	return disk_zero(log->vhdx->node.file, at, length, DISK_UNMAP);
}

/* The file is as long as it was, or as it has to be. */
static int replay_length(const struct log *log, const struct entry *entry)
{
	const uint8_t *head = sector_at(log, entry->at);
	uint64_t last = get_le64(head + AT_LAST);
	struct disk_node *file = log->vhdx->node.file;

	if (file->size < get_le64(head + AT_FLUSHED) || last > VHDX_PLACE_MAX)
		return -EINVAL;
	return file->size < last
		       ? disk_resize(file, last, DISK_PREALLOC_OFF, NULL)
		       : 0;
}

static int replay_entry(const struct log *log, const struct entry *entry)
{
	uint32_t data = entry->at + head_sectors(entry->count);
	int error = replay_length(log, entry);

	for (uint32_t i = 0; !error && i < entry->count; i++) {
		const uint8_t *descriptor = descriptor_at(log, entry, i);

		if (!memcmp(descriptor, "zero", 4))
			error = replay_zeros(log, descriptor);
		else
			error = replay_data(log, descriptor,
					    sector_at(log, data++));
	}
	return error;
}

/* From the tail of the newest entry to that entry. */
static int replay_all(const struct log *log, const struct entry *newest)
{
	uint32_t at = newest->tail;
	struct entry entry;
	int error;

	do {
		if (!read_entry(log, at, &entry))
			return -EINVAL;
		error = replay_entry(log, &entry);
		at = entry.at + entry.sectors;
	} while (!error && entry.sequence != newest->sequence);
	return error ? error : disk_flush(log->vhdx->node.file);
}

int vhdx_replay(struct vhdx *vhdx, struct disk_error *error)
{
	struct log log = { .vhdx = vhdx };
	struct entry newest = { 0 };
	int result;

	if (vhdx_is_null(vhdx->header + VHDX_AT_LOG_GUID))
		return 0;
	if (vhdx->node.readonly)
		return disk_error_set(error, -EROFS, "was not closed, and its "
				      "log has changes that belong in it; open "
				      "it for writing once, as lodge disk "
				      "check --repair does");
	log.sectors = (uint32_t)(vhdx->log.length / VHDX_SECTOR);
	log.bytes = malloc(vhdx->log.length);
	if (!log.bytes)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = disk_read_bytes(vhdx->node.file, vhdx->log.at, log.bytes,
				 vhdx->log.length);
	if (!result)
		result = find_newest(&log, &newest)
				 ? replay_all(&log, &newest)
				 : -EINVAL;
	free(log.bytes);
	if (!result)
		result = vhdx_log_end(vhdx);
	if (!result)
		return 0;
	return disk_error_set(error, result, "was not closed, and its log %s",
			      result == -EINVAL ? "makes no sense; a damaged "
						  "or truncated copy?"
						: strerror(-result));
}
