/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/json_file.h"

#define LIST_MAX 4096

static int fail(struct disk_error *error, const char *what, int code)
{
	disk_error_set(error, code, "%s: %s", what, strerror(-code));
	return -1;
}

int store_open(struct store *store, struct disk_error *error)
{
	char lock[FOLDER_PATH_MAX + 128];
	int err;

	*store = (struct store){ -1, -1, -1, "" };
	err = data_path(store->path);
	if (err) {
		disk_error_set(error, err, "%s", data_path_error(err));
		return -1;
	}
	store->images = data_open(store->path, "images");
	store->machines = data_open(store->path, "machines");
	err = store->images < 0	  ? store->images
	      : store->machines < 0 ? store->machines
				    : 0;
	if (!err) {
		snprintf(lock, sizeof(lock), "%s/.lock", store->path);
		store->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		err = store->lock < 0 ? -errno : 0;
	}
	if (!err)
		return 0;
	fail(error, store->path, err);
	store_close(store);
	return -1;
}

void store_close(struct store *store)
{
	if (store->lock >= 0)
		close(store->lock);
	if (store->images >= 0)
		close(store->images);
	if (store->machines >= 0)
		close(store->machines);
	*store = (struct store){ -1, -1, -1, "" };
}

void store_lock(struct store *store)
{
	while (flock(store->lock, LOCK_EX) && errno == EINTR)
		;
}

void store_unlock(struct store *store)
{
	flock(store->lock, LOCK_UN);
}

/* The record of the folder `name`, which is there. */
static void read_image(struct store *store, const char *name,
		       struct store_image *image)
{
	int folder = openat(store->images, name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	image->damaged = folder < 0 ||
			 image_record_read(&image->record, folder, NULL);
	if (folder >= 0)
		close(folder);
	snprintf(image->record.name, sizeof(image->record.name), "%s", name);
	snprintf(image->path, sizeof(image->path), "%s/images/%s", store->path,
		 name);
}

static bool is_there(struct store *store, const char *name)
{
	return image_name_valid(name) &&
	       !faccessat(store->images, name, F_OK, 0);
}

int store_find(struct store *store, const char *name,
	       struct store_image *image, struct disk_error *error)
{
	if (!is_there(store, name)) {
		disk_error_set(error, -ENOENT, "there is no image %s", name);
		return 1;
	}
	read_image(store, name, image);
	if (!image->damaged)
		return 0;
	disk_error_set(error, -EIO, "the record of image %s is damaged; "
		       "remove it and make it again", name);
	return -1;
}

static int only_names(const struct dirent *entry)
{
	return image_name_valid(entry->d_name);
}

int store_list(struct store *store, struct store_image **list,
	       struct disk_error *error)
{
	struct dirent **names;
	int count = scandirat(store->images, ".", &names, only_names,
			      alphasort);
	int kept = count < LIST_MAX ? count : LIST_MAX;

