/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a transfer: a list of spans, from a byte of it on. Cheap to
 * pass by value and to cut; who passes the length along says where it ends.
 */
#ifndef LODGE_DISK_VEC_H
#define LODGE_DISK_VEC_H

#include <stddef.h>
#include <stdint.h>

#include "vm/span.h"

struct disk_vec {
	const struct span *span;
	unsigned int spans;
	size_t skip; /* bytes of the spans in front of the first that counts */
};

/* The same memory from `bytes` further on. */
static inline struct disk_vec disk_vec_from(struct disk_vec vec, size_t bytes)
{
	vec.skip += bytes;
	return vec;
}

/* `size` bytes between the vec and `buf`, or of zeros to it. */
void disk_vec_fill(struct disk_vec to, const void *buf, size_t size);
void disk_vec_gather(void *buf, struct disk_vec from, size_t size);
void disk_vec_clear(struct disk_vec to, size_t size);

#endif
