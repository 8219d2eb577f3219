/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the kernel can unpack an initrd, told from its frames alone.
 *
 * Linux takes a sequence of cpio archives ("newc"), each plain or
 * compressed, with zeros between them (Documentation/driver-api/early-
 * userspace/buffer-format.rst). Plain cpio, zstd (RFC 8878), legacy lz4 and
 * xz show where they end; gzip, bzip2, lzma and lzo do so only when
 * decompressed, which is left to the guest. File system images are refused.
 */
#include <string.h>

#include "vmm/boot/image.h"

/* What a frame's walker says. */
enum walk {
	WALK_END,   /* this frame ends at *at */
	WALK_OPAQUE, /* of a known kind; the rest cannot be judged */
	WALK_SHORT, /* the file ends inside of the frame */
};

#define CPIO_HEADER 110

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* Moves *at on by `count`; false when the file is shorter. */
static bool skip(const struct image *image, uint64_t *at, uint64_t count)
{
	if (count > image->size - *at)
		return false;
	*at += count;
	return true;
}

static uint64_t align4(uint64_t v)
{
	return (v + 3) & ~(uint64_t)3;
}

/* Eight hexadecimal digits; anything else counts as 0. */
static uint32_t cpio_number(const uint8_t *p)
{
	uint32_t value = 0;

	for (int i = 0; i < 8; i++) {
		uint8_t c = p[i] | 0x20;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return 0;
	}
	return value;
}

static enum walk walk_cpio(const struct image *image, uint64_t *at)
{
	static const char trailer[] = "TRAILER!!!";

	for (;;) {
		const uint8_t *header = image->data + *at;
		uint64_t start = *at, size, name;

		if (image->size - start < CPIO_HEADER)
			return WALK_SHORT;
		if (memcmp(header, "07070", 5))
			return WALK_SHORT;
		size = cpio_number(header + 54);
		name = cpio_number(header + 94);
		if (!skip(image, at, CPIO_HEADER + name))
			return WALK_SHORT;
		if (name == sizeof(trailer) &&
		    !memcmp(header + CPIO_HEADER, trailer, sizeof(trailer)))
			return WALK_END;
		/* Padding counts from the start of the archive. */
		if (!skip(image, at, align4(CPIO_HEADER + name) -
					     (CPIO_HEADER + name)) ||
		    !skip(image, at, align4(size)))
			return WALK_SHORT;
	}
}

static enum walk walk_zstd(const struct image *image, uint64_t *at)
{
	static const uint8_t dictionary[4] = { 0, 1, 2, 4 };
	static const uint8_t content[4] = { 0, 2, 4, 8 };
	uint64_t head;
	uint8_t descriptor;
	bool single, last;

	if (image->size - *at < 6)
		return WALK_SHORT;
	descriptor = image->data[*at + 4];
	single = descriptor & 0x20;
	head = 5u + !single + dictionary[descriptor & 3] +
	       content[descriptor >> 6] + (single && !(descriptor >> 6));
	if (!skip(image, at, head))
		return WALK_SHORT;
	do {
		const uint8_t *p = image->data + *at;
		uint32_t block;
		bool run;

		if (!skip(image, at, 3))
			return WALK_SHORT;
		block = (uint32_t)p[0] | (uint32_t)p[1] << 8 |
			(uint32_t)p[2] << 16;
		last = block & 1;
		run = (block >> 1 & 3) == 1; /* one byte, repeated */
		if (!skip(image, at, run ? 1 : block >> 3))
			return WALK_SHORT;
	} while (!last);
	return skip(image, at, descriptor & 4 ? 4 : 0) ? WALK_END : WALK_SHORT;
}

/* Blocks of a 32-bit length each, up to the end of the file. */
static enum walk walk_lz4(const struct image *image, uint64_t *at)
{
	if (!skip(image, at, 4))
		return WALK_SHORT;
	while (image->size - *at >= 4) {
		uint32_t block = le32(image->data + *at);

		if (!block)
			return WALK_END;
		if (!skip(image, at, 4 + (uint64_t)block))
			return WALK_SHORT;
	}
	return *at == image->size ? WALK_END : WALK_SHORT;
}

/* The index and the footer are at the end: only that is looked at. */
static enum walk walk_xz(const struct image *image, uint64_t *at)
{
	uint64_t end = image->size;

	while (end > *at && !image->data[end - 1])
		end--;
	if (end - *at < 32 || memcmp(image->data + end - 2, "YZ", 2))
		return WALK_SHORT;
	*at = end;
	return WALK_END;
}

static enum walk walk_opaque(const struct image *image, uint64_t *at)
{
	return image->size - *at < 18 ? WALK_SHORT : WALK_OPAQUE;
}

static const struct frame_kind {
	const char *magic;
	uint8_t length;
	enum walk (*walk)(const struct image *image, uint64_t *at);
} frame_kinds[] = {
	{ "070701", 6, walk_cpio },
	{ "070702", 6, walk_cpio },
	{ "\x28\xb5\x2f\xfd", 4, walk_zstd },
	{ "\x02\x21\x4c\x18", 4, walk_lz4 },
	{ "\xfd" "7zXZ", 6, walk_xz },
	{ "\x1f\x8b", 2, walk_opaque }, /* gzip */
	{ "BZh", 3, walk_opaque },
	{ "\x5d\x00\x00", 3, walk_opaque }, /* lzma */
	{ "\x89LZO", 4, walk_opaque },
};

static const struct frame_kind *frame_find(const struct image *image,
					   uint64_t at)
{
	const size_t count = sizeof(frame_kinds) / sizeof(frame_kinds[0]);

	for (size_t i = 0; i < count; i++)
		if (image->size - at >= frame_kinds[i].length &&
		    !memcmp(image->data + at, frame_kinds[i].magic,
			    frame_kinds[i].length))
			return &frame_kinds[i];
	return NULL;
}

int image_check_initrd(const struct image *image, struct vmm_error *error)
{
	uint64_t at = 0;

	for (;;) {
		const struct frame_kind *kind;
		enum walk outcome;

		while (at < image->size && !image->data[at])
			at++;
		if (at && at == image->size)
			return 0;
		kind = frame_find(image, at);
		if (!kind)
			return vmm_error_set(error,
					     "initrd %s: neither a cpio "
					     "archive nor one compressed with "
					     "gzip, zstd, xz, lz4 or the like",
					     image->path);
		outcome = kind->walk(image, &at);
		if (outcome == WALK_SHORT)
			return vmm_error_set(error,
					     "initrd %s: cut short at %llu "
					     "bytes; make or copy it again",
					     image->path,
					     (unsigned long long)image->size);
		if (outcome == WALK_OPAQUE)
			return 0;
	}
}
