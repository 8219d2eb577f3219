/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk must hold after random changes by several threads, and what of
 * it after a loss of power. Sectors carry a stamp: which sector it is and which
 * write it was, so that bytes of another sector, or of an older write, show.
 *
 * Each sector belongs to one thread, which alone changes it and its record
 * here. Records may be looked at by others at any time (when the power goes):
 * a change is noted before it is begun, and forgotten only when it is flushed.
 */
#ifndef LODGE_DISK_MODEL_H
#define LODGE_DISK_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "disk/node.h"

#define MODEL_SECTOR  512u
#define MODEL_HISTORY 6u

struct model_sector {
	_Atomic uint32_t now;	  /* stamp; 0: zeros */
	_Atomic uint32_t flushed; /* the same as of the last flush */
	_Atomic uint32_t since[MODEL_HISTORY]; /* others since then */
	_Atomic unsigned int changes;
};

struct model {
	_Atomic uint64_t sectors;
	_Atomic uint32_t stamp;
	size_t room;
	struct model_sector sector[];
};

/* A disk of `size` bytes of zeros, which may grow to `most`; in memory that a
 * process shares with those that it forks. */
struct model *model_create(uint64_t size, uint64_t most);
void model_free(struct model *model);

/* A change of a sector to `stamp` is about to begin. */
void model_begin(struct model *model, uint64_t sector, uint32_t stamp);

/* All changes of a sector up to now are flushed. */
void model_flushed(struct model *model, uint64_t sector);

/* The bytes of a sector with a stamp. */
void model_fill(uint8_t *bytes, uint64_t sector, uint32_t stamp);

/* The stamp of a sector's bytes; false: they are none of this sector's. */
bool model_stamp(const uint8_t *bytes, uint64_t sector, uint32_t *stamp);

/*
 * Reads [first, first + count) of `disk` and compares: with what it is now, or
 * with `after_loss` what a loss of power may leave. False: tells stderr.
 */
bool model_compare(const struct model *model, struct disk_node *disk,
		   uint64_t first, uint64_t count, bool after_loss);

/* The same of bytes that were read already. */
bool model_check(const struct model *model, uint64_t first, uint64_t count,
		 const uint8_t *bytes, bool after_loss);

/* It is what `disk` has, after something that did not succeed. */
bool model_reread(struct model *model, struct disk_node *disk);

#endif
