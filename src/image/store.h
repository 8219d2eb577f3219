/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's images: $XDG_DATA_HOME/lodge (without that variable
 * ~/.local/share/lodge) has a folder images/NAME for each, and machines/NAME
 * for the machines that were made of them (image/instance.h).
 *
 * Several processes may use it at once, and each may be killed at any time: a
 * folder is made aside and renamed when it is whole, and whoever lists, adds,
 * takes away or counts users holds the lock of the file .lock meanwhile. What
 * was being made stays behind with its lock free, until store_prune(), which
 * every store_begin() does as well.
 */
#ifndef LODGE_IMAGE_STORE_H
#define LODGE_IMAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/error.h"
#include "image/folder.h"
#include "image/record.h"

/* In a machine's folder: a JSON object that names its "image". */
#define STORE_MACHINE_FILE "machine.json"

struct store {
	int lock; /* the file's descriptor */
	int images, machines; /* folders */
	char path[FOLDER_PATH_MAX];
};

struct store_image {
	struct image_record record;
	char path[FOLDER_PATH_MAX + 128]; /* its folder */
	bool damaged; /* only its name is known */
};

/* Opens the store, made when missing. 0, or -1 with `error`. */
int store_open(struct store *store, struct disk_error *error);
void store_close(struct store *store);

/* Alone in the store until store_unlock(). Not to be held for long. */
void store_lock(struct store *store);
void store_unlock(struct store *store);

/*
 * The image called so. 0; 1 with `error` when there is none, -1 with `error`
 * when it cannot be read.
 */
int store_find(struct store *store, const char *name,
	       struct store_image *image, struct disk_error *error);

/* All images by the alphabet; free() them. The number, or -1 with `error`. */
int store_list(struct store *store, struct store_image **list,
	       struct disk_error *error);

/* Bytes that an image takes on the host. */
uint64_t store_allocated(struct store *store, const char *name);

/*
 * Takes an image away: 0, or -1 with `error`: there is none, a machine uses
 * it.
 */
int store_remove(struct store *store, const char *name,
		 struct disk_error *error);

/* Whether a machine stands on an image, and the name of one that does. */
bool store_user(struct store *store, const char *name, char user[64]);

/* Clears away what dead processes left: folders, and their bytes. */
unsigned int store_prune(struct store *store, uint64_t *bytes);

/* An image that is being made. */
struct store_draft {
	struct store *store;
	int folder;
	char name[32];			  /* the folder's */
	char path[FOLDER_PATH_MAX + 128]; /* the folder */
};

/* 0 or -1 with `error`; store_finish() or store_abandon() ends it. */
int store_begin(struct store *store, struct store_draft *draft,
		struct disk_error *error);

/*
 * Makes the draft the image record->name: written to the disk, then named.
 * With `replace` in the place of an older one that no machine uses. 0, or -1
 * with `error` and the draft abandoned.
 */
int store_finish(struct store_draft *draft, const struct image_record *record,
		 bool replace, struct disk_error *error);
void store_abandon(struct store_draft *draft);

/*
 * Whether image `name` may be made: 0, or -1 with `error`: there is one and
 * `replace` was not said, or a machine uses it.
 */
int store_may_make(struct store *store, const char *name, bool replace,
		   struct disk_error *error);

#endif
