/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lodged has a process of its own do for a clone: a file clone.json names
 * the disks that are to be made. What there is already was made by an earlier
 * try, whole, since each gets its name last.
 */
#include "cli/machine/clone_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/option.h"
#include "disk/node.h"
#include "image/instance_clone.h"
#include "vmm/machine.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int fail(const char *path, const char *why)
{
	cli_error("clone: %s: %s", path, why);
	return -1;
}

/* The folder's entries, to the disk. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd, err = 0;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 0,
		 path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Gives what was made aside its name. */
static int name_it(const char *aside, const char *path)
{
	int err = rename(aside, path) ? -errno : sync_folder(path);

	return err ? fail(path, strerror(-err)) : 0;
}

/* --- layers ------------------------------------------------------------------------ */

static int make_layer(const char *path, const json_t *disk)
{
	const json_t *list = json_object_get(disk, "folders"), *item;
	const char *folders[MACHINE_FOLDERS + 1];
	char aside[PATH_MAX + 8];
	struct disk_create how = {
		.path = aside,
		.format = "qcow2",
		.backing = text_of(disk, "base"),
		.backing_format = json_string_value(
			json_object_get(disk, "format")),
		.folders = folders,
	};
	struct disk_error error;
	size_t i;

	if (!access(path, F_OK))
		return 0;
	json_array_foreach(list, i, item)
		if (i < sizeof(folders) / sizeof(folders[0]))
			folders[how.folder_count++] = json_string_value(item);
	snprintf(aside, sizeof(aside), "%s.new", path);
	unlink(aside);
	if (!disk_create(&how, &error))
		return name_it(aside, path);
	unlink(aside);
	return fail(how.backing, error.text);
}

static int make_layers(const json_t *plan)
{
	const json_t *disk, *path;
	size_t i, k;

	json_array_foreach(json_object_get(plan, "disks"), i, disk)
		json_array_foreach(json_object_get(disk, "over"), k, path)
			if (make_layer(json_string_value(path), disk))
				return -1;
	return 0;
}

/* --- UEFI's variables --------------------------------------------------------------- */

static int copy(int in, int out)
{
	struct stat st;

	if (fstat(in, &st))
		return -errno;
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = sendfile(out, in, &at, (size_t)(st.st_size - at));

		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return fsync(out) ? -errno : 0;
}

/* Without them it begins with none, as the other will have. */
static int copy_vars(const json_t *vars)
{
	const char *from = text_of(vars, "from"), *to = text_of(vars, "to");
	int in = *from ? open(from, O_RDONLY | O_CLOEXEC) : -1, out, err;
	char aside[PATH_MAX + 8];

	if (in < 0)
		return *from && errno != ENOENT ? fail(from, strerror(errno)) :
						  0;
	snprintf(aside, sizeof(aside), "%s.new", to);
	out = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	err = out < 0 ? -errno : copy(in, out);
	if (out >= 0)
		close(out);
	close(in);
	return err ? fail(to, strerror(-err)) : name_it(aside, to);
}

/* --- the disk of an image ------------------------------------------------------------- */

static int clone_instance(const json_t *plan)
{
	const struct instance_clone how = {
		.from = text_of(plan, "from"),
		.to = text_of(plan, "to"),
		.id = text_of(plan, "id"),
		.freeze = json_is_true(json_object_get(plan, "freeze")),
	};
	struct disk_error error;
	struct store store;
	int rc;

	if (!plan)
		return 0;
	if (store_open(&store, &error))
		return fail(how.from, error.text);
	rc = instance_clone(&store, &how, &error);
	store_close(&store);
	return rc ? fail(how.from, error.text) : 0;
}

int clone_disks_make(const char *path)
{
	json_t *plan = json_load_file(path, 0, NULL);
	int rc = plan ? 0 : fail(path, "is no plan of lodged's");

	if (!rc)
		rc = make_layers(plan);
	if (!rc)
		rc = copy_vars(json_object_get(plan, "vars"));
	if (!rc)
		rc = clone_instance(json_object_get(plan, "instance"));
	json_decref(plan);
	return rc ? MACHINE_FAILED : MACHINE_OK;
}
