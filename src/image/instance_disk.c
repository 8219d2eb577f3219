/* SPDX-License-Identifier: Apache-2.0 */
#include "image/instance_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/moved.h"
#include "host/linux/json_file.h"

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

static int open_folder(const struct store *store, const char *name)
{
	return image_name_valid(name) ? openat(store->machines, name,
					       O_RDONLY | O_DIRECTORY |
						       O_CLOEXEC) : -1;
}

bool instance_read_disk(const json_t *record, const char *folder,
			char path[PATH_MAX], char format[16])
{
	const char *disk = text_of(record, "disk");
	const char *kind = text_of(record, "format");
	bool in = !strchr(disk, '/') && !strchr(disk, ':');

	if (!*disk || strlen(kind) >= 16 ||
	    snprintf(path, PATH_MAX, "%s%s%s", in ? folder : "", in ? "/" : "",
		     disk) >= PATH_MAX)
		return false;
	strcpy(format, kind);
	return true;
}

const char *instance_below(const struct store *store, const char *name,
			   const char *disk)
{
	char folder[INSTANCE_PATH_MAX];
	int length = snprintf(folder, sizeof(folder), "%s/machines/%s/",
			      store->path, name);

	if (!disk || strncmp(disk, folder, (size_t)length) ||
	    strchr(disk + length, '/'))
		return disk;
	return disk + length;
}

/* Where it is, also when the record does not say so. */
static void find_disk(const json_t *record, const struct store *store,
		      const char *name, char path[PATH_MAX], char format[16])
{
	char folder[INSTANCE_PATH_MAX];

	snprintf(folder, sizeof(folder), "%s/machines/%s", store->path, name);
	if (instance_read_disk(record, folder, path, format))
		return;
	snprintf(path, PATH_MAX, "%s/disk.qcow2", folder);
	strcpy(format, "qcow2");
}

static int set_disk(json_t *record, const struct store *store,
		    const char *name, const char *disk, const char *format)
{
	return json_object_set_new(record, "disk",
				   json_string(instance_below(store, name,
							      disk))) ||
	       json_object_set_new(record, "format", json_string(format)) ?
		       -EIO : 0;
}

json_t *instance_record(const struct store *store, const char *name,
			int folder, bool *moved)
{
	json_t *record = json_file_read(folder, STORE_MACHINE_FILE);
	json_t *list = record ? moved_read(folder, INSTANCE_MOVES, name) :
				NULL;
	char path[PATH_MAX], format[16];
	json_t *entry;
	size_t i;

	if (moved)
		*moved = false;
	json_array_foreach(list, i, entry) {
		find_disk(record, store, name, path, format);
		if (strcmp(path, text_of(entry, "from")) ||
		    strlen(text_of(entry, "format")) >= sizeof(format) ||
		    set_disk(record, store, name, text_of(entry, "path"),
			     text_of(entry, "format")))
			continue;
		if (moved)
			*moved = true;
	}
	json_decref(list);
	return record;
}

int instance_settle(const struct store *store, const char *name, int folder)
{
	bool moved;
	json_t *record = instance_record(store, name, folder, &moved);
	int err = 0;

	if (moved)
		err = json_file_replace(record, folder, STORE_MACHINE_FILE);
	if (!err)
		moved_forget(folder, INSTANCE_MOVES);
	json_decref(record);
	return err;
}

bool instance_disk(struct store *store, const char *name,
		   char path[PATH_MAX], char format[16])
{
	int folder = open_folder(store, name);
	json_t *record;

	if (folder < 0)
		return false;
	record = instance_record(store, name, folder, NULL);
	find_disk(record, store, name, path, format);
	json_decref(record);
	close(folder);
	return true;
}

int instance_moved(struct store *store, const char *name, const char *from,
		   const char *disk, const char *format)
{
	char path[PATH_MAX], kind[16];
	int folder, err = 0;
	json_t *record;

	if (strlen(disk) >= PATH_MAX || strlen(format) >= sizeof(kind))
		return -ENAMETOOLONG;
	folder = open_folder(store, name);
	if (folder < 0)
		return errno == ENOENT ? 0 : -errno;
	record = instance_record(store, name, folder, NULL);
	find_disk(record, store, name, path, kind);
	if (!strcmp(path, from)) {
		err = set_disk(record, store, name, disk, format);
		if (!err)
			err = json_file_replace(record, folder,
						STORE_MACHINE_FILE);
		err = err ? err : 1;
	}
	json_decref(record);
	close(folder);
	return err;
}

unsigned int instance_folders(const struct instance *instance, char **folder,
			      unsigned int room)
{
	char name[IMAGE_NAME_MAX + 1];
	unsigned int count = 0;

	snprintf(name, sizeof(name), "%s", instance->stands_on);
	while (count < room && *name) {
		int below = open_folder(instance->store, name);
		json_t *record;

		if (below < 0 || asprintf(&folder[count], "%s/machines/%s",
					  instance->store->path, name) < 0)
			break;
		count++;
		record = json_file_read(below, STORE_MACHINE_FILE);
		snprintf(name, sizeof(name), "%.*s", IMAGE_NAME_MAX,
			 text_of(record, "stands_on"));
		json_decref(record);
		close(below);
	}
	return count;
}

int instance_is_entry(const struct dirent *entry)
{
	return image_name_valid(entry->d_name);
}

/* Whether the disk of machine `user` is a layer on that of `name`. */
static bool stands_on(struct store *store, const char *user, const char *name)
{
	int folder = openat(store->machines, user,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_t *record;
	bool does;

	if (folder < 0)
		return false;
	record = json_file_read(folder, STORE_MACHINE_FILE);
	does = !strcmp(text_of(record, "stands_on"), name);
	json_decref(record);
	close(folder);
	return does;
}

bool instance_find_user(struct store *store, const char *name,
			char user[IMAGE_NAME_MAX + 1])
{
	struct dirent **names;
	int count = scandirat(store->machines, ".", &names, instance_is_entry,
			      alphasort);
	bool found = false;

	for (int i = 0; i < count; i++) {
		if (!found && stands_on(store, names[i]->d_name, name)) {
			snprintf(user, IMAGE_NAME_MAX + 1, "%.*s",
				 IMAGE_NAME_MAX, names[i]->d_name);
			found = true;
		}
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return found;
}
