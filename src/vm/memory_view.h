/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of devices that guests see as memory: a linear frame buffer behind
 * a BAR. It is allocated once; views, which are parts of it at addresses of
 * the guest's choice, come and go and move while processors run. A processor
 * reaches a view as fast as RAM. Where a view cannot be, its device answers
 * accesses by its callbacks.
 *
 * Everything here is called with the device lock held, or before the machine
 * runs, except memory_settle().
 */
#ifndef LODGE_VM_MEMORY_VIEW_H
#define LODGE_VM_MEMORY_VIEW_H

#include "vm/memory.h"

/* Zeroed pages for a device; they go with the memory. -ENOSPC, -ENOMEM. */
int memory_device_alloc(struct memory *mem, uint64_t size, uint8_t **host);

/* Index into page_flags of the page of device memory at `host`. */
static inline uint64_t memory_device_page(const struct memory *mem,
					  const uint8_t *host)
{
	return (mem->ram.size + mem->rom.size +
		(uint64_t)(host - mem->device.base)) >> PAGE_SHIFT;
}

/* A view that shows nothing yet: its number, or -ENOSPC. `name` is kept. */
int memory_view_add(struct memory *mem, const char *name);

/*
 * Has the view show `size` bytes of device memory at guest address `base`,
 * and nothing else. False: it shows nothing now, for regions or another view
 * are there, or it has moved too often since the last reset.
 */
bool memory_view_map(struct memory *mem, unsigned int view, gpa_t base,
		     uint8_t *host, uint64_t size);
void memory_view_unmap(struct memory *mem, unsigned int view);

/* Unmaps all. No processor runs, and no device is at work. */
void memory_views_reset(struct memory *mem);

/*
 * Comes back when no processor uses views as they were. On the thread of
 * processor `cpu`, no lock held: whoever changes views is done with it before
 * its next instruction.
 */
static inline void memory_settle(struct memory *mem, struct x86_cpu *cpu)
{
	uint64_t moves = atomic_load_explicit(&mem->moves,
					      memory_order_relaxed);

	if (__builtin_expect(moves == atomic_load_explicit(
					      &mem->settled,
					      memory_order_relaxed), 1))
		return;
	if (mem->hooks && mem->hooks->settle)
		mem->hooks->settle(mem->hooks_ctx, cpu);
	atomic_store(&mem->settled, moves);
}

/*
 * Sets bit n of `bitmap` when page n of the device memory at `host` may have
 * been written since it was asked last: all pages that were, and for a while
 * some more. What is read afterwards is as new as that. True: any was.
 */
bool memory_device_written(struct memory *mem, const uint8_t *host,
			   uint64_t size, uint64_t *bitmap);

#endif
