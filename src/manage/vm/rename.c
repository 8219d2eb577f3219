/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another name for a machine of an image, whose disk the image store keeps
 * under its name. A note in its folder comes first, then the registry, then
 * the store; whoever finds the note makes the store's name the registry's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "image/instance.h"
#include "manage/registry/flush.h"
#include "manage/vm/vm.h"

#define NOTE "rename.json"

static int open_store(struct store *store, struct problem *problem)
{
	struct disk_error error;

	return store_open(store, &error) ?
		       problem_set(problem, 500, "images", "%s", error.text) :
		       0;
}

int vm_rename_check(const struct vm *vm, const char *name,
		    struct problem *problem)
{
	struct disk_error error;
	struct store store;
	int rc;

	if (!json_object_get(vm->config, "image"))
		return 0;
	if (open_store(&store, problem))
		return -1;
	rc = instance_check_rename(&store, vm->row.name, name, &error);
	store_close(&store);
	return rc ? problem_set(problem, 409, "in-use", "%s", error.text) : 0;
}

int vm_rename_begin(const struct vm *vm, const char *name,
		    struct problem *problem)
{
	json_t *note;
	int folder, err;

	if (!json_object_get(vm->config, "image"))
		return 0;
	folder = vm_folder(vm);
	note = json_pack("{ss ss}", "from", vm->row.name, "to", name);
	err = folder < 0 ? folder : json_file_replace(note, folder, NOTE);
	if (folder >= 0)
		close(folder);
	json_decref(note);
	if (!err)
		return 0;
	return problem_set(problem, err == -ENOSPC ? 507 : 500,
			   err == -ENOSPC ? "disk-full" : "host",
			   "%s keeps its name: its folder: %s", vm->row.name,
			   strerror(-err));
}

/* The store's name becomes that of the row. */
static int follow(const struct vm *vm, const json_t *note,
		  struct problem *problem)
{
	const char *from = json_string_value(json_object_get(note, "from"));
	const char *to = json_string_value(json_object_get(note, "to"));
	const char *other = to && !strcmp(to, vm->row.name) ? from : to;
	char path[PATH_MAX], format[16];
	struct disk_error error;
	struct store store;
	int rc = 0;

	if (!other)
		return 0;
	if (open_store(&store, problem))
		return -1;
	if (!instance_disk(&store, vm->row.name, path, format) &&
	    instance_rename(&store, other, vm->row.name, &error))
		rc = problem_set(problem, 500, "host", "the disk of %s is kept "
				 "as %s still: %s", vm->row.name, other,
				 error.text);
	store_close(&store);
	return rc;
}

int vm_rename_finish(const struct vm *vm, struct problem *problem)
{
	int folder = openat(vm->manager->vms_folder, vm->row.id,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	json_t *note;

	if (folder < 0)
		return 0;
	note = faccessat(folder, NOTE, F_OK, 0) ? NULL :
						  json_file_read(folder, NOTE);
	if (note) {
		/* First the registry. */
		flush_wait(registry_flush(vm->manager->registry));
		rc = follow(vm, note, problem);
		if (!rc)
			unlinkat(folder, NOTE, 0);
	}
	json_decref(note);
	close(folder);
	return rc;
}
