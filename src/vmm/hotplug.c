/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and shared folders that come and go; see hotplug.h.
 */
#include "vmm/hotplug.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "board/board.h"
#include "disk/block.h"
#include "vmm/media.h"
#include "vmm/runtime.h"

#define NS_PER_S 1000000000u

struct plugged {
	struct block *block; /* neither this nor a share: the place is free */
	struct share *share;
	struct machine_share given; /* of a share; its strings are ours */
	char name[HOTPLUG_NAME_MAX + 1];
	enum board_bus bus;
	bool leaving;
	uint64_t deadline; /* host_monotonic_ns(); 0: nobody waits */
};

struct hotplug {
	struct loop *loop;
	struct board *board;
	int timer;
	_Atomic uint32_t let_go; /* a bit for each place */
	struct plugged slot[BOARD_PLACES_MAX];
	void (*gone)(void *ctx, unsigned int slot, bool released);
	void *gone_ctx;
	void (*closing)(void *ctx, struct block *block);
	void *closing_ctx;
	void (*full)(void *ctx);
	void *full_ctx;
};

static_assert(BOARD_PLACES_MAX <= 32, "bits of let_go");

const char *hotplug_bus_name(enum board_bus bus)
{
	static const char *const names[] = {
		[BOARD_VIRTIO] = "virtio",
		[BOARD_NVME] = "nvme",
		[BOARD_AHCI] = "ahci",
	};

	return bus < sizeof(names) / sizeof(names[0]) ? names[bus] : NULL;
}

struct hotplug *hotplug_create(void)
{
	struct hotplug *h = calloc(1, sizeof(*h));

	if (h)
		h->timer = -1;
	return h;
}

void hotplug_on_gone(struct hotplug *h,
		     void (*gone)(void *ctx, unsigned int slot, bool released),
		     void *ctx)
{
	h->gone = gone;
	h->gone_ctx = ctx;
}

/* --- a full host ------------------------------------------------------------ */

void hotplug_on_full(struct hotplug *h, void (*changed)(void *ctx), void *ctx)
{
	h->full = changed;
	h->full_ctx = ctx;
}

void hotplug_on_close(struct hotplug *h,
		      void (*closing)(void *ctx, struct block *block),
		      void *ctx)
{
	h->closing = closing;
	h->closing_ctx = ctx;
}

struct block *hotplug_at(const struct hotplug *h, unsigned int index,
			 const char **name)
{
	*name = h->slot[index].name;
	return h->slot[index].block;
}

struct block *hotplug_full(const struct hotplug *h)
{
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		if (h->slot[i].block && disk_block_full(h->slot[i].block))
			return h->slot[i].block;
	return NULL;
}

void hotplug_hurry(struct hotplug *h, bool hurry)
{
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		if (h->slot[i].block)
			disk_block_hurry(h->slot[i].block, hurry);
}

/* --- the end of a disk ------------------------------------------------------ */

static void forget(struct hotplug *h, struct plugged *plugged)
{
	if (h->closing && plugged->block)
		h->closing(h->closing_ctx, plugged->block);
	block_close(plugged->block);
	share_close(plugged->share);
	free((char *)plugged->given.folder);
	free((char *)plugged->given.at);
	*plugged = (struct plugged){ 0 };
	if (h->full)
		h->full(h->full_ctx); /* it may have been this one */
}

static void finish(struct hotplug *h, unsigned int slot)
{
	board_clear(h->board, slot);
	forget(h, &h->slot[slot]);
	if (h->gone)
		h->gone(h->gone_ctx, slot, true);
}

void hotplug_let_go(void *hotplug, unsigned int slot)
{
	struct hotplug *h = hotplug;

	atomic_fetch_or(&h->let_go, 1u << slot);
	if (h->loop)
		loop_wake(h->loop);
}

void hotplug_woken(struct hotplug *h)
{
	uint32_t let_go = atomic_exchange(&h->let_go, 0);

	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		if (let_go >> i & 1)
			finish(h, i);
}

/* --- patience --------------------------------------------------------------- */

