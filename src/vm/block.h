/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block contract: what a disk controller may ask of the image behind it,
 * whoever keeps that. A host makes a struct block (src/disk/block.h: images;
 * tests/fake: memory), the board hands it to a device.
 *
 * block_submit() never waits. A request that could be served at once is over
 * when it returns; any other ends with its done(), on a thread of the host's,
 * with no lock held. The memory that spans name must stay until then.
 */
#ifndef LODGE_VM_BLOCK_H
#define LODGE_VM_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/span.h"

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,   /* what was written before survives a power loss */
	BLOCK_DISCARD, /* a hint: the range's content matters no more */
	BLOCK_ZERO,    /* reads as zeros from now on */
};

struct block_request {
	enum block_op op;
	bool may_unmap; /* BLOCK_ZERO: room may be given back */
	uint64_t offset, length; /* bytes, within the block; as the spans say */
	const struct span *span; /* of reads and writes */
	unsigned int spans;
	int error; /* when it is over: 0 or a negative errno */
	void (*done)(struct block_request *request);
	void *ctx; /* the submitter's */
	struct block_request *next; /* the host's, until it is over */
};

struct block;

struct block_ops {
	/* True: it is over, request->error says how. False: done() comes. */
	bool (*submit)(struct block *block, struct block_request *request);
	void (*close)(struct block *block);
};

struct block {
	const struct block_ops *ops;
	uint64_t size;	   /* bytes, a multiple of 512 */
	uint32_t physical; /* best unit of access: a power of two from 512 on */
	bool readonly;	   /* writes end with -EIO */
	bool can_discard;
};

/* Checks the range; one that leaves the block is over with -EIO. */
static inline bool block_submit(struct block *block,
				struct block_request *request)
{
	if (request->op != BLOCK_FLUSH &&
	    (request->offset > block->size ||
	     request->length > block->size - request->offset ||
	     (block->readonly && request->op != BLOCK_READ))) {
		request->error = -5; /* EIO */
		return true;
	}
	return block->ops->submit(block, request);
}

/* Nothing is under way any more. */
static inline void block_close(struct block *block)
{
	if (block)
		block->ops->close(block);
}

#endif
