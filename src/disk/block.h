/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image as a VM's disk: a struct block (vm/block.h) on a node.
 *
 * A request goes the short way where that needs no waiting: on the thread that
 * submits it, down to the leaf, which has it in memory or begins it without
 * waiting. Any other is done by one of a few threads of the disk's own, which
 * start when first needed.
 *
 * A write that the host has no room for is put by, tried again each second,
 * and ends when there is room: the guest never sees it. Whoever runs the VM
 * stops it meanwhile (disk_block_on_full()). All other errors are the guest's.
 */
#ifndef LODGE_DISK_BLOCK_H
#define LODGE_DISK_BLOCK_H

#include "disk/limit.h"
#include "disk/node.h"
#include "vm/block.h"

/* Opens `how` as a disk; block_close() closes both. */
int disk_block_open(struct block **block, const struct disk_open *how,
		    struct disk_error *error);

/* The same on a node, which is the block's when this succeeds. */
int disk_block_create(struct block **block, struct disk_node *node,
		      enum disk_cache cache, struct disk_error *error);

/* --- for jobs on the disk of a running VM: any thread, one at a time ----------- */

struct disk_node *disk_block_node(struct block *block);

/*
 * Nothing is under way when disk_block_drain() returns, and what comes is kept
 * back until disk_block_resume(). Waits for requests to end, but not for room
 * on the host.
 */
void disk_block_drain(struct block *block);
void disk_block_resume(struct block *block);

/* Drained: `node` takes the place of the one that is returned. Their sizes are
 * the same. */
struct disk_node *disk_block_swap(struct block *block, struct disk_node *node);

/* Limits from now on, and those that there are; 0 or a negative errno. */
void disk_block_limits(struct block *block, struct disk_limits *limits);
int disk_block_limit(struct block *block, const struct disk_limits *limits);

/* What the VM has asked for since the disk was opened. */
struct disk_counts {
	uint64_t reads, read_bytes;
	uint64_t writes, written_bytes;	    /* with what is made zeros */
	uint64_t discards, discarded_bytes;
	uint64_t flushes;
};

void disk_block_counts(struct block *block, struct disk_counts *counts);

/* --- a full host --------------------------------------------------------------- */

/*
 * `changed` is called on any thread, with no lock held, when requests begin or
 * end to wait for room. To be set before the first request.
 */
void disk_block_on_full(struct block *block, void (*changed)(void *ctx),
			void *ctx);

/* Whether requests wait for room. */
bool disk_block_full(struct block *block);

/*
 * From now on (until `hurry` is false) nothing is put off: what waits for room
 * ends with its error, limits do not count. For the end or reset of a VM.
 */
void disk_block_hurry(struct block *block, bool hurry);

#endif
