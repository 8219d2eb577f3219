/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes image formats with images whose tables somebody has changed: the
 * input says which format, and what lies where in the file instead. All that
 * is then asked of the image must end soon and touch nothing but the file.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/file.h"
#include "disk/node.h"
#include "disk/zeros.h"

#define SIZE	  (6u << 20)
#define PAGE	  4096u
#define FILE_MOST (64ull << 20)

static struct kind {
	const char *format, *option;
	const char *backing; /* what it is made on; then not there */
	bool packed; /* written once, front to back */
	uint8_t *bytes; /* a small image with some content */
	size_t size;
} kinds[] = {
	{ .format = "vdi" },
	{ .format = "vhd" },
	{ .format = "vhd", .option = "subformat=fixed" },
	{ .format = "vmdk" },
	{ .format = "vhdx", .option = "block_size=1M" },
	{ .format = "vmdk", .option = "subformat=streamOptimized",
	  .packed = true },
	{ .format = "vhd", .backing = "lodge-fuzz-base.vhd" },
	{ .format = "vhdx", .backing = "lodge-fuzz-base.vhdx" },
};

static struct disk_node *make_memory(void)
{
	struct disk_node *file;

	if (disk_memory_open(&file, NULL))
		abort();
	return file;
}

/* Two grains of it. */
static int write_content(struct disk_node *node, bool packed)
{
	static const char text[64 << 10] = "content";
	const struct span span = { (void *)text, sizeof(text) };
	const struct disk_vec vec = { &span, 1, 0 };
	int error;

	if (!packed) {
		error = disk_write_bytes(node, 3 << 20, text, 7);
		return error ? error : disk_write_bytes(node, 4096, text, 7);
	}
	error = disk_write_packed(node, 64 << 10, sizeof(text), vec);
	return error ? error
		     : disk_write_packed(node, 3 << 20, sizeof(text), vec);
}

static void make_image(struct kind *kind)
{
	const struct disk_create create = {
		.path = "fuzz", .format = kind->format, .size = SIZE,
		.options = &kind->option, .option_count = kind->option != NULL,
		.backing = kind->backing,
	};
	const struct disk_open open = { .path = "fuzz",
					.format = kind->format,
					.alone = true };
	const struct disk_create base = { .path = kind->backing,
					  .format = kind->format,
					  .size = SIZE };
	struct disk_node *file = make_memory(), *node;

	if ((kind->backing && disk_create(&base, NULL)) ||
	    disk_create_on(file, &create, NULL) ||
	    disk_open_on(&node, file, &open, NULL) ||
	    write_content(node, kind->packed) || disk_flush(node))
		abort();
	if (kind->backing)
		unlink(kind->backing);
	kind->size = node->file->size;
	kind->bytes = malloc(kind->size);
	if (!kind->bytes ||
	    disk_read_bytes(node->file, 0, kind->bytes, kind->size))
		abort();
	disk_close(node);
}

/* The image, as sparse as it was. */
static void fill_file(struct disk_node *file, const struct kind *kind)
{
	if (disk_resize(file, kind->size, DISK_PREALLOC_OFF, NULL))
		abort();
	for (size_t at = 0; at < kind->size; at += PAGE) {
		size_t part = kind->size - at < PAGE ? kind->size - at : PAGE;

		if (!disk_all_zeros(kind->bytes + at, part) &&
		    disk_write_bytes(file, at, kind->bytes + at, part))
			abort();
	}
}

/* Bytes near the file's begin, in its tables, or near its end. */
static void change_file(struct disk_node *file, struct words *words)
{
	for (unsigned int i = 0; i < 24 && words->left; i++) {
		unsigned int how = (unsigned int)next_word(words, 1);
		uint64_t offset = next_word(words, 2), size = file->size;
		uint64_t value = next_word(words, 1u << (how & 3));

		if (how & 0x10)
			offset <<= 4 + (how >> 5);
		if (how & 0x04)
			offset &= 0x3ff;
		if (how & 0x08)
			offset = size - 1 - offset % 1536;
		if (offset < size)
			disk_write_bytes(file, offset, &value,
					 size - offset < 8 ? 1
							   : 1u << (how & 3));
	}
}

static void use(struct disk_node *node, struct words *words)
{
	static uint8_t buf[256 * 1024];

	for (unsigned int i = 0; i < 12 && words->left; i++) {
		unsigned int what = (unsigned int)next_word(words, 1) % 7;
		uint64_t offset = next_word(words, 4) << 9;
		uint64_t length = 1 + next_word(words, 3) % sizeof(buf);
		struct disk_extent extent;

		if (offset > node->size)
			offset %= node->size;
		if (length > node->size - offset)
			length = node->size - offset;
		memset(buf, (int)i, length);
		if (what == 0)
			disk_read_bytes(node, offset, buf, length);
		else if (what < 3)
			disk_write_bytes(node, offset, buf, length);
		else if (what == 3)
			disk_zero(node, offset, length, DISK_UNMAP);
		else if (what == 4)
			disk_discard(node, offset, length);
		else if (what == 5)
			disk_flush(node);
		else if (length &&
			 !disk_map(node, offset, length, 0, &extent) &&
			 (!extent.length || extent.length > length))
			abort();
		if (node->file && node->file->size > FILE_MOST)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words words = { data, size };
	struct kind *kind = &kinds[next_word(&words, 1) %
				   (sizeof(kinds) / sizeof(kinds[0]))];
	const struct disk_open how = { .path = "fuzz",
				       .format = kind->format,
				       .alone = true };
	struct disk_node *file = make_memory(), *node;
	struct disk_check check = { 0 };

	if (!kind->bytes)
		make_image(kind);
	fill_file(file, kind);
	change_file(file, &words);
	if (disk_open_on(&node, file, &how, NULL)) {
		disk_close(file);
		return 0;
	}
	use(node, &words);
	json_decref(disk_info(node));
	disk_check(node, words.left & 1, &check, NULL);
	disk_close(node);
	return 0;
}
