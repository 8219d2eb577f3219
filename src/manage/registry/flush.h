/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings what the registry has committed to the disk, by a thread of its own:
 * the loop never waits for one. A commit is in the host's page cache when it
 * has been made, so it outlives lodged whatever happens to that; this makes it
 * outlive the host. Whoever acknowledges a change waits for it here.
 *
 * The thread also moves the write-ahead log into the database when it has
 * grown, by a connection of its own, and writes machines' copies (vm.json).
 */
#ifndef LODGE_MANAGE_REGISTRY_FLUSH_H
#define LODGE_MANAGE_REGISTRY_FLUSH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct flush;

/* Of the open database at `path`, in WAL mode. 0 or a negative errno. */
int flush_open(struct flush **flush, const char *path);

/* Ends when all is on the disk. NULL is fine. */
void flush_close(struct flush *flush);

/* There was a commit; the log has so many frames now. */
void flush_commit(struct flush *flush, int frames);

/*
 * Replaces the file `name` of `folder`, a descriptor that is taken; counts as
 * a commit. `json` is looked at before this returns.
 */
void flush_copy(struct flush *flush, const json_t *json, int folder,
		const char *name);

/* How many commits there were, and how many of them are on the disk. */
uint64_t flush_made(const struct flush *flush);
uint64_t flush_kept(struct flush *flush);

/* The last try to write failed with this (positive) errno; 0: it did not. */
int flush_error(struct flush *flush);

/* Waits until all are. */
void flush_wait(struct flush *flush);

/* Waits for copies alone, before their folder is removed. */
void flush_wait_copies(struct flush *flush);

/* Readable when more have come to the disk; flush_seen() makes it wait again. */
int flush_descriptor(const struct flush *flush);
void flush_seen(struct flush *flush);

#endif
