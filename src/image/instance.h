/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that was made of an image: a folder in the store's machines/ with
 * its own disk, which holds what differs from the image's (qcow2), the seed of
 * its first boot and its UEFI variables. Kept under the machine's name, or
 * forgotten at the end. While one runs its folder is locked (flock). A disk
 * that was moved elsewhere (lodge mirror) stays there: the record says where. A
 * running machine notes that in INSTANCE_MOVES (disk/moved.h): its record is out
 * of its own reach, and follows when it is opened the next time.
 */
#ifndef LODGE_IMAGE_INSTANCE_H
#define LODGE_IMAGE_INSTANCE_H

#include <limits.h>

#include "image/seed.h"
#include "image/store.h"

#define INSTANCE_MOVES "moves.json" /* in the folder */

#define INSTANCE_PATH_MAX (FOLDER_PATH_MAX + 256)

struct instance {
	struct store *store;
	int folder; /* -1: closed */
	char entry[IMAGE_NAME_MAX + 1]; /* the folder's name */
	char path[INSTANCE_PATH_MAX - 64]; /* of the folder */
	char disk[PATH_MAX], seed[INSTANCE_PATH_MAX];
	char format[16]; /* of the disk */
	bool moved;	 /* the disk is not in the folder */
	bool shared;	 /* what it stands on is other machines', too */
	bool reseed;	 /* it was cloned: its first boot is to come */
	char clone[40];	 /* what makes it another than what it is of; "" */
	char told[20];	 /* wish->told of its last first boot */
	char stands_on[IMAGE_NAME_MAX + 1]; /* that machine's disk; "" */
	char vars[INSTANCE_PATH_MAX]; /* UEFI's; may not be there yet */
	bool ephemeral, fresh; /* fresh: was not there before */
	char image[IMAGE_NAME_MAX + 1];
	char user[64], password[SEED_PASSWORD]; /* "": none of ours */
	json_int_t created;
};

struct instance_wish {
	const struct store_image *image;
	const char *name; /* of the machine */
	bool ephemeral;
	uint64_t size; /* of the disk; 0: as it is, or the image's */
	/* The first boot: user, keys, user_data. The rest is filled in. */
	struct seed *seed;
	/*
	 * Stands for what was asked of the first boot: another one than the
	 * last time has a kept machine do that again. "": nothing was.
	 */
	char told[20];
};

/*
 * Opens the kept machine wish->name, or makes one. 0, or -1 with `error`, of
 * which nothing is left: it runs, or stands on another image.
 */
int instance_open(struct store *store, const struct instance_wish *wish,
		  struct instance *instance, struct disk_error *error);

/*
 * The disk of the machine `name`, which may run, is that one from now on, if it
 * is `from`. 1: it is so now; 0: its disk is another; or a negative errno.
 */
int instance_moved(struct store *store, const char *name, const char *from,
		   const char *disk, const char *format);

/*
 * How that machine's record names a disk: one in its own folder by its name,
 * so that the folder can be renamed.
 */
const char *instance_below(const struct store *store, const char *name,
			   const char *disk);

/*
 * Gives what is kept as `from`, if anything, another name. 0, or -1 with
 * `error`: another's disk stands on it, `to` is there.
 */
int instance_check_rename(struct store *store, const char *from,
			  const char *to, struct disk_error *error);
int instance_rename(struct store *store, const char *from, const char *to,
		    struct disk_error *error);

/*
 * Folders in which what the machine's disk stands on may lie besides the
 * image's: those of the machines that it was cloned of. At most `room`, each to
 * be freed; how many.
 */
unsigned int instance_folders(const struct instance *instance, char **folder,
			      unsigned int room);

/* The path and format of a kept machine's disk. False: none is kept so. */
bool instance_disk(struct store *store, const char *name,
		   char path[PATH_MAX], char format[16]);

/* The end of its run; forgets an ephemeral one. */
void instance_close(struct instance *instance);

/* Takes a kept machine away that does not run. 0; 1: there is none; -1. */
int instance_forget(struct store *store, const char *name,
		    struct disk_error *error);

/*
 * A list of objects: name, image, user, created, running and bytes on the
 * host. NULL: no memory.
 */
json_t *instance_list(struct store *store);

#endif