static void arm(struct hotplug *h)
{
	struct itimerspec when = { 0 };
	uint64_t first = 0;

	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		uint64_t deadline = h->slot[i].deadline;

		if (deadline && (!first || deadline < first))
			first = deadline;
	}
	when.it_value.tv_sec = (time_t)(first / NS_PER_S);
	when.it_value.tv_nsec = (long)(first % NS_PER_S);
	timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void deadline_passed(void *ctx, uint32_t events)
{
	struct hotplug *h = ctx;
	uint64_t now = host_monotonic_ns(), passed;

	if (read(h->timer, &passed, sizeof(passed)) != sizeof(passed))
		return;
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		if (!h->slot[i].deadline || h->slot[i].deadline > now)
			continue;
		h->slot[i].deadline = 0;
		if (h->gone)
			h->gone(h->gone_ctx, i, false);
	}
	arm(h);
}

/* --- attach ----------------------------------------------------------------- */

static bool is_taken(const struct plugged *plugged)
{
	return plugged->block || plugged->share;
}

static struct plugged *find(struct hotplug *h, const char *name)
{
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		if (is_taken(&h->slot[i]) && !strcmp(h->slot[i].name, name))
			return &h->slot[i];
	return NULL;
}

/* There are more numbers than places. */
static void any_name(struct hotplug *h, char name[HOTPLUG_NAME_MAX + 1])
{
	for (unsigned int n = 1; n <= BOARD_PLACES_MAX + 1; n++) {
		snprintf(name, HOTPLUG_NAME_MAX + 1, "disk%u", n);
		if (!find(h, name))
			return;
	}
}

/* What plugging `new` in came to, `rc`; `what` it is, for people. */
static enum hotplug_outcome place(struct hotplug *h, struct plugged *new,
				  int rc, unsigned int slot, const char *what,
				  struct vmm_error *error)
{
	if (!rc) {
		h->slot[slot] = *new;
		return HOTPLUG_DONE;
	}
	if (rc == -ENOSPC || rc == -ENOENT) {
		vmm_error_set(error, rc == -ENOSPC ?
			      "every slot is taken; detach something first" :
			      "the machine has no SATA controller; it has one "
			      "that is started with a SATA disk or CD");
		return HOTPLUG_NO_SLOT;
	}
	vmm_error_set(error, "%s: %s", what, strerror(-rc));
	return HOTPLUG_FAILED;
}

static enum hotplug_outcome plug(struct hotplug *h, struct plugged *new,
				 const struct machine_disk *disk,
				 const char **taken, struct vmm_error *error)
{
	const struct board_disk device = {
		.block = new->block,
		.queues = disk->queues,
		.serial = disk->serial,
		.bus = disk->bus,
	};
	unsigned int slot = 0;
	enum hotplug_outcome outcome;
	int rc;

	disk_block_on_full(new->block, h->full, h->full_ctx);
	rc = board_plug_disk(h->board, &device, &slot);
	outcome = place(h, new, rc, slot, disk->path, error);
	*taken = h->slot[slot].name;
	return outcome;
}

struct block *hotplug_find(const struct hotplug *h, const char *name)
{
	struct plugged *plugged = find((struct hotplug *)h, name);

	return plugged ? plugged->block : NULL;
}

enum hotplug_outcome hotplug_attach(struct hotplug *h,
				    const struct machine_disk *disk,
				    const char *name, const char **taken,
				    struct vmm_error *error)
{
	enum hotplug_outcome outcome = HOTPLUG_FAILED;
	struct plugged new = { 0 };

	if (name && !runtime_name_valid(name)) {
		vmm_error_set(error, "name %.80s: give 1 to %d letters, digits "
			      "and - _ . with no . or - first", name,
			      HOTPLUG_NAME_MAX);
		return HOTPLUG_BAD_NAME;
	}
	if (name && find(h, name)) {
		vmm_error_set(error, "something named %s is attached already; "
			      "give another name", name);
		return HOTPLUG_EXISTS;
	}
	if (name)
		snprintf(new.name, sizeof(new.name), "%s", name);
	else
		any_name(h, new.name);
	new.bus = disk->bus;
	if (!media_open_disk(&new.block, disk, error))
		outcome = plug(h, &new, disk, taken, error);
	if (outcome != HOTPLUG_DONE)
		forget(h, &new);
	return outcome;
}

