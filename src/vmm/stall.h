/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host without room for what the guest writes: the machine is stopped until
 * there is some, and nothing is lost (disk/block.h). All of it on the loop's
 * thread, but for stall_changed().
 */
#ifndef LODGE_VMM_STALL_H
#define LODGE_VMM_STALL_H

#include <stdatomic.h>
#include <stdbool.h>

struct drives;
struct hotplug;
struct loop;
struct media;
struct pause;

struct stall {
	const char *name; /* the machine's */
	struct media *media;
	struct hotplug *hotplug;
	struct drives *drives;
	struct pause *pause;
	struct loop *loop;
	_Atomic bool changed;
	bool stalled;
	bool watchdog; /* the watchdog has paused it, not a user */
	char reason[200]; /* while it is */
};

/* When disks are there and before they are used: watches them. */
void stall_watch(struct stall *stall);

/* For disk_block_on_full() with the stall. Any thread. */
void stall_changed(void *stall);

/* To be called on the loop's wake. */
void stall_woken(struct stall *stall);

/* Before a run, and behind it: then no disk waits for room any more. */
void stall_begin(struct stall *stall);
void stall_end(struct stall *stall);

/* Why the machine does not run; NULL: it does. */
const char *stall_reason(const struct stall *stall);

#endif
