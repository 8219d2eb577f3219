/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of it happens with the store locked, and takes some milliseconds. What
 * a killed process leaves is a draft, which the next one clears away, and
 * perhaps one more layer under the disk of `from`.
 */
#include "image/instance_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/node.h"
#include "host/linux/json_file.h"

#define VARS "uefi-vars.fd"

static int fail(struct disk_error *error, const char *what, int code)
{
	disk_error_set(error, code, "%s: %s", what, strerror(-code));
	return -1;
}

static int open_machine(struct store *store, const char *name)
{
	int fd = image_name_valid(name)
			 ? openat(store->machines, name,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			 : -1;

	return fd;
}

/* 0: there is none; 1: it was made by this clone; -1 with `error`. */
static int look_at(struct store *store, const struct instance_clone *how,
		   struct disk_error *error)
{
	int folder = open_machine(store, how->to);
	json_t *record;
	const char *id;
	bool ours;

	if (folder < 0)
		return 0;
	record = json_file_read(folder, STORE_MACHINE_FILE);
	close(folder);
	id = json_string_value(json_object_get(record, "clone"));
	ours = id && !strcmp(id, how->id);
	json_decref(record);
	if (ours)
		return 1;
	disk_error_set(error, -EEXIST, "a machine is kept as %s; lodge image "
		       "forget %s takes it away", how->to, how->to);
	return -1;
}

/* A layer at `path` on the disk of `from`. */
static int make_layer(struct store *store, const char *path, const char *base,
		      const char *format, struct disk_error *error)
{
	char machines[FOLDER_PATH_MAX + 16], images[FOLDER_PATH_MAX + 16];
	const char *const folders[] = { machines, images };
	const struct disk_create how = {
		.path = path,
		.format = "qcow2",
		.backing = base,
		.backing_format = format,
		.folders = folders,
		.folder_count = 2,
	};

	snprintf(machines, sizeof(machines), "%s/machines", store->path);
	snprintf(images, sizeof(images), "%s/images", store->path);
	return disk_create(&how, error) ? -1 : 0;
}

/* UEFI's variables, where there are some. */
static int copy_vars(int from, int to)
{
	int in = openat(from, VARS, O_RDONLY | O_CLOEXEC), out, err = 0;
	struct stat st;
	ssize_t n = 0;

	if (in < 0)
		return errno == ENOENT ? 0 : -errno;
	out = openat(to, VARS, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0 || fstat(in, &st))
		err = -errno;
	for (off_t at = 0; !err && at < st.st_size;) {
		n = sendfile(out, in, &at, (size_t)(st.st_size - at));
		if (n <= 0)
			err = n ? -errno : -EIO;
	}
	if (out >= 0)
		close(out);
	close(in);
	return err;
}

/* What the draft is to say of itself. */
static int write_record(int draft, const json_t *was,
			const struct instance_clone *how)
{
	const char *user = json_string_value(json_object_get(was, "user"));
	json_t *record = json_deep_copy(was);
	char password[SEED_PASSWORD];
	int err;

	if (user && *user && !seed_make_password(password))
		json_object_set_new(record, "password", json_string(password));
	json_object_del(record, "disk");
	json_object_del(record, "format");
	json_object_set_new(record, "clone", json_string(how->id));
	json_object_set_new(record, "stands_on", json_string(how->from));
	json_object_set_new(record, "reseed", json_true());
	json_object_set_new(record, "created", json_integer(time(NULL)));
	err = json_file_replace(record, draft, STORE_MACHINE_FILE);
	json_decref(record);
	return err;
}

/* `from` goes on on a new layer, so that nobody writes to its disk. */
static int freeze(struct store *store, int folder, json_t *record,
		  const char *from, const char *base, const char *format,
		  struct disk_error *error)
{
	char path[INSTANCE_PATH_MAX];
	uint64_t number;
	int err;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return fail(error, from, -EIO);
	snprintf(path, sizeof(path), "%s/machines/%s/disk-%016" PRIx64
		 ".qcow2", store->path, from, number);
	if (make_layer(store, path, instance_below(store, from, base), format,
		       error))
		return -1;
	json_object_set_new(record, "disk",
			    json_string(instance_below(store, from, path)));
	json_object_set_new(record, "format", json_string("qcow2"));
	err = fsync(folder) ? -errno :
			      json_file_replace(record, folder,
						STORE_MACHINE_FILE);
	if (!err)
		return 0;
	unlink(path);
	return fail(error, from, err);
}

/* With `from` locked, its record and an empty draft. */
static int fill(struct store *store, const struct instance_clone *how,
		int folder, json_t *record, int draft, const char *entry,
		struct disk_error *error)
{
	char base[PATH_MAX], format[16], path[INSTANCE_PATH_MAX];
	int err;

	if (!instance_disk(store, how->from, base, format))
		return fail(error, how->from, -ENOENT);
	snprintf(path, sizeof(path), "%s/machines/%s/disk.qcow2", store->path,
		 entry);
	if (make_layer(store, path, base, format, error))
		return -1;
	err = write_record(draft, record, how);
	if (!err)
		err = copy_vars(folder, draft);
	if (!err)
		err = folder_sync(draft);
	if (err)
		return fail(error, how->to, err);
	if (how->freeze && freeze(store, folder, record, how->from, base,
				  format, error))
		return -1;
	if (renameat2(store->machines, entry, store->machines, how->to,
		      RENAME_NOREPLACE) || fsync(store->machines))
		return fail(error, how->to, -errno);
	return 0;
}

static int clone_locked(struct store *store, const struct instance_clone *how,
			int folder, struct disk_error *error)
{
	json_t *record = json_file_read(folder, STORE_MACHINE_FILE);
	char entry[32];
	int draft, rc = -1;

	if (!record)
		return fail(error, how->from, -EIO);
	draft = folder_draft(store->machines, entry);
	if (draft >= 0) {
		rc = fill(store, how, folder, record, draft, entry, error);
		if (rc)
			folder_remove(store->machines, entry);
		close(draft);
	} else {
		fail(error, store->path, draft);
	}
	json_decref(record);
	return rc;
}

int instance_clone(struct store *store, const struct instance_clone *how,
		   struct disk_error *error)
{
	int folder, rc;

	store_lock(store);
	rc = look_at(store, how, error);
	if (rc) {
		store_unlock(store);
		return rc < 0 ? -1 : 0;
	}
	rc = -1;
	folder = open_machine(store, how->from);
	if (folder < 0)
		fail(error, how->from, -errno);
	else if (flock(folder, LOCK_EX | LOCK_NB))
		disk_error_set(error, -EBUSY, "machine %s runs; lodge stop %s "
			       "first", how->from, how->from);
	else
		rc = clone_locked(store, how, folder, error);
	if (folder >= 0)
		close(folder);
	store_unlock(store);
	return rc;
}

void instance_unclone(struct store *store, const char *to, const char *id)
{
	const struct instance_clone how = { .to = to, .id = id };
	struct disk_error error;

	store_lock(store);
	if (look_at(store, &how, &error) == 1)
		folder_remove(store->machines, to);
	store_unlock(store);
}
