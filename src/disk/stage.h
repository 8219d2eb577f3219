/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of huge pages for large transfers past the page cache.
 *
 * A disk takes a transfer as a list of pieces of memory, each contiguous for
 * it, and a short list: of 254 pieces on many. Guest memory is of small pages,
 * so that a transfer of 1 MiB is cut into several there, which together take
 * twice as long. In memory of huge pages it is one piece; the copy costs a
 * tenth of what that gains.
 */
#ifndef LODGE_DISK_STAGE_H
#define LODGE_DISK_STAGE_H

#include <pthread.h>
#include <stdbool.h>

#include "vm/span.h"
#include "disk/driver.h"

#define DISK_STAGE_SLOTS 4u
#define DISK_STAGE_MIN	 (256u << 10) /* smaller ones are as fast without */
#define DISK_STAGE_MAX	 (2u << 20)

struct disk_stage_slot {
	struct disk_io *io; /* NULL: free */
	struct disk_vec vec; /* what it asked for */
	struct span span;
};

struct disk_stage {
	pthread_mutex_t lock;
	void *memory; /* of all slots; NULL: none yet */
	struct disk_stage_slot slot[DISK_STAGE_SLOTS];
};

/* Memory of `size` bytes, a multiple of 2 MiB, in huge pages where the kernel
 * has them; NULL: none. Its owner unmaps it. */
void *disk_stage_map(size_t size);

void disk_stage_init(struct disk_stage *stage);
void disk_stage_fini(struct disk_stage *stage);

/*
 * Gives the transfer a slot as its memory, with what is to be written in it.
 * False: it is too small or too large, or none is free; nothing has changed.
 */
bool disk_stage_enter(struct disk_stage *stage, struct disk_io *io);

/*
 * The transfer is over, io->error says how: it has its own memory again, with
 * what was read. Nothing happens to one that has no slot.
 */
void disk_stage_leave(struct disk_stage *stage, struct disk_io *io);

#endif
