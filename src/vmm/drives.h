/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives whose medium is changed while the machine runs: their names ("cd1",
 * "floppy1") and the images in them. All of it on the loop's thread.
 */
#ifndef LODGE_VMM_DRIVES_H
#define LODGE_VMM_DRIVES_H

#include <jansson.h>
#include <stdbool.h>

#include "board/board.h"
#include "vmm/error.h"
#include "vmm/media.h"

struct drives {
	struct board *board;
	struct drive {
		char name[24];
		const struct machine_disk *first; /* as configured */
		struct block **block; /* in a struct media, which closes it */
		char *path; /* of what was put in later; NULL: `first` */
	} drive[BOARD_DRIVES_MAX];
	unsigned int count;
	void (*full)(void *ctx); /* see drives_on_full() */
	void *full_ctx;
};

enum drives_outcome {
	DRIVES_DONE,
	DRIVES_NOT_FOUND, /* no such drive, or none was named of several */
	DRIVES_LOCKED,	  /* the guest holds the medium */
	DRIVES_FAILED,
};

/* `media` is what `board` was built with; both are kept. */
void drives_init(struct drives *drives, struct media *media,
		 struct board *board);
void drives_fini(struct drives *drives);

/* For media that are put in from now on: disk_block_on_full(). Also called when
 * one is taken out, which may have been full. */
void drives_on_full(struct drives *drives, void (*changed)(void *ctx),
		    void *ctx);

/*
 * Puts the image at `path` in, in place of what is there. `name`: of the drive;
 * NULL: the only one. *taken is its name. `force`: even if the guest holds what
 * is there. `readonly` is for floppy disks.
 */
enum drives_outcome drives_insert(struct drives *drives, const char *name,
				  const char *path, bool readonly, bool force,
				  const char **taken, struct vmm_error *error);

/* Takes it out; nothing needs to be there. */
enum drives_outcome drives_eject(struct drives *drives, const char *name,
				 bool force, const char **taken,
				 struct vmm_error *error);

/* A list of objects; see docs/control.md. */
json_t *drives_inspect(const struct drives *drives);

#endif