enum hotplug_outcome hotplug_attach_share(struct hotplug *h,
					  const struct machine_share *share,
					  struct vmm_error *error)
{
	enum hotplug_outcome outcome = HOTPLUG_FAILED;
	struct plugged new = { .given = *share };
	struct board_share device = { .tag = share->tag };
	unsigned int slot = 0;
	int rc;

	if (find(h, share->tag)) {
		vmm_error_set(error, "something named %s is attached already; "
			      "give another tag", share->tag);
		return HOTPLUG_EXISTS;
	}
	snprintf(new.name, sizeof(new.name), "%s", share->tag);
	new.given.folder = strdup(share->folder);
	new.given.at = strdup(share->at);
	if (!new.given.folder || !new.given.at)
		vmm_error_set(error, "out of memory");
	else if (!shares_open_one(&new.share, share,
				  board_vm(h->board)->cpu_count, error)) {
		device.share = new.share;
		rc = board_plug_share(h->board, &device, &slot);
		outcome = place(h, &new, rc, slot, share->folder, error);
	}
	if (outcome != HOTPLUG_DONE)
		forget(h, &new);
	return outcome;
}

bool hotplug_has(const struct hotplug *h, const char *name)
{
	return find((struct hotplug *)h, name);
}

/* --- detach ----------------------------------------------------------------- */

enum hotplug_outcome hotplug_detach(struct hotplug *h, const char *name,
				    bool force, unsigned int *slot,
				    struct vmm_error *error)
{
	struct plugged *plugged = find(h, name);

	if (!plugged) {
		vmm_error_set(error, "nothing named %.80s is attached; see "
			      "lodge inspect", name);
		return HOTPLUG_NOT_FOUND;
	}
	*slot = (unsigned int)(plugged - h->slot);
	plugged->leaving = true;
	if (force) {
		if (plugged->block)
			disk_block_hurry(plugged->block, true);
		board_pull(h->board, *slot);
		/* The guest may have let it go a moment before. */
		atomic_fetch_and(&h->let_go, ~(1u << *slot));
		finish(h, *slot);
		return HOTPLUG_DONE;
	}
	plugged->deadline = host_monotonic_ns() +
			    (uint64_t)HOTPLUG_PATIENCE * NS_PER_S;
	arm(h);
	board_ask(h->board, *slot);
	return HOTPLUG_WAITS;
}

/* --- the whole -------------------------------------------------------------- */

/* As the guest counts slots, from 1, and SATA ports, from 0. */
static unsigned int number_of(unsigned int place)
{
	return place < BOARD_PORTS_MAX ? place + 1 : place - BOARD_PORTS_MAX;
}

json_t *hotplug_inspect(const struct hotplug *h)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		const struct plugged *plugged = &h->slot[i];
		struct block *block = plugged->block;

		if (!is_taken(plugged))
			continue;
		json_array_append_new(
			list,
			json_pack("{ssssss?sssisb}", "name", plugged->name,
				  "device", block ? "disk" : "share", "path",
				  block ? disk_block_node(block)->name :
					  plugged->given.folder,
				  "bus", hotplug_bus_name(plugged->bus),
				  "slot", (int)number_of(i), "leaving",
				  (int)plugged->leaving));
	}
	return list;
}

void hotplug_add_shares(const struct hotplug *h, json_t *list)
{
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		if (h->slot[i].share)
			json_array_append_new(
				list, shares_json(&h->slot[i].given,
						  h->slot[i].share, true));
}

int hotplug_start(struct hotplug *h, struct loop *loop, struct board *board)
{
	h->loop = loop;
	h->board = board;
	h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (h->timer < 0)
		return -errno;
	return loop_add(loop, h->timer, LOOP_READ, deadline_passed, h);
}

void hotplug_close(struct hotplug *h)
{
	if (!h)
		return;
	if (h->timer >= 0) {
		loop_remove(h->loop, h->timer);
		close(h->timer);
	}
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++)
		forget(h, &h->slot[i]);
	free(h);
}
