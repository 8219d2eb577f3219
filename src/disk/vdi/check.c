/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of VDI images: numbers that lie outside of the file or are used twice,
 * gaps, the header's count, room at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/vdi/vdi.h"
#include "disk/wire.h"

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
		disk_check_say(find->check, "block %u: its number %u lies "
			       "outside of the file", block, number);
		find->check->corruptions++;
		if (find->repair && !find->error) {
			find->error = vdi_set_entry(vdi, block, VDI_FREE);
			find->check->corruptions_fixed += !find->error;
		}
		return;
	}
	find->check->allocated++;
	if (find->used[number / 8] & 1u << number % 8) {
		disk_check_say(find->check, "block %u: another block has its "
			       "number %u, too", block, number);
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

	while (!error && vdi_take_gap(vdi, &number)) {
		uint64_t at = vdi->data + (uint64_t)number * vdi->table.block;
		uint8_t entry[4] = { 0 };

		for (; block < vdi->blocks; block++) {
			error = disk_meta_read(
				&vdi->meta, disk_table_at(&vdi->table, block),
				entry, sizeof(entry), 0);
			if (error || get_le32(entry) >= VDI_ZERO)
				break;
		}
		if (!error && block == vdi->blocks)
			break;
		if (!error)
			error = disk_make_room(vdi->node.file, at,
					       vdi->table.block);
		if (!error)
			error = vdi_set_entry(vdi, block++, number);
	}
	return error;
}

/* What is not as the numbers in use say: the count, the file's end, gaps, and
 * those that a growth to a longer table left behind all. */
static int check_numbers(struct finding *find)
{
	struct vdi *vdi = find->vdi;
	struct disk_check *check = find->check;
	uint64_t end = vdi->data + (uint64_t)find->next * vdi->table.block;
	uint64_t size = vdi->node.file->size, leaks;
	uint32_t beyond = find->next > vdi->blocks ? find->next - vdi->blocks
						   : 0;
	uint8_t count[4];
	int error = disk_meta_read(&vdi->meta, VDI_AT_COUNT, count, 4, 0);

	if (error)
		return error;
	leaks = size > end ? (size - end) / vdi->table.block : 0;
	leaks += find->next - find->count;
	if (leaks)
		disk_check_say(check, "%llu blocks of the file are in no use",
			       (unsigned long long)leaks);
	if (get_le32(count) != find->next)
		disk_check_say(check, "the header counts %u blocks, the table "
			       "%u", get_le32(count), find->next);
	if (beyond)
		disk_check_say(check, "%u numbers are more than the disk has "
			       "blocks", beyond);
	leaks += beyond;
	check->leaks += leaks + (get_le32(count) != find->next);
	if (!find->repair)
		return 0;
	vdi_forget_count(vdi);
	error = disk_meta_flush(&vdi->meta);
	if (!error)
		error = vdi_count(vdi);
	if (!error && find->next > vdi->blocks)
		error = vdi_compact(vdi);
	else if (!error)
		error = fill_gaps(vdi);
	if (!error)
		error = vdi_set_count(vdi);
	if (!error)
		error = disk_meta_flush(&vdi->meta);
	if (!error && vdi->node.file->size > end)
		error = disk_resize(vdi->node.file, end, DISK_PREALLOC_OFF,
				    NULL);
	if (!error)
		check->leaks_fixed += leaks + (get_le32(count) != find->next);
	return error;
}

int vdi_check(struct disk_node *node, bool repair, struct disk_check *check,
	      struct disk_error *error)
{
	struct vdi *vdi = vdi_of(node);
	struct finding find = { .vdi = vdi, .check = check, .repair = repair };
	int result = node->readonly ? 0 : disk_meta_flush(&vdi->meta);

	find.used = calloc(1, vdi_numbers(vdi) / 8 + 1);
	if (!find.used)
		result = -ENOMEM;
	check->clusters = vdi->blocks;
	if (!result)
		result = vdi_each_entry(vdi, check_entry, &find);
	if (!result)
		result = find.error;
	if (!result)
		result = check_numbers(&find);
	free(find.used);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}
