/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and shared folders that are attached to a running machine and detached
 * from it: their names, images and places. All of it on the loop's thread, but
 * for hotplug_let_go().
 *
 * What is detached stays until the guest has let it go, or is pulled
 * out at once. Either way `gone` is called when it has ended.
 */
#ifndef LODGE_VMM_HOTPLUG_H
#define LODGE_VMM_HOTPLUG_H

#include <jansson.h>
#include <stdbool.h>

#include "host/linux/loop.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define HOTPLUG_NAME_MAX 63
#define HOTPLUG_PATIENCE 30 /* seconds that a guest has to let go */

struct board;
struct hotplug;

enum hotplug_outcome {
	HOTPLUG_DONE,
	HOTPLUG_WAITS, /* `gone` will be called for the place */
	HOTPLUG_BAD_NAME,
	HOTPLUG_EXISTS,
	HOTPLUG_NOT_FOUND,
	HOTPLUG_NO_SLOT,
	HOTPLUG_FAILED,
};

/* "virtio", "nvme", "ahci"; NULL: nothing on that bus comes and goes. */
const char *hotplug_bus_name(enum board_bus bus);

/* NULL: no memory. */
struct hotplug *hotplug_create(void);

/* For struct board_config.let_go. Any thread. */
void hotplug_let_go(void *hotplug, unsigned int place);

/* 0 or a negative errno. */
int hotplug_start(struct hotplug *hotplug, struct loop *loop,
		  struct board *board);

/* After the board's end, before the loop's. NULL is fine. */
void hotplug_close(struct hotplug *hotplug);

/* To be called on the loop's wake. */
void hotplug_woken(struct hotplug *hotplug);

/*
 * Whom to tell that a detached disk is gone, or that the guest has not let it
 * go in time (`released` false; it may still do so).
 */
void hotplug_on_gone(struct hotplug *hotplug,
		     void (*gone)(void *ctx, unsigned int place,
				  bool released),
		     void *ctx);

/* The disk attached by this name, or NULL. */
struct block *hotplug_find(const struct hotplug *hotplug, const char *name);

/* What is attached in place `index` and its name; NULL: nothing. */
struct block *hotplug_at(const struct hotplug *hotplug, unsigned int index,
			 const char **name);

/* Called before a disk's block is closed. */
void hotplug_on_close(struct hotplug *hotplug,
		      void (*closing)(void *ctx, struct block *block),
		      void *ctx);

/* For disks that are attached from now on: disk_block_on_full(). */
void hotplug_on_full(struct hotplug *hotplug, void (*changed)(void *ctx),
		     void *ctx);

/* The first that waits for room on the host, or NULL; disk_block_hurry() of
 * all. */
struct block *hotplug_full(const struct hotplug *hotplug);
void hotplug_hurry(struct hotplug *hotplug, bool hurry);

/*
 * Plugs a disk in. `name` is what hotplug_detach() takes; NULL: one of disk1,
 * disk2 ... *taken is good until the disk is gone.
 */
enum hotplug_outcome hotplug_attach(struct hotplug *hotplug,
				    const struct machine_disk *disk,
				    const char *name, const char **taken,
				    struct vmm_error *error);

/* The same with a shared folder, whose name is its tag. */
enum hotplug_outcome hotplug_attach_share(struct hotplug *hotplug,
					  const struct machine_share *share,
					  struct vmm_error *error);

/* Whether something is attached by this name. */
bool hotplug_has(const struct hotplug *hotplug, const char *name);

/* Asks for it back, or with `force` pulls it out. */
enum hotplug_outcome hotplug_detach(struct hotplug *hotplug, const char *name,
				    bool force, unsigned int *place,
				    struct vmm_error *error);

/* A list of objects: name, device, path, bus, slot, leaving. */
json_t *hotplug_inspect(const struct hotplug *hotplug);

/* Those of them that are shares, to a list of shares_json(). */
void hotplug_add_shares(const struct hotplug *hotplug, json_t *list);

#endif
