/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer names the image below it and no further ones. Who stands on a layer
 * of lodged's, too, or on what is below that, goes by the folders in which those
 * images lie: that names some who do not, but nobody is missed.
 */
#include "manage/vm/shared.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "manage/vm/vm.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* Whether `path` is in that folder itself. */
static bool lies_in(const char *path, const char *folder)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(path, folder) ||
	       (slash && (size_t)(slash - path) == strlen(folder) &&
		!strncmp(path, folder, strlen(folder)));
}

static bool has_folder(const json_t *disk, const char *folder)
{
	const json_t *list = json_object_get(disk, "folder"), *item;
	bool has = !strcmp(text_of(disk, "folder"), folder) ||
		   lies_in(text_of(disk, "path"), folder) ||
		   lies_in(text_of(disk, "base"), folder);
	size_t i;

	json_array_foreach(list, i, item)
		has |= json_is_string(item) &&
		       !strcmp(json_string_value(item), folder);
	return has;
}

/* In a folder but that of all layers. */
static bool may_meet(const json_t *disk, const json_t *other, const char *vms)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(disk, "folder"), i, item)
		if (json_is_string(item) &&
		    strcmp(json_string_value(item), vms) &&
		    has_folder(other, json_string_value(item)))
			return true;
	return false;
}

static bool stands_on_same(const struct vm *vm, const json_t *disk,
			   const json_t *other)
{
	const char *base = text_of(disk, "base");
	char vms[PATH_MAX];

	if (!strcmp(text_of(other, "path"), base) ||
	    !strcmp(text_of(other, "base"), base))
		return true;
	snprintf(vms, sizeof(vms), "%s/vms", vm->manager->folder);
	if (!strncmp(base, vms, strlen(vms)) ||
	    !strncmp(text_of(other, "base"), vms, strlen(vms)))
		return may_meet(disk, other, vms);
	return false;
}

static bool is_shared(const struct vm *vm, const json_t *disk)
{
	const struct manager *manager = vm->manager;
	const json_t *other;
	size_t k;

	for (size_t i = 0; i < manager->count; i++)
		json_array_foreach(json_object_get(manager->vm[i]->config,
						   "disks"), k, other)
			if (manager->vm[i] != vm &&
			    stands_on_same(vm, disk, other))
				return true;
	return false;
}

json_t *shared_config(const struct vm *vm)
{
	json_t *config = json_deep_copy(vm->config), *disk;
	size_t i;

	json_array_foreach(json_object_get(config, "disks"), i, disk)
		if (json_object_get(disk, "base") && !is_shared(vm, disk))
			json_object_del(disk, "base");
	return config;
}
