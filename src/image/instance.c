/* SPDX-License-Identifier: Apache-2.0 */
#include "image/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "disk/node.h"
#include "host/linux/json_file.h"
#include "image/instance_disk.h"

static int fail(struct disk_error *error, const char *what, int code)
{
	disk_error_set(error, code, "%s: %s", what, strerror(-code));
	return -1;
}

/* Names of what is in the folder `entry`, when that is where it stays. */
static void name_files(struct instance *instance, const char *entry)
{
	snprintf(instance->entry, sizeof(instance->entry), "%s", entry);
	snprintf(instance->path, sizeof(instance->path), "%s/machines/%s",
		 instance->store->path, entry);
	snprintf(instance->disk, sizeof(instance->disk), "%s/disk.qcow2",
		 instance->path);
	strcpy(instance->format, "qcow2");
	snprintf(instance->seed, sizeof(instance->seed), "%s/seed.iso",
		 instance->path);
	snprintf(instance->vars, sizeof(instance->vars), "%s/uefi-vars.fd",
		 instance->path);
}

/* --- the record ---------------------------------------------------------------- */

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* `disk`, `format`: of one that is not in the folder; NULL. */
static int write_record(const struct instance *instance, const char *disk,
			const char *format)
{
	json_t *json = json_pack("{si ss ss ss sI ss* ss* ss* ss* ss*}",
				 "version", 1, "image", instance->image, "user",
				 instance->user, "password",
				 instance->password, "created",
				 instance->created, "disk",
				 instance_below(instance->store,
						instance->entry, disk), "format",
				 format, "stands_on",
				 or_null(instance->stands_on), "clone",
				 or_null(instance->clone), "told",
				 or_null(instance->told));
	int err = json ? json_file_replace(json, instance->folder,
					 STORE_MACHINE_FILE) : -EILSEQ;

	json_decref(json);
	return err;
}

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

/* A kept machine's record: the same image, whose account it has. */
static int read_record(struct instance *instance,
		       const struct instance_wish *wish,
		       struct disk_error *error)
{
	const char *image = wish->image->record.name;
	json_t *json = json_file_read(instance->folder, STORE_MACHINE_FILE);
	bool same = !strcmp(text_of(json, "image"), image);

	snprintf(instance->user, sizeof(instance->user), "%s",
		 text_of(json, "user"));
	snprintf(instance->password, sizeof(instance->password), "%s",
		 text_of(json, "password"));
	strcpy(instance->image, image);
	instance->created = json_integer_value(json_object_get(json,
							       "created"));
	snprintf(instance->stands_on, sizeof(instance->stands_on), "%s",
		 text_of(json, "stands_on"));
	snprintf(instance->clone, sizeof(instance->clone), "%s",
		 text_of(json, "clone"));
	snprintf(instance->told, sizeof(instance->told), "%s",
		 text_of(json, "told"));
	instance->reseed = json_is_true(json_object_get(json, "reseed"));
	instance->moved = instance_read_disk(json, instance->path,
					     instance->disk, instance->format);
	if (!json)
		disk_error_set(error, -EIO, "the record of machine %s is "
			       "damaged; lodge image forget %s takes it away",
			       wish->name, wish->name);
	else if (!same)
		disk_error_set(error, -EEXIST, "machine %s stands on image %s; "
			       "give another name with --name, or lodge image "
			       "forget %s", wish->name, text_of(json, "image"),
			       wish->name);
	json_decref(json);
	return json && same ? 0 : -1;
}

/* --- what is in it ---------------------------------------------------------------- */

