/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text that describes a VMDK image: lines of KEY=VALUE, values in quotes
 * or not, and a line for each extent. What is not known is left alone, except
 * kinds of images and extents, which are refused by name.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/vmdk/vmdk.h"

#define LINE_MAX_BYTES 1024u
#define SECTORS_MAX    (1ull << 53)

static const char *const known_types[] = {
	"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat", "streamOptimized",
};

/* The line's next word, or what is in quotes, ended by a zero; NULL at the
 * end. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " \t");
	char *end;

	if (!*word)
		return NULL;
	if (*word == '"')
		end = strchr(++word, '"');
	else
		end = word + strcspn(word, " \t");
	if (!end)
		end = word + strlen(word);
	*line = *end ? end + 1 : end;
	*end = 0;
	return word;
}

static bool take_number(const char *word, uint64_t *number)
{
	char *end;

	if (!word || !isdigit((unsigned char)*word))
		return false;
	errno = 0;
	*number = strtoull(word, &end, 10);
	return !*end && !errno && *number <= SECTORS_MAX;
}

static int bad_line(const char *what, struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a VMDK descriptor with a "
			      "bad line: %.60s", what);
}

static int take_kind(struct vmdk_line *line, const char *kind,
		     struct disk_error *error)
{
	static const char *const kinds[] = { "FLAT", "SPARSE", "ZERO" };

	for (int i = 0; kind && i < 3; i++) {
		if (!strcmp(kind, kinds[i])) {
			line->kind = i;
			return 0;
		}
	}
	return disk_error_set(error, -ENOTSUP, "has an extent of type %.20s, "
			      "which only ESX knows; convert it there with "
			      "vmkfstools", kind ? kind : "(none)");
}

/* `RW SECTORS KIND "NAME" [SECTOR]` */
static int take_extent(struct vmdk_descriptor *descriptor, char *text,
		       struct disk_error *error)
{
	char *rest = text, *access = next_word(&rest);
	char *sectors = next_word(&rest), *kind = next_word(&rest);
	char *name, *place;
	uint64_t size, at = 0;
	struct vmdk_line *line;
	int result;

	if (descriptor->lines == VMDK_EXTENTS_MAX)
		return disk_error_set(error, -EFBIG, "has more than %u extents",
				      VMDK_EXTENTS_MAX);
	if (!take_number(sectors, &size) || !size)
		return bad_line("an extent without a size", error);
	if (!strcmp(access, "NOACCESS"))
		return disk_error_set(error, -ENOTSUP, "has an extent that may "
				      "not be read (NOACCESS)");
	line = &descriptor->line[descriptor->lines];
	result = take_kind(line, kind, error);
	if (result)
		return result;
	line->readonly = !strcmp(access, "RDONLY");
	line->size = size * VMDK_SECTOR;
	name = next_word(&rest);
	place = next_word(&rest);
	if (line->kind == VMDK_FLAT && place && !take_number(place, &at))
		return bad_line("an extent at no number", error);
	if (line->kind != VMDK_ZEROS &&
	    (!name || !*name || strlen(name) >= sizeof(line->name)))
		return bad_line("an extent without a file", error);
	strcpy(line->name, name && line->kind != VMDK_ZEROS ? name : "");
	line->at = at * VMDK_SECTOR;
	descriptor->lines++;
	return 0;
}

static int take_type(struct vmdk_descriptor *descriptor, const char *value,
		     struct disk_error *error)
{
	for (size_t i = 0; i < sizeof(known_types) / sizeof(*known_types); i++) {
		if (!strcmp(value, known_types[i])) {
			strcpy(descriptor->type, value);
			return 0;
		}
	}
	return disk_error_set(error, -ENOTSUP, "is a VMDK image of type "
			      "%.30s, which cannot be read here; convert it "
			      "with vmkfstools or vmware-vdiskmanager", value);
}

static bool take_cid(const char *value, uint32_t *cid, unsigned int *digits)
{
	char *end;
	unsigned long long number = strtoull(value, &end, 16);

	*digits = (unsigned int)(end - value);
	*cid = (uint32_t)number;
	return isxdigit((unsigned char)*value) && *digits <= 8;
}

/* `KEY=VALUE`; `at`: where the line lies in the text. */
static int take_value(struct vmdk_descriptor *descriptor, char *line,
		      size_t at, struct disk_error *error)
{
	char *equals = strchr(line, '='), *key, *value, *rest;
	unsigned int digits;

	if (!equals)
		return 0;
	*equals = 0;
	rest = line;
	key = next_word(&rest);
	rest = equals + 1;
	value = next_word(&rest);
	if (!key || !value)
		return 0;
	if (!strcmp(key, "CID")) {
		descriptor->cid_at = at + (size_t)(value - line);
		if (!take_cid(value, &descriptor->cid,
			      &descriptor->cid_digits))
			return bad_line("a CID that is no number", error);
	} else if (!strcmp(key, "parentCID")) {
		if (!take_cid(value, &descriptor->parent_cid, &digits))
			return bad_line("a parentCID that is no number", error);
	} else if (!strcmp(key, "createType")) {
		return take_type(descriptor, value, error);
	} else if (!strcmp(key, "parentFileNameHint")) {
		if (strlen(value) >= sizeof(descriptor->parent))
			return bad_line("parentFileNameHint is too long",
					error);
		strcpy(descriptor->parent, value);
	}
	return 0;
}

static bool is_extent(const char *line)
{
	return !strncmp(line, "RW ", 3) || !strncmp(line, "RDONLY ", 7) ||
	       !strncmp(line, "NOACCESS ", 9);
}

/* One line, `length` bytes from `from` on. */
static int take_line(struct vmdk_descriptor *descriptor, const char *text,
		     size_t from, size_t length, struct disk_error *error)
{
	char line[LINE_MAX_BYTES];
	size_t skip = 0;

	while (skip < length && isspace((unsigned char)text[from + skip]))
		skip++;
	from += skip;
	length -= skip;
	while (length && isspace((unsigned char)text[from + length - 1]))
		length--;
	if (!length || text[from] == '#')
		return 0;
	if (length >= sizeof(line))
		return bad_line("one of more than 1023 bytes", error);
	memcpy(line, text + from, length);
	line[length] = 0;
	if (is_extent(line))
		return take_extent(descriptor, line, error);
	return take_value(descriptor, line, from, error);
}

int vmdk_descriptor_read(struct vmdk_descriptor *descriptor, const char *text,
			 size_t size, struct disk_error *error)
{
	size_t at = 0;
	int result = 0;

	memset(descriptor, 0, sizeof(*descriptor));
	descriptor->cid = descriptor->parent_cid = VMDK_NO_CID;
	descriptor->line = calloc(VMDK_EXTENTS_MAX, sizeof(*descriptor->line));
	if (!descriptor->line)
		return disk_error_set(error, -ENOMEM, "out of memory");
	size = strnlen(text, size);
	while (!result && at < size) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = end ? (size_t)(end - text) - at : size - at;

		result = take_line(descriptor, text, at, length, error);
		at += length + 1;
	}
	if (!result && !*descriptor->type)
		return bad_line("no createType", error);
	return result;
}

void vmdk_descriptor_free(struct vmdk_descriptor *descriptor)
{
	free(descriptor->line);
}
