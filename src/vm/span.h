/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of host memory; laid out as POSIX's struct iovec. */
#ifndef LODGE_VM_SPAN_H
#define LODGE_VM_SPAN_H

#include <stddef.h>

struct span {
	void *data;
	size_t size;
};

#endif
