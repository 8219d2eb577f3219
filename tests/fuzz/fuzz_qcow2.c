/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged qcow2 images: one that is sound, with snapshots, compressed clusters
 * and a bitmap's worth of tables, some of whose bytes are others. It must be
 * refused or served, checked and mended in bounded time, whatever they say.
 */
#include <stdlib.h>
#include <string.h>

#include "fake/disk.h"
#include "fuzz_device.h"
#include "vm/host.h"

#define SIZE	   (1u << 20)
#define CLUSTER	   4096u
#define TABLES_END (48u << 10) /* where most of the tables lie */

static const struct disk_open how = { .path = "fake", .format = "qcow2",
				      .alone = true };

static struct disk_node *open_leaf(struct fake_disk *disk)
{
	struct disk_node *leaf = fake_disk_open(disk);

	/* What an image names is not to be found. */
	free(leaf->name);
	leaf->name = strdup("/nonexistent/fuzz");
	return leaf;
}

static struct disk_node *open_image(struct fake_disk *disk,
				    const struct disk_open *open)
{
	struct disk_node *leaf = open_leaf(disk), *image;
	struct disk_error error;

	if (!disk_open_on(&image, leaf, open, &error))
		return image;
	disk_close(leaf);
	return NULL;
}

static void fill_image(struct disk_node *image)
{
	static uint8_t bytes[6 * CLUSTER];
	const struct span span = { bytes, CLUSTER };
	struct disk_error error;

	memset(bytes, 0x5a, sizeof(bytes));
	bug_on(disk_write_bytes(image, 3000, bytes, sizeof(bytes)));
	bug_on(disk_snapshot_create(image, "one", &error));
	bug_on(disk_write_bytes(image, 9000, bytes, 5000));
	for (unsigned int i = 0; i < 3; i++)
		bug_on(disk_write_packed(image, SIZE / 2 + i * CLUSTER,
					 CLUSTER,
					 (struct disk_vec){ &span, 1, 0 }));
	bug_on(disk_zero(image, 100 * CLUSTER, 3 * CLUSTER, 0));
}

/* The sound image's bytes, made once. */
static const uint8_t *sound_image(size_t *size)
{
	static const char *const options[] = { "cluster_size=4096" };
	const struct disk_create create = { .path = "fake", .size = SIZE,
					    .format = "qcow2",
					    .options = options,
					    .option_count = 1 };
	static uint8_t *bytes;
	static size_t length;
	struct fake_disk *disk;
	struct disk_node *node;
	struct disk_error error;

	if (!bytes) {
		disk = fake_disk_create();
		node = open_leaf(disk);
		bug_on(disk_create_on(node, &create, &error));
		disk_close(node);
		node = open_image(disk, &how);
		bug_on(!node);
		fill_image(node);
		disk_close(node);
		node = open_leaf(disk);
		length = node->size;
		bytes = malloc(length);
		bug_on(!bytes || disk_read_bytes(node, 0, bytes, length));
		disk_close(node);
		fake_disk_free(disk);
	}
	*size = length;
	return bytes;
}

/* A byte, or a whole entry, of the header or of any table. */
static void damage(uint8_t *bytes, size_t size, struct words *words)
{
	uint64_t kind = next_word(words, 1), value = next_word(words, 2);
	size_t at = next_word(words, 2);

	if (kind & 1) /* of the header */
		at %= 200;
	else if (kind & 2)
		at = (at * 8) % TABLES_END;
	else
		at = (at * 8) % (size - 8);
	switch (kind >> 2 & 3) {
	case 0:
		bytes[at] = (uint8_t)value;
		break;
	case 1:
		bytes[at] ^= (uint8_t)(1u << (value & 7));
		break;
	case 2: /* an entry that refers to any cluster */
		memset(bytes + at, 0, 8);
		bytes[at] = (uint8_t)(value >> 8 & 0xc0);
		bytes[at + 6] = (uint8_t)(value << 4);
		bytes[at + 5] = (uint8_t)(value >> 4 & 1);
		break;
	default:
		memset(bytes + at, value & 1 ? 0xff : 0, 8);
	}
}

static void use(struct disk_node *image, struct words *words)
{
	uint8_t bytes[3 * CLUSTER];
	struct disk_snapshot *list;
	struct disk_error error;
	unsigned int count;

	for (unsigned int i = 0; i < 12; i++) {
		uint64_t size = image->size, length = 1 + next_word(words, 2);
		uint64_t offset = next_word(words, 2) * 512;

		if (length > sizeof(bytes))
			length = sizeof(bytes);
		if (length > size)
			continue;
		offset %= size - length + 1;
		switch (next_word(words, 1) % 6) {
		case 0:
			disk_zero(image, offset, length, DISK_UNMAP);
			break;
		case 1:
			disk_discard(image, offset, length);
			break;
		case 2:
			disk_flush(image);
			break;
		case 3:
			disk_read_bytes(image, offset, bytes, length);
			break;
		default:
			memset(bytes, 1, sizeof(bytes));
			disk_write_bytes(image, offset, bytes, length);
		}
	}
	if (!disk_snapshot_list(image, &list, &count))
		free(list);
	if (next_word(words, 1) & 1)
		disk_snapshot_apply(image, "one", &error);
	if (next_word(words, 1) & 1)
		disk_snapshot_delete(image, "one", &error);
	json_decref(disk_info(image));
}

/* Checked and mended, it is sound. */
static void mend(struct fake_disk *disk)
{
	struct disk_open open = how;
	struct disk_check check = { 0 };
	struct disk_error error;
	struct disk_node *image;
	int result;

	open.repair = true;
	image = open_image(disk, &open);
	if (!image)
		return;
	result = disk_check(image, true, &check, &error);
	if (!result && check.corruptions == check.corruptions_fixed) {
		check = (struct disk_check){ 0 };
		bug_on(disk_check(image, false, &check, &error));
		bug_on(check.corruptions || check.leaks);
	}
	disk_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words words = { data, size };
	struct fake_disk *disk = fake_disk_create();
	struct disk_node *leaf = open_leaf(disk), *image;
	size_t length;
	const uint8_t *sound = sound_image(&length);
	uint8_t *bytes = malloc(length);
	unsigned int damages = 1 + (unsigned int)next_word(&words, 1) % 6;

	bug_on(!bytes);
	memcpy(bytes, sound, length);
	while (damages--)
		damage(bytes, length, &words);
	bug_on(disk_write_bytes(leaf, 0, bytes, length));
	free(bytes);
	disk_close(leaf);
	image = open_image(disk, &how);
	if (image) {
		use(image, &words);
		disk_close(image);
	}
	mend(disk);
	fake_disk_free(disk);
	return 0;
}
