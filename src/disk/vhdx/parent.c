/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of a VHDX image: section 2.6.2.6. A locator has keys and values
 * in UTF-16: parent_linkage (and sometimes parent_linkage2), the GUID that the
 * parent's data had, and paths. The relative one is followed; of paths of
 * Windows only the last part is, beside the image.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/utf16.h"
#include "disk/vhdx/vhdx.h"
#include "disk/wire.h"

#define HEAD	  20u /* bytes of a locator's header */
#define PAIR	  12u /* of an entry */
#define PAIRS_MAX 64u
#define KEY_ROOM  64u
#define TEXT_ROOM 1024u
#define LINKAGE	  40u /* "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}" */

static const uint8_t locator_type[16] = {
	0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
	0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13,
};

struct locator {
	char linkage[2][TEXT_ROOM];
	char relative[TEXT_ROOM], volume[TEXT_ROOM], absolute[TEXT_ROOM];
};

static int bad_locator(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a VHDX parent locator that "
			      "makes no sense; a damaged or truncated copy?");
}

/* A GUID of the file as its text, in lower case. */
static void write_guid(char text[LINKAGE], const uint8_t *guid)
{
	snprintf(text, LINKAGE, "{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x"
		 "%02x}", get_le32(guid), get_le16(guid + 4),
		 get_le16(guid + 6), guid[8], guid[9], guid[10], guid[11],
		 guid[12], guid[13], guid[14], guid[15]);
}

/* --- reading ---------------------------------------------------------------- */

/* A text of the locator; false: it lies outside of it, or is none. */
static bool take_text(const uint8_t *bytes, uint32_t size, uint32_t at,
		      uint32_t length, char *to, size_t room)
{
	if (!length || length % 2 || length / 2 >= room || at < HEAD ||
	    at > size || length > size - at)
		return false;
	utf16_decode(to, room, bytes + at, length, false);
	return true;
}

/* Where the value of a key goes; NULL: it is not known. */
static char *place_of(struct locator *locator, const char *key)
{
	const struct {
		const char *key;
		char *to;
	} keys[] = {
		{ "parent_linkage", locator->linkage[0] },
		{ "parent_linkage2", locator->linkage[1] },
		{ "relative_path", locator->relative },
		{ "volume_path", locator->volume },
		{ "absolute_win32_path", locator->absolute },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i].key))
			return keys[i].to;
	return NULL;
}

static int parse(struct locator *locator, const uint8_t *bytes, uint32_t size,
		 struct disk_error *error)
{
	uint32_t count;

	if (size < HEAD)
		return bad_locator(error);
	if (memcmp(bytes, locator_type, sizeof(locator_type)) != 0)
		return disk_error_set(error, -ENOTSUP, "has a parent that is "
				      "no VHDX image");
	count = get_le16(bytes + 18);
	if (count > PAIRS_MAX || count * PAIR > size - HEAD)
		return bad_locator(error);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *pair = bytes + HEAD + i * PAIR;
		char key[KEY_ROOM], *to;

		if (!take_text(bytes, size, get_le32(pair),
			       get_le16(pair + 8), key, sizeof(key)))
			return bad_locator(error);
		to = place_of(locator, key);
		if (!to)
			continue;
		if (*to || !take_text(bytes, size, get_le32(pair + 4),
				      get_le16(pair + 10), to, TEXT_ROOM))
			return bad_locator(error);
	}
	return 0;
}

static int load(struct vhdx *vhdx, struct locator *locator,
		struct disk_error *error)
{
	uint8_t *bytes;
	int result;

	if (vhdx->locator.length > VHDX_LOCATOR)
		return bad_locator(error);
	bytes = malloc(VHDX_LOCATOR);
	if (!bytes)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = disk_read_bytes(vhdx->node.file, vhdx->locator.at, bytes,
				 vhdx->locator.length);
	result = result ? bad_locator(error)
			: parse(locator, bytes,
				(uint32_t)vhdx->locator.length, error);
	free(bytes);
	return result;
}

