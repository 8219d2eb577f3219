/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of host memory; laid out as POSIX's struct iovec. */
#ifndef LODGE_VM_SPAN_H
#define LODGE_VM_SPAN_H

#include <stddef.h>

struct span {
	void *data;
	size_t size;
};

/*
 * The part [skip, skip + size) of all the bytes that `from` has, in as many
 * spans as it takes, which `to` has room for; their number.
 */
unsigned int span_cut(struct span *to, const struct span *from,
		      unsigned int spans, size_t skip, size_t size);

#endif
