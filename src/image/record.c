/* SPDX-License-Identifier: Apache-2.0 */
#include "image/record.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "host/linux/json_file.h"

#define RECORD_FILE    "image.json"
#define RECORD_VERSION 1
#define TIME_FORMAT    "%Y-%m-%dT%H:%M:%SZ"

bool image_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length > IMAGE_NAME_MAX || *name == '.' || *name == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

json_t *image_record_pack(const struct image_record *record)
{
	char created[32] = "";
	time_t when = record->created;
	struct tm utc;

	if (gmtime_r(&when, &utc))
		strftime(created, sizeof(created), TIME_FORMAT, &utc);
	return json_pack("{si ss ss ss ss ss ss sI ss ss ss ss ss}",
			 "version", RECORD_VERSION, "name", record->name,
			 "system", record->system, "disk", record->disk,
			 "kernel", record->kernel, "initrd", record->initrd,
			 "format", record->format, "size",
			 (json_int_t)record->size, "append", record->append,
			 "firmware", record->firmware, "source",
			 record->source, "checksum", record->checksum,
			 "created", created);
}

/* A string that fits; a missing one is empty. */
static bool take_text(char *to, size_t size, const json_t *json,
		      const char *name)
{
	const json_t *value = json_object_get(json, name);
	const char *text = json_string_value(value);

	to[0] = '\0';
	if (!value)
		return true;
	if (!text || strlen(text) >= size)
		return false;
	strcpy(to, text);
	return true;
}

/* A file of the image's own folder, or none. */
static bool take_file(char *to, size_t size, const json_t *json,
		      const char *name)
{
	return take_text(to, size, json, name) &&
	       (!*to || (!strchr(to, '/') && *to != '.'));
}

static bool take_time(int64_t *seconds, const json_t *json)
{
	struct tm utc = { 0 };
	char text[32];
	const char *end;

	if (!take_text(text, sizeof(text), json, "created"))
		return false;
	end = strptime(text, TIME_FORMAT, &utc);
	*seconds = end && !*end ? (int64_t)timegm(&utc) : 0;
	return end && !*end;
}

#define TAKE_TEXT(field) \
	take_text(record->field, sizeof(record->field), json, #field)
#define TAKE_FILE(field) \
	take_file(record->field, sizeof(record->field), json, #field)

int image_record_unpack(struct image_record *record, const json_t *json,
			struct disk_error *error)
{
	json_int_t size = json_integer_value(json_object_get(json, "size"));
	json_int_t version =
		json_integer_value(json_object_get(json, "version"));

	memset(record, 0, sizeof(*record));
	if (version > RECORD_VERSION) {
		disk_error_set(error, 0, "a newer lodge made it");
		return -1;
	}
	if (version < 1 || size <= 0 || !TAKE_TEXT(name) ||
	    !image_name_valid(record->name) || !TAKE_TEXT(system) ||
	    !TAKE_FILE(disk) || !*record->disk || !TAKE_FILE(kernel) ||
	    !TAKE_FILE(initrd) || !TAKE_TEXT(format) || !TAKE_TEXT(append) ||
	    !TAKE_TEXT(firmware) || !TAKE_TEXT(source) ||
	    !TAKE_TEXT(checksum) || !take_time(&record->created, json)) {
		disk_error_set(error, 0, "its record is damaged");
		return -1;
	}
	record->size = (uint64_t)size;
	return 0;
}

int image_record_read(struct image_record *record, int folder,
		      struct disk_error *error)
{
	json_t *json = json_file_read(folder, RECORD_FILE);
	int err = image_record_unpack(record, json, error);

	json_decref(json);
	return err;
}

int image_record_write(const struct image_record *record, int folder,
		       struct disk_error *error)
{
	json_t *json = image_record_pack(record);
	int err = json ? json_file_write(json, folder, RECORD_FILE) : -EILSEQ;

	json_decref(json);
	if (!err)
		return 0;
	disk_error_set(error, err, "cannot write its record: %s",
		       strerror(-err));
	return -1;
}