/* The path to follow, in place; "": there is none. */
static char *path_of(struct locator *locator)
{
	char *path = *locator->relative ? locator->relative
		     : *locator->volume ? locator->volume
					: locator->absolute;

	for (char *c = path; *c; c++)
		if (*c == '\\')
			*c = '/';
	if (path != locator->relative && strrchr(path, '/'))
		path = strrchr(path, '/') + 1;
	while (!strncmp(path, "./", 2))
		path += 2;
	return path;
}

/* Whether the parent's data are those that the image was made on. */
static bool is_linked(const struct locator *locator, const struct vhdx *parent)
{
	char guid[LINKAGE];

	write_guid(guid, parent->header + VHDX_AT_DATA_GUID);
	return !strcasecmp(guid, locator->linkage[0]) ||
	       !strcasecmp(guid, locator->linkage[1]);
}

static int open_it(struct vhdx *vhdx, struct locator *locator,
		   const struct disk_open *how, struct disk_error *error)
{
	const char *path;
	int result = load(vhdx, locator, error);

	if (result)
		return result;
	path = path_of(locator);
	if (!*path || *path == '/' || !*locator->linkage[0])
		return bad_locator(error);
	vhdx->node.parent = strdup(path);
	result = disk_open_backing(&vhdx->node.backing, vhdx->node.file, path,
				   "vhdx", how, error);
	if (result || !vhdx->node.backing)
		return result;
	if (vhdx_of(vhdx->node.backing)->sector != vhdx->sector)
		return disk_error_set(error, -EINVAL, "stands on %s, which has "
				      "sectors of another size", path);
	if (!is_linked(locator, vhdx_of(vhdx->node.backing)))
		return disk_error_set(error, -EINVAL, "stands on %s, which was "
				      "changed since, or is another image; "
				      "bring the right one back", path);
	return 0;
}

int vhdx_open_parent(struct vhdx *vhdx, const struct disk_open *how,
		     struct disk_error *error)
{
	struct locator *locator = calloc(1, sizeof(*locator));
	int result = locator ? open_it(vhdx, locator, how, error)
			     : disk_error_set(error, -ENOMEM, "out of memory");

	free(locator);
	return result;
}

/* --- making ----------------------------------------------------------------- */

/* Appends a text; where it lies and its bytes go to the two places. */
static bool put_text(uint8_t *to, uint32_t size, uint32_t *at, const char *text,
		     uint8_t *at_field, uint8_t *size_field)
{
	uint32_t bytes;

	if (strlen(text) * 2 > size - *at)
		return false;
	bytes = (uint32_t)utf16_encode(to + *at, size - *at, text, false);
	put_le32(at_field, *at);
	put_le16(size_field, (uint16_t)bytes);
	*at += bytes;
	return true;
}

uint32_t vhdx_make_locator(uint8_t *to, uint32_t size,
			   const struct vhdx *parent, const char *path)
{
	const char *const keys[] = { "parent_linkage", "relative_path" };
	char guid[LINKAGE], windows[TEXT_ROOM / 2];
	const char *const values[] = { guid, windows };
	uint32_t at = HEAD + 2 * PAIR;

	if (snprintf(windows, sizeof(windows), ".\\%s", path) >=
	    (int)sizeof(windows))
		return 0;
	for (char *c = windows; *c; c++)
		if (*c == '/')
			*c = '\\';
	write_guid(guid, parent->header + VHDX_AT_DATA_GUID);
	memset(to, 0, size);
	memcpy(to, locator_type, sizeof(locator_type));
	put_le16(to + 18, 2);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *pair = to + HEAD + i * PAIR;

		if (!put_text(to, size, &at, keys[i], pair, pair + 8) ||
		    !put_text(to, size, &at, values[i], pair + 4, pair + 10))
			return 0;
	}
	return at;
}
