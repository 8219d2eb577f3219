/* SPDX-License-Identifier: Apache-2.0 */
#include "image/iso.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 2048u

/* Where things are, in sectors; 0 to 15 are the system's. */
enum {
	VOLUME = 16,
	VOLUME_END,
	PATHS_LITTLE,
	PATHS_BIG,
	ROOT,
	FILES,
};

#define RECORD_MAX 254

/* Numbers as ECMA-119, 7.2 and 7.3: both orders, one behind the other. */
static void put_both16(uint8_t *to, uint32_t n)
{
	to[0] = to[3] = (uint8_t)n;
	to[1] = to[2] = (uint8_t)(n >> 8);
}

static void put_both32(uint8_t *to, uint32_t n)
{
	for (unsigned int i = 0; i < 4; i++)
		to[i] = to[7 - i] = (uint8_t)(n >> 8 * i);
}

static void put_text(uint8_t *to, const char *text, size_t size)
{
	size_t length = strlen(text);

	memset(to, ' ', size);
	memcpy(to, text, length < size ? length : size);
}

/* RRIP: what the file is allowed; folders 0555, files 0444. */
static size_t put_px(uint8_t *to, bool folder)
{
	static const uint8_t head[] = { 'P', 'X', 36, 1 };

	memcpy(to, head, sizeof(head));
	put_both32(to + 4, folder ? 0040555 : 0100444);
	put_both32(to + 12, folder ? 2 : 1);
	put_both32(to + 20, 0);
	put_both32(to + 28, 0);
	return head[2];
}

/* RRIP: the name as it is. */
static size_t put_nm(uint8_t *to, const char *name)
{
	size_t length = strlen(name);
	const uint8_t head[] = { 'N', 'M', (uint8_t)(5 + length), 1, 0 };

	memcpy(to, head, sizeof(head));
	memcpy(to + sizeof(head), name, length);
	return head[2];
}

/* SUSP: that there are such fields, and by which extension. */
static size_t put_sp_er(uint8_t *to)
{
	static const uint8_t fields[] = {
		'S', 'P', 7, 1, 0xbe, 0xef, 0,
		'E', 'R', 18, 1, 10, 0, 0, 1,
		'R', 'R', 'I', 'P', '_', '1', '9', '9', '1', 'A',
	};

	memcpy(to, fields, sizeof(fields));
	return sizeof(fields);
}

/* A directory record (9.1) with room for `more` bytes of system use. */
static uint8_t *put_record(uint8_t *to, const void *name, size_t name_length,
			   uint32_t sector, size_t size, bool folder)
{
	size_t length = 33 + name_length + !(name_length & 1);

	memset(to, 0, RECORD_MAX);
	to[0] = (uint8_t)length;
	put_both32(to + 2, sector);
	put_both32(to + 10, (uint32_t)size);
	to[18] = 70; /* the first of January, 1970 */
	to[19] = to[20] = 1;
	to[25] = folder ? 2 : 0;
	put_both16(to + 28, 1);
	to[32] = (uint8_t)name_length;
	memcpy(to + 33, name, name_length);
	return to + length;
}

/* Ends a record whose system use area goes up to `end`; where the next is. */
static uint8_t *end_record(uint8_t *record, uint8_t *end)
{
	size_t length = (size_t)(end - record);

	length += length & 1;
	record[0] = (uint8_t)length;
	return record + length;
}

static void put_root(uint8_t *to, const struct iso_file *files, size_t count)
{
	uint32_t sector = FILES;
	uint8_t *end;

	for (uint8_t self = 0; self < 2; self++) { /* "." and ".." */
		end = put_record(to, &self, 1, ROOT, SECTOR, true);
		end += self ? 0 : put_sp_er(end);
		end += put_px(end, true);
		to = end_record(to, end);
	}
	for (size_t i = 0; i < count; i++) {
		end = put_record(to, files[i].short_name,
				 strlen(files[i].short_name), sector,
				 files[i].size, false);
		end += put_px(end, false);
		end += put_nm(end, files[i].name);
		to = end_record(to, end);
		sector += (uint32_t)((files[i].size + SECTOR - 1) / SECTOR);
	}
}

/* The primary volume descriptor (8.4). */
static void put_volume(uint8_t *to, const char *label,
		       const char *application, uint32_t sectors)
{
	static const uint8_t root_name;

	memcpy(to, "\1CD001\1", 7);
	put_text(to + 8, "", 32);
	put_text(to + 40, label, 32);
	put_both32(to + 80, sectors);
	put_both16(to + 120, 1);
	put_both16(to + 124, 1);
	put_both16(to + 128, SECTOR);
	put_both32(to + 132, 10); /* bytes of a path table */
	to[140] = PATHS_LITTLE;
	to[151] = PATHS_BIG;
	put_record(to + 156, &root_name, 1, ROOT, SECTOR, true);
	put_text(to + 190, "", 623);
	put_text(to + 574, application, 128);
	for (unsigned int i = 0; i < 4; i++) /* times that are not told */
		memset(to + 813 + 17 * i, '0', 16);
	to[881] = 1;
}

/* The root folder, the only entry of a path table (9.4). */
static void put_paths(uint8_t *to, bool big)
{
	to[0] = 1;
	to[big ? 5 : 2] = ROOT;
	to[big ? 7 : 6] = 1;
}

void *iso_make(const char *label, const char *application,
	       const struct iso_file *files, size_t count, size_t *size)
{
	size_t sectors = FILES;
	uint8_t *image, *at;

	for (size_t i = 0; i < count; i++)
		sectors += (files[i].size + SECTOR - 1) / SECTOR;
	/* A record more than there will be: it is written whole. */
	image = calloc(sectors + 1, SECTOR);
	if (!image)
		return NULL;
	put_volume(image + VOLUME * SECTOR, label, application,
		   (uint32_t)sectors);
	memcpy(image + VOLUME_END * SECTOR, "\377CD001\1", 7);
	put_paths(image + PATHS_LITTLE * SECTOR, false);
	put_paths(image + PATHS_BIG * SECTOR, true);
	put_root(image + ROOT * SECTOR, files, count);
	at = image + FILES * SECTOR;
	for (size_t i = 0; i < count; i++) {
		memcpy(at, files[i].data, files[i].size);
		at += (files[i].size + SECTOR - 1) / SECTOR * SECTOR;
	}
	*size = sectors * SECTOR;
	return image;
}