	*list = NULL;
	if (count < 0)
		return fail(error, store->path, -errno);
	*list = calloc((size_t)kept + 1, sizeof(**list));
	for (int i = 0; i < count; i++) {
		if (*list && i < kept)
			read_image(store, names[i]->d_name, &(*list)[i]);
		free(names[i]);
	}
	free(names);
	return *list ? kept : fail(error, store->path, -ENOMEM);
}

uint64_t store_allocated(struct store *store, const char *name)
{
	return folder_allocated(store->images, name);
}

/* Whether machine `machine` was made of image `name`. */
static bool uses(struct store *store, const char *machine, const char *name)
{
	int folder = openat(store->machines, machine,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *image;
	json_t *json;
	bool used;

	if (folder < 0)
		return false;
	json = json_file_read(folder, STORE_MACHINE_FILE);
	image = json_string_value(json_object_get(json, "image"));
	used = image && !strcmp(image, name);
	json_decref(json);
	close(folder);
	return used;
}

bool store_user(struct store *store, const char *name, char user[64])
{
	int fd = openat(store->machines, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool used = false;

	while (dir && !used && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		used = uses(store, entry->d_name, name);
		if (used)
			snprintf(user, 64, "%.63s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return used;
}

/* With the store locked: -1 with `error` when a machine stands on the image. */
static int unused(struct store *store, const char *name,
		  struct disk_error *error)
{
	uint64_t bytes = 0;
	char user[64];

	folder_prune(store->machines, &bytes);
	if (!store_user(store, name, user))
		return 0;
	if (*user == '.')
		disk_error_set(error, -EBUSY, "image %s is in use by a machine "
			       "that runs; stop it first", name);
	else
		disk_error_set(error, -EBUSY, "machine %s stands on image %s; "
			       "lodge image forget %s takes that machine's "
			       "disk away", user, name, user);
	return -1;
}

int store_remove(struct store *store, const char *name,
		 struct disk_error *error)
{
	int err = -1;

	store_lock(store);
	if (!is_there(store, name)) {
		disk_error_set(error, -ENOENT, "there is no image %s", name);
	} else if (!unused(store, name, error)) {
		err = folder_remove(store->images, name);
		if (err)
			fail(error, name, err);
	}
	store_unlock(store);
	return err ? -1 : 0;
}

unsigned int store_prune(struct store *store, uint64_t *bytes)
{
	unsigned int count;

	store_lock(store);
	count = folder_prune(store->images, bytes) +
		folder_prune(store->machines, bytes);
	store_unlock(store);
	return count;
}

int store_begin(struct store *store, struct store_draft *draft,
		struct disk_error *error)
{
	uint64_t bytes = 0;

	store_prune(store, &bytes);
	draft->store = store;
	store_lock(store);
	draft->folder = folder_draft(store->images, draft->name);
	store_unlock(store);
	if (draft->folder < 0)
		return fail(error, store->path, draft->folder);
	snprintf(draft->path, sizeof(draft->path), "%s/images/%s", store->path,
		 draft->name);
	return 0;
}

void store_abandon(struct store_draft *draft)
{
	close(draft->folder);
	folder_remove(draft->store->images, draft->name);
}

/* With the store locked; see store_may_make(). */
static int may_make(struct store *store, const char *name, bool replace,
		    struct disk_error *error)
{
	if (!is_there(store, name))
		return 0;
	if (replace)
		return unused(store, name, error);
	disk_error_set(error, -EEXIST, "there is an image %s; give --replace "
		       "to make it anew, or another name with --name", name);
	return -1;
}

int store_may_make(struct store *store, const char *name, bool replace,
		   struct disk_error *error)
{
	int err;

	store_lock(store);
	err = may_make(store, name, replace, error);
	store_unlock(store);
	return err;
}

/* With the lock held and all of the draft on the disk: gives it its name. */
static int give_name(struct store_draft *draft, const char *name,
		     bool replace, struct disk_error *error)
{
	int images = draft->store->images;
	bool there = is_there(draft->store, name);

	if (may_make(draft->store, name, replace, error))
		return -1;
	if (renameat2(images, draft->name, images, name,
		      there ? RENAME_EXCHANGE : RENAME_NOREPLACE) ||
	    fsync(images))
		return fail(error, name, -errno);
	if (there)
		folder_remove(images, draft->name);
	return 0;
}

int store_finish(struct store_draft *draft, const struct image_record *record,
		 bool replace, struct disk_error *error)
{
	int err = image_record_write(record, draft->folder, error);

	/* Machines read it for years; nobody writes to it again. */
	if (!err && fchmodat(draft->folder, record->disk, 0444, 0))
		err = fail(error, record->disk, -errno);
	if (!err) {
		err = folder_sync(draft->folder);
		if (err)
			fail(error, draft->path, err);
	}
	if (!err) {
		store_lock(draft->store);
		err = give_name(draft, record->name, replace, error);
		store_unlock(draft->store);
	}
	if (err)
		store_abandon(draft);
	else
		close(draft->folder);
	return err ? -1 : 0;
}
