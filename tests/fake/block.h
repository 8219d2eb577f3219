/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block in memory for unit tests. Requests end at once, or, when `later` is
 * set, in fake_block_end(), in the order that the test wants.
 */
#ifndef LODGE_FAKE_BLOCK_H
#define LODGE_FAKE_BLOCK_H

#include "vm/block.h"

#define FAKE_BLOCK_WAITING 64

struct fake_block {
	struct block block;
	uint8_t *data;
	bool later;
	int fail; /* error of every request from now on, or 0 */
	struct block_request *waiting[FAKE_BLOCK_WAITING];
	unsigned int waiting_count;
	unsigned int flushes, discards, unmaps; /* seen */
};

void fake_block_init(struct fake_block *fake, uint8_t *data, uint64_t size);

/* Ends waiting request `index`; the others move up. */
void fake_block_end(struct fake_block *fake, unsigned int index);

/* A request on one piece of memory to any block, to its end; its error. */
int fake_block_run(struct block *block, enum block_op op, uint64_t offset,
		   void *buf, size_t size);

#endif
