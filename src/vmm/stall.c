/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/stall.h"

#include <stdio.h>

#include "disk/block.h"
#include "host/linux/loop.h"
#include "vm/host.h"
#include "vmm/drives.h"
#include "vmm/hotplug.h"
#include "vmm/media.h"
#include "vmm/pause.h"

void stall_watch(struct stall *stall)
{
	for (unsigned int i = 0; i < BOARD_DISKS_MAX; i++)
		if (stall->media->disk[i])
			disk_block_on_full(stall->media->disk[i],
					   stall_changed, stall);
	for (unsigned int i = 0; i < BOARD_FLOPPIES_MAX; i++)
		if (stall->media->floppy[i])
			disk_block_on_full(stall->media->floppy[i],
					   stall_changed, stall);
	hotplug_on_full(stall->hotplug, stall_changed, stall);
	drives_on_full(stall->drives, stall_changed, stall);
}

void stall_changed(void *ctx)
{
	struct stall *stall = ctx;

	atomic_store(&stall->changed, true);
	if (stall->loop)
		loop_wake(stall->loop);
}

/* The first disk that waits for room; NULL. */
static struct block *full_disk(const struct stall *stall)
{
	for (unsigned int i = 0; i < BOARD_DISKS_MAX; i++) {
		struct block *block = stall->media->disk[i];

		if (block && disk_block_full(block))
			return block;
	}
	for (unsigned int i = 0; i < BOARD_FLOPPIES_MAX; i++) {
		struct block *block = stall->media->floppy[i];

		if (block && disk_block_full(block))
			return block;
	}
	return hotplug_full(stall->hotplug);
}

void stall_woken(struct stall *stall)
{
	struct block *full;

	if (!atomic_exchange(&stall->changed, false))
		return;
	full = full_disk(stall);
	if (full && !stall->stalled) {
		snprintf(stall->reason, sizeof(stall->reason),
			 "no room on the host for disk %.140s",
			 disk_block_node(full)->name);
		host_log(HOST_LOG_WARN, "%s: %s; it is paused, make room and "
			 "it goes on", stall->name, stall->reason);
	}
	if (!full && stall->stalled)
		host_log(HOST_LOG_WARN, "%s: there is room again, it goes on",
			 stall->name);
	if (!full == stall->stalled)
		pause_hold(stall->pause, PAUSE_FULL, full);
	stall->stalled = full;
}

/* From now on disks wait for room, or do not. */
static void set_hurry(struct stall *stall, bool hurry)
{
	for (unsigned int i = 0; i < BOARD_DISKS_MAX; i++)
		if (stall->media->disk[i])
			disk_block_hurry(stall->media->disk[i], hurry);
	for (unsigned int i = 0; i < BOARD_FLOPPIES_MAX; i++)
		if (stall->media->floppy[i])
			disk_block_hurry(stall->media->floppy[i], hurry);
	hotplug_hurry(stall->hotplug, hurry);
}

void stall_begin(struct stall *stall)
{
	stall->stalled = false;
	set_hurry(stall, false);
}

void stall_end(struct stall *stall)
{
	set_hurry(stall, true);
}

const char *stall_reason(const struct stall *stall)
{
	if (stall->stalled)
		return stall->reason;
	if (!(stall->pause->held & PAUSE_USER))
		return NULL;
	return stall->watchdog ? "by its watchdog" : "by lodge pause";
}
