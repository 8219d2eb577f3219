/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/missing.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The first `length` bytes of a path; of other words there is nothing to see. */
static void look(json_t *list, const char *text, size_t length)
{
	char path[PATH_MAX];

	if (*text != '/' || length >= sizeof(path))
		return;
	snprintf(path, sizeof(path), "%.*s", (int)length, text);
	if (access(path, F_OK))
		json_array_append_new(list, json_string(path));
}

static void look_at(json_t *list, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text)
		look(list, text, strlen(text));
}

static void look_at_disks(json_t *list, const json_t *disks)
{
	const json_t *disk, *secret, *item;
	size_t i, k;

	json_array_foreach(disks, i, disk) {
		look_at(list, json_object_get(disk, "path"));
		secret = json_object_get(disk, "secret");
		look_at(list, secret);
		json_array_foreach(secret, k, item)
			look_at(list, item);
	}
}

json_t *missing_files(const json_t *config)
{
	static const char *const files[] = { "kernel", "initrd", "firmware",
					     "cloud_init" };
	static const char *const drives[] = { "disks", "cdroms", "floppies" };
	json_t *list = json_array();
	const json_t *item;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		look_at(list, json_object_get(config, files[i]));
	json_array_foreach(json_object_get(config, "ssh_keys"), i, item)
		look_at(list, item);
	for (i = 0; i < sizeof(drives) / sizeof(drives[0]); i++)
		look_at_disks(list, json_object_get(config, drives[i]));
	/* FOLDER:GUESTFOLDER */
	json_array_foreach(json_object_get(config, "shares"), i, item) {
		const char *text = json_string_value(item);

		look(list, text, strcspn(text, ":"));
	}
	if (json_array_size(list))
		return list;
	json_decref(list);
	return NULL;
}
