/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a debugger outside the guest wants to be told of: addresses of code
 * and ranges of data, all linear. What the guest reads of its memory and of
 * its debug registers stays the same.
 */
#ifndef LODGE_X86_DEBUG_H
#define LODGE_X86_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/addr.h"

#define X86_BREAKS_MAX	256
#define X86_WATCHES_MAX 32

struct x86_watch {
	uint64_t first;
	uint64_t size; /* at least 1 */
	bool read, write;
};

struct x86_break {
	uint64_t linear;
	/* For engines that have to mark the code: where its first byte lay
	 * when the breakpoint was set, and whether they may do so. */
	gpa_t memory;
	bool mark;
};

struct x86_debug {
	unsigned int breaks, watches;
	struct x86_break at[X86_BREAKS_MAX];
	struct x86_watch watch[X86_WATCHES_MAX];
};

/* How a processor under a debugger executes. */
enum x86_debug_step {
	X86_DEBUG_GO,
	X86_DEBUG_AGAIN, /* one instruction that was interrupted by itself */
	X86_DEBUG_STEP,	 /* one instruction, then stop; no interrupts */
};

/* The first watched range that an access touches, or NULL. */
static inline const struct x86_watch *
x86_debug_watch(const struct x86_debug *debug, uint64_t linear,
		unsigned int size, bool write)
{
	for (unsigned int i = 0; i < debug->watches; i++) {
		const struct x86_watch *w = &debug->watch[i];

		if ((write ? w->write : w->read) &&
		    (linear - w->first < w->size ||
		     w->first - linear < size))
			return w;
	}
	return NULL;
}

#endif
