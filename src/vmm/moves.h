/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where disks have gone while the machine runs (lodge mirror, commit), for whoever
 * starts it the next time: the list of disk/moved.h. It is on the disk before
 * the guest's next write goes to the new place alone.
 */
#ifndef LODGE_VMM_MOVES_H
#define LODGE_VMM_MOVES_H

#include <jansson.h>
#include <stdbool.h>

#define MOVES_MAX 64 /* disks */

struct disk_node;
struct machine_config;
struct machine_disk;

struct moves {
	const char *file; /* NULL: closed */
	int folder;	  /* it is in */
	json_t *list;
	struct moves_disk {
		struct moves *moves;
		char *path; /* where it is */
	} disk[MOVES_MAX];
};

/* Has the moves of those of its disks noted that nobody else keeps a record of. */
void moves_open(struct moves *moves, const struct machine_config *config,
		struct machine_disk *disk);

/* Whether a record is believed that says that a disk has gone there by a commit. */
bool moves_can_name(const struct disk_node *to);
void moves_close(struct moves *moves);

#endif
