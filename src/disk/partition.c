/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/partition.h"

#include <errno.h>
#include <string.h>

#include "disk/wire.h"

#define SECTOR	     512u
#define MBR_TABLE    446u
#define MBR_ENTRIES  4u
#define MBR_ENTRY    16u
#define GPT_ENTRIES  1024u /* more are not looked at; the usual number is 128 */
#define GPT_ENTRY_MAX 4096u
/* Partitions of ISO images end on whole cylinders of 64 heads, 32 sectors. */
#define SLACK (1u << 20)

static uint64_t gpt_end(struct disk_node *node)
{
	uint8_t header[SECTOR], entry[128];
	uint64_t table, end = 0;
	uint32_t count, size;

	if (disk_read_bytes(node, SECTOR, header, sizeof(header)) ||
	    memcmp(header, "EFI PART", 8))
		return 0;
	table = get_le64(header + 72);
	count = get_le32(header + 80);
	size = get_le32(header + 84);
	if (size < sizeof(entry) || size > GPT_ENTRY_MAX ||
	    table > node->size / SECTOR)
		return 0;
	for (uint32_t i = 0; i < count && i < GPT_ENTRIES; i++) {
		static const uint8_t unused[16];
		uint64_t last;

		if (disk_read_bytes(node, table * SECTOR + (uint64_t)i * size,
				    entry, sizeof(entry)))
			break;
		last = get_le64(entry + 40);
		if (memcmp(entry, unused, 16) &&
		    last < UINT64_MAX / SECTOR && (last + 1) * SECTOR > end)
			end = (last + 1) * SECTOR;
	}
	/* The second table stands behind the partitions: 33 sectors. */
	return end ? end + 33 * SECTOR : 0;
}

/* The boot sector of a file system ends alike, but has code there. */
static bool is_table(const uint8_t *mbr)
{
	for (unsigned int i = 0; i < MBR_ENTRIES; i++)
		if (mbr[MBR_TABLE + i * MBR_ENTRY] & 0x7f)
			return false;
	return mbr[510] == 0x55 && mbr[511] == 0xaa;
}

uint64_t disk_partitions_end(struct disk_node *node)
{
	uint8_t mbr[SECTOR];
	uint64_t end = 0;

	if (disk_read_bytes(node, 0, mbr, sizeof(mbr)) || !is_table(mbr))
		return 0;
	for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
		const uint8_t *entry = mbr + MBR_TABLE + i * MBR_ENTRY;
		uint64_t last = (uint64_t)get_le32(entry + 8) +
				get_le32(entry + 12);

		if (entry[4] == 0xee) /* protects a GPT */
			return gpt_end(node);
		if (entry[4] && last * SECTOR > end)
			end = last * SECTOR;
	}
	return end;
}

int disk_partitions_fit(struct disk_node *node, struct disk_error *error)
{
	uint64_t end = disk_partitions_end(node), size = node->size;

	if (end <= size + SLACK)
		return 0;
	return disk_error_set(error, -EINVAL, "has %llu MiB and partitions up "
			      "to %llu MiB, as a copy that was cut; copy it "
			      "again, or give it that size: lodge disk resize",
			      (unsigned long long)(size >> 20),
			      (unsigned long long)(end >> 20));
}