/* Whole or as it was: a new file takes the place of the old one. */
static int write_file(int folder, const char *name, const void *data,
		      size_t size)
{
	const char *aside = ".seed.new";
	int fd = openat(folder, aside,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (size_t done = 0; !err && done < size; done += (size_t)n) {
		n = write(fd, (const char *)data + done, size - done);
		if (n <= 0)
			err = n ? -errno : -EIO;
	}
	if (!err && (fsync(fd) || renameat(folder, aside, folder, name)))
		err = -errno;
	close(fd);
	return err;
}

static int write_seed(struct instance *instance,
		      const struct instance_wish *wish,
		      struct disk_error *error)
{
	struct timespec now;
	char id[128];
	void *image;
	size_t size;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(id, sizeof(id), "lodge-%s-%" PRIx64, wish->name,
		 (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	wish->seed->instance = id;
	wish->seed->host = wish->name;
	wish->seed->identity = or_null(instance->clone);
	wish->seed->user = *instance->user ? instance->user : NULL;
	wish->seed->password = *instance->password ? instance->password : NULL;
	image = seed_make(wish->seed, &size);
	err = image ? write_file(instance->folder, "seed.iso", image, size) :
		      -ENOMEM;
	free(image);
	return err ? fail(error, instance->seed, err) : 0;
}

static int make_disk(struct instance *instance,
		     const struct instance_wish *wish,
		     struct disk_error *error)
{
	const struct image_record *record = &wish->image->record;
	char backing[FOLDER_PATH_MAX + 256];
	const char *folder = wish->image->path;
	const struct disk_create how = {
		.path = instance->disk,
		.format = "qcow2",
		.size = wish->size,
		.backing = backing,
		.backing_format = record->format,
		.folders = &folder,
		.folder_count = 1,
	};

	if (wish->size && wish->size < record->size) {
		disk_error_set(error, -EINVAL, "the disk of image %s has "
			       "%" PRIu64 " MiB; give --disk-size that or more",
			       record->name, record->size >> 20);
		return -1;
	}
	snprintf(backing, sizeof(backing), "%s/%s", folder, record->disk);
	return disk_create(&how, error) ? -1 : 0;
}

/* A kept disk that is to be larger. */
static int grow_disk(struct instance *instance,
		     const struct instance_wish *wish,
		     struct disk_error *error)
{
	const struct disk_open how = {
		.path = instance->disk,
		.format = instance->format,
		.alone = true,
	};
	struct disk_node *node;
	int err = disk_open(&node, &how, error);

	if (err)
		return -1;
	if (wish->size < node->size) {
		disk_error_set(error, -EINVAL, "the disk of machine %s has "
			       "%" PRIu64 " MiB; it can grow, not shrink",
			       wish->name, (uint64_t)node->size >> 20);
		err = -EINVAL;
	} else if (wish->size > node->size) {
		err = disk_resize(node, wish->size, DISK_PREALLOC_OFF, error);
		if (!err)
			err = disk_flush(node);
	}
	disk_close(node);
	return err ? -1 : 0;
}

/* --- opening ------------------------------------------------------------------------ */

/* With the store locked: a kept one. 1: there is none. */
static int open_kept(struct instance *instance,
		     const struct instance_wish *wish,
		     struct disk_error *error)
{
	char user[IMAGE_NAME_MAX + 1];
	int err;

	instance->folder = openat(instance->store->machines, wish->name,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (instance->folder < 0)
		return errno == ENOENT ? 1 : fail(error, wish->name, -errno);
	if (flock(instance->folder, LOCK_EX | LOCK_NB)) {
		disk_error_set(error, -EBUSY, "machine %s runs already; give "
			       "another name with --name, or --ephemeral",
			       wish->name);
		return -1;
	}
	name_files(instance, wish->name);
	err = instance_settle(instance->store, wish->name, instance->folder);
	if (err)
		return fail(error, wish->name, err);
	err = read_record(instance, wish, error);
	instance->shared = !err && (*instance->stands_on ||
				    instance_find_user(instance->store,
						       wish->name, user));
	return err;
}

/* With the store locked: an empty folder that says what it stands on. */
static int make_draft(struct instance *instance,
		      const struct instance_wish *wish,
		      struct disk_error *error)
{
	struct store_image image;
	char entry[32];
	int err;

	/* It may have been removed since it was found. */
	if (store_find(instance->store, wish->image->record.name, &image,
		       error))
		return -1;
	instance->folder = folder_draft(instance->store->machines, entry);
	if (instance->folder < 0)
		return fail(error, instance->store->path, instance->folder);
	name_files(instance, entry);
	if (wish->seed->user) {
		snprintf(instance->user, sizeof(instance->user), "%s",
			 wish->seed->user);
		seed_make_password(instance->password);
	}
	strcpy(instance->image, wish->image->record.name);
	strcpy(instance->told, wish->told);
	instance->created = time(NULL);
	err = write_record(instance, NULL, NULL);
	return err ? fail(error, instance->path, err) : 0;
}

/* Gives what was made its name. */
static int keep(struct instance *instance, const struct instance_wish *wish,
		struct disk_error *error)
{
	int machines = instance->store->machines;
	int err = folder_sync(instance->folder);

	store_lock(instance->store);
	if (!err && (renameat2(machines, instance->entry, machines, wish->name,
			       RENAME_NOREPLACE) || fsync(machines)))
		err = -errno;
	store_unlock(instance->store);
	if (err)
		return fail(error, wish->name, err);
	name_files(instance, wish->name);
	return 0;
}

static int make(struct instance *instance, const struct instance_wish *wish,
		struct disk_error *error)
{
	instance->fresh = true;
	if (make_disk(instance, wish, error) ||
	    write_seed(instance, wish, error))
		return -1;
	return wish->ephemeral ? 0 : keep(instance, wish, error);
}

/*
 * One that is there already. The seed comes before the record, so what was cut
 * short between them is done again; no guest has seen it.
 */
static int renew(struct instance *instance, const struct instance_wish *wish,
		 struct disk_error *error)
{
	bool again = *wish->told && strcmp(wish->told, instance->told);

	if (wish->size && grow_disk(instance, wish, error))
		return -1;
	if (!again && !instance->reseed)
		return 0;
	if (wish->seed->user &&
	    strcmp(wish->seed->user, instance->user)) {
		snprintf(instance->user, sizeof(instance->user), "%s",
			 wish->seed->user);
		if (!*instance->password)
			seed_make_password(instance->password);
	}
	strcpy(instance->told, wish->told);
	if (write_seed(instance, wish, error))
		return -1;
	if (write_record(instance, instance->moved ? instance->disk : NULL,
			 instance->moved ? instance->format : NULL))
		return fail(error, instance->path, -EIO);
	return 0;
}

int instance_open(struct store *store, const struct instance_wish *wish,
		  struct instance *instance, struct disk_error *error)
{
	uint64_t bytes = 0;
	int err = 1;

	*instance = (struct instance){
		.store = store,
		.folder = -1,
		.ephemeral = wish->ephemeral,
	};
	store_lock(store);
	folder_prune(store->machines, &bytes);
	if (!wish->ephemeral)
		err = open_kept(instance, wish, error);
	if (err == 1) {
		err = make_draft(instance, wish, error);
		store_unlock(store);
		err = err ? err : make(instance, wish, error);
	} else {
		store_unlock(store);
		err = err ? err : renew(instance, wish, error);
	}
	if (!err)
		return 0;
	/* A kept one stays; what was being made goes. */
	instance->ephemeral = *instance->entry == '.';
	instance_close(instance);
	return -1;
}

void instance_close(struct instance *instance)
{
	if (instance->folder < 0)
		return;
	if (instance->ephemeral)
		folder_remove(instance->store->machines, instance->entry);
	close(instance->folder);
	instance->folder = -1;
}

/* --- kept ones ------------------------------------------------------------------------ */

/* Opens and locks: the descriptor; -EWOULDBLOCK: it runs. */
static int open_locked(struct store *store, const char *name)
{
	int folder = openat(store->machines, name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (folder < 0)
		return -errno;
	if (!flock(folder, LOCK_EX | LOCK_NB))
		return folder;
	err = -errno;
	close(folder);
	return err;
}

int instance_forget(struct store *store, const char *name,
		    struct disk_error *error)
{
	char user[IMAGE_NAME_MAX + 1];
	int folder, err;

	store_lock(store);
	if (image_name_valid(name) && instance_find_user(store, name, user)) {
		store_unlock(store);
		disk_error_set(error, -EBUSY, "the disk of machine %s stands "
			       "on that of %s; lodge image forget %s first",
			       user, name, user);
		return -1;
	}
	folder = image_name_valid(name) ? open_locked(store, name) : -ENOENT;
	err = folder < 0 ? folder : folder_remove(store->machines, name);
	store_unlock(store);
	if (folder >= 0)
		close(folder);
	if (err == -ENOENT)
		disk_error_set(error, err, "no machine is kept as %s; lodge "
			       "image machines lists them", name);
	else if (err == -EWOULDBLOCK)
		disk_error_set(error, err, "machine %s runs; lodge stop %s "
			       "ends it", name, name);
	else if (err)
		fail(error, name, err);
	return err == -ENOENT ? 1 : err ? -1 : 0;
}

/* With the store locked: 0; 1: there is none; -1 with `error`. */
static int check_rename(struct store *store, const char *from, const char *to,
			struct disk_error *error)
{
	char user[IMAGE_NAME_MAX + 1], path[PATH_MAX], format[16];
	int folder, err;

	if (!faccessat(store->machines, to, F_OK, AT_SYMLINK_NOFOLLOW)) {
		disk_error_set(error, -EEXIST, "lodge run keeps a machine %s; "
			       "give another name, or lodge image forget %s "
			       "first", to, to);
		return -1;
	}
	if (!instance_disk(store, from, path, format))
		return 1;
	folder = open_locked(store, from);
	if (folder < 0) {
		disk_error_set(error, folder, "machine %s runs; lodge stop %s "
			       "ends it", from, from);
		return -1;
	}
	err = instance_settle(store, from, folder);
	close(folder);
	if (err)
		return fail(error, from, err);
	if (!instance_find_user(store, from, user))
		return 0;
	disk_error_set(error, -EBUSY, "the disk of machine %s stands on that "
		       "of %s, which therefore keeps its name; lodge rm %s "
		       "first", user, from, user);
	return -1;
}

int instance_check_rename(struct store *store, const char *from,
			  const char *to, struct disk_error *error)
{
	int rc;

	store_lock(store);
	rc = check_rename(store, from, to, error);
	store_unlock(store);
	return rc < 0 ? -1 : 0;
}

int instance_rename(struct store *store, const char *from, const char *to,
		    struct disk_error *error)
{
	int rc;

	store_lock(store);
	rc = check_rename(store, from, to, error);
	if (!rc && (renameat2(store->machines, from, store->machines, to,
			      RENAME_NOREPLACE) || fsync(store->machines)))
		rc = fail(error, to, -errno);
	store_unlock(store);
	return rc < 0 ? -1 : 0;
}

static json_t *describe(struct store *store, const char *name)
{
	int folder = openat(store->machines, name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX], format[16], own[INSTANCE_PATH_MAX];
	json_t *record, *json;
	bool running, elsewhere;

	if (folder < 0)
		return NULL;
	running = flock(folder, LOCK_EX | LOCK_NB);
	record = instance_record(store, name, folder, NULL);
	snprintf(own, sizeof(own), "%s/machines/%s", store->path, name);
	elsewhere = instance_read_disk(record, own, path, format);
	json = json_pack("{ss ss ss sI sb sI so*}", "name", name, "image",
			 text_of(record, "image"), "user",
			 text_of(record, "user"), "created",
			 json_integer_value(json_object_get(record,
							    "created")),
			 "running", (int)running, "allocated",
			 (json_int_t)folder_allocated(store->machines, name),
			 "disk", elsewhere ? json_string(path) : NULL);
	json_decref(record);
	close(folder);
	return json;
}

json_t *instance_list(struct store *store)
{
	struct dirent **names;
	int count = scandirat(store->machines, ".", &names, instance_is_entry,
			      alphasort);
	json_t *list = json_array();

	/* Looking at locks takes them for a moment: nobody is to see that. */
	store_lock(store);
	for (int i = 0; i < count; i++) {
		json_array_append_new(list, describe(store,
						     names[i]->d_name));
		free(names[i]);
	}
	store_unlock(store);
	if (count >= 0)
		free(names);
	return list;
}
