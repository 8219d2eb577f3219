/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Media that are changed; see drives.h.
 */
#include "vmm/drives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/block.h"

static void add(struct drives *drives, const struct machine_disk *first,
		struct block **block, unsigned int number)
{
	struct drive *drive = &drives->drive[drives->count++];

	*drive = (struct drive){ .first = first, .block = block };
	snprintf(drive->name, sizeof(drive->name), "%s%u",
		 first->cd ? "cd" : "floppy", number);
}

/* In the board's order. */
void drives_init(struct drives *drives, struct media *media,
		 struct board *board)
{
	const struct machine_config *config = media->config;

	*drives = (struct drives){ .board = board };
	for (unsigned int i = 0; i < config->disk_count; i++)
		if (config->disk[i].cd)
			add(drives, &config->disk[i], &media->disk[i],
			    drives->count + 1);
	for (unsigned int i = 0; i < config->floppy_count; i++)
		add(drives, &config->floppy[i], &media->floppy[i], i + 1);
}

void drives_fini(struct drives *drives)
{
	for (unsigned int i = 0; i < drives->count; i++)
		free(drives->drive[i].path);
	drives->count = 0;
}

void drives_on_full(struct drives *drives, void (*changed)(void *ctx),
		    void *ctx)
{
	drives->full = changed;
	drives->full_ctx = ctx;
}

/* --- which ------------------------------------------------------------------ */

static void list_names(const struct drives *drives, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < drives->count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s",
					 i ? ", " : "",
					 drives->drive[i].name);
}

static struct drive *find(struct drives *drives, const char *name,
			  struct vmm_error *error)
{
	char names[160];

	list_names(drives, names, sizeof(names));
	if (!drives->count)
		vmm_error_set(error, "the machine has no drive for media; "
			      "start it with --cdrom none or --floppy none");
	else if (!name && drives->count == 1)
		return &drives->drive[0];
	else if (!name)
		vmm_error_set(error, "the machine has several drives; name "
			      "one: %s", names);
	for (unsigned int i = 0; name && i < drives->count; i++)
		if (!strcmp(drives->drive[i].name, name))
			return &drives->drive[i];
	if (name && drives->count)
		vmm_error_set(error, "no drive \"%.40s\"; there is %s", name,
			      names);
	return NULL;
}

/* --- changes ---------------------------------------------------------------- */

static enum drives_outcome refuse(const struct drive *drive, int rc,
				  struct vmm_error *error)
{
	if (rc == -EBUSY) {
		vmm_error_set(error, "the guest holds what is in %s; unmount "
			      "it there and try again, or use --force",
			      drive->name);
		return DRIVES_LOCKED;
	}
	if (rc == -EINVAL)
		vmm_error_set(error, "%s reads no disks of this size; drives "
			      "read those of their own, a 1440K drive also "
			      "720K, a 2880K drive both", drive->name);
	else
		vmm_error_set(error, "%s: %s", drive->name, strerror(-rc));
	return DRIVES_FAILED;
}

/* `block` and `path` are the drive's then. */
static enum drives_outcome change(struct drives *drives, struct drive *drive,
				  struct block *block, char *path, bool force,
				  struct vmm_error *error)
{
	unsigned int index = (unsigned int)(drive - drives->drive);
	int rc = board_change(drives->board, index, block, force);

	if (rc)
		return refuse(drive, rc, error);
	block_close(*drive->block);
	free(drive->path);
	*drive->block = block;
	drive->path = path;
	if (drives->full)
		drives->full(drives->full_ctx);
	return DRIVES_DONE;
}

enum drives_outcome drives_insert(struct drives *drives, const char *name,
				  const char *path, bool readonly, bool force,
				  const char **taken, struct vmm_error *error)
{
	struct drive *drive = find(drives, name, error);
	struct block *block = NULL;
	enum drives_outcome outcome;
	char *copy;
	int rc;

	if (!drive)
		return DRIVES_NOT_FOUND;
	*taken = drive->name;
	if (drive->first->cd)
		rc = media_open_cd(&block, path, error);
	else
		rc = media_open_floppy(&block, path, readonly, error);
	if (rc)
		return DRIVES_FAILED;
	copy = strdup(path);
	if (!copy) {
		block_close(block);
		vmm_error_set(error, "out of memory");
		return DRIVES_FAILED;
	}
	disk_block_on_full(block, drives->full, drives->full_ctx);
	outcome = change(drives, drive, block, copy, force, error);
	if (outcome != DRIVES_DONE) {
		block_close(block);
		free(copy);
	}
	return outcome;
}

enum drives_outcome drives_eject(struct drives *drives, const char *name,
				 bool force, const char **taken,
				 struct vmm_error *error)
{
	struct drive *drive = find(drives, name, error);

	if (!drive)
		return DRIVES_NOT_FOUND;
	*taken = drive->name;
	return change(drives, drive, NULL, NULL, force, error);
}

/* --- what there is ---------------------------------------------------------- */

static json_t *inspect(const struct drives *drives, unsigned int index)
{
	const struct drive *drive = &drives->drive[index];
	const struct block *block = *drive->block;
	const char *path = drive->path ? drive->path : drive->first->path;
	const char *bus = "floppy";
	struct board_drive now;

	if (drive->first->cd)
		bus = drive->first->bus == BOARD_IDE ? "ide" : "ahci";
	board_drive(drives->board, index, &now);
	/* A path that is not UTF-8 is told as null. */
	return json_pack("{sssssssbso?sbsbsb}", "drive", drive->name, "medium",
			 drive->first->cd ? "cd" : "floppy", "bus", bus,
			 "empty", !block, "path",
			 block ? json_string(path) : NULL, "readonly",
			 block && block->readonly, "open", (int)now.open,
			 "locked", (int)now.locked);
}

json_t *drives_inspect(const struct drives *drives)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < drives->count; i++)
		json_array_append_new(list, inspect(drives, i));
	return list;
}
