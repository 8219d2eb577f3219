/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/disks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/chain.h"
#include "disk/driver.h"
#include "vmm/hotplug.h"
#include "vmm/media.h"
#include "vmm/moves.h"

/* --- which disk --------------------------------------------------------------- */

static bool is_file(const struct disk_node *node, const char *name)
{
	char *real = realpath(node->name, NULL);
	char *wanted = realpath(name, NULL);
	bool same = !strcmp(node->name, name) ||
		    (real && wanted && !strcmp(real, wanted));

	free(wanted);
	free(real);
	return same;
}

/* The disk called so; `name` NULL: the only one. NULL: there is none, or
 * several. */
static struct block *find_disk(const struct disks *disks, const char *name)
{
	struct block *found = NULL, *block;

	if (name && (found = hotplug_find(disks->hotplug, name)))
		return found;
	for (unsigned int i = 0; i < disks->media->config->disk_count; i++) {
		block = disks->media->disk[i];
		if (!block || disks->media->config->disk[i].cd ||
		    (name && !is_file(disk_live_image(block), name)))
			continue;
		if (found)
			return NULL;
		found = block;
	}
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		const char *taken;

		block = hotplug_at(disks->hotplug, i, &taken);
		if (!block ||
		    (name && !is_file(disk_live_image(block), name)))
			continue;
		if (found)
			return NULL;
		found = block;
	}
	return found;
}

/* What the disk was described by; NULL: it was attached later. */
static const struct machine_disk *config_of(const struct disks *disks,
					    const struct block *block)
{
	for (unsigned int i = 0; i < disks->media->config->disk_count; i++)
		if (disks->media->disk[i] == block)
			return &disks->media->config->disk[i];
	return NULL;
}

/* The folder of the stored image that the disk was made of; NULL: none. */
static const char *store_of(const struct disks *disks,
			    const struct block *block)
{
	const struct machine_disk *config = config_of(disks, block);

	return config ? config->folder : NULL;
}

static json_t *chain_json(const struct disk_node *node)
{
	json_t *list = json_array();

	while ((node = node->backing))
		json_array_append_new(list, json_string(node->name));
	return list;
}

static json_t *disk_json(struct block *block, const char *name)
{
	const struct disk_node *node = disk_live_image(block);

	return json_pack("{sosssIsoss*}", "path", json_string(node->name),
			 "format", node->driver->name, "size",
			 (json_int_t)node->size, "chain", chain_json(node),
			 "name", name);
}

static json_t *count_json(uint64_t requests, uint64_t bytes)
{
	return json_pack("{sI sI}", "requests", (json_int_t)requests, "bytes",
			 (json_int_t)bytes);
}

static json_t *figures_json(struct block *block, const char *name)
{
	struct disk_counts counts;

	disk_block_counts(block, &counts);
	return json_pack("{ss ss* so so so sI}", "path",
			 disk_live_image(block)->name, "name", name, "read",
			 count_json(counts.reads, counts.read_bytes),
			 "written",
			 count_json(counts.writes, counts.written_bytes),
			 "discarded",
			 count_json(counts.discards, counts.discarded_bytes),
			 "flushes", (json_int_t)counts.flushes);
}

/* Of each disk, those that came later last. */
static json_t *each(const struct disks *disks,
		    json_t *(*tell)(struct block *block, const char *name))
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < disks->media->config->disk_count; i++)
		if (disks->media->disk[i] && !disks->media->config->disk[i].cd)
			json_array_append_new(
				list, tell(disks->media->disk[i], NULL));
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		const char *name;
		struct block *block = hotplug_at(disks->hotplug, i, &name);

		if (block)
			json_array_append_new(list, tell(block, name));
	}
	return list;
}

json_t *disks_json(const struct disks *disks)
{
	return each(disks, disk_json);
}

json_t *disks_figures(const struct disks *disks)
{
	return each(disks, figures_json);
}

/* --- mirror ------------------------------------------------------------------- */

static int open_target(struct disk_node **target,
		       const struct disk_create *how, struct disk_error *error)
{
	const struct disk_open open = { .path = how->path,
					.format = how->format };
	int result = disk_create(how, error);

	if (!result && (result = disk_open(target, &open, error)))
		unlink(how->path);
	return result;
}

static int begin_mirror(struct disks *disks, const struct disks_task *task,
			struct disk_error *error)
{
	const struct disk_create how = { .path = task->target,
					 .format = task->format,
					 .size = disks->block->size };
	const struct machine_disk *config = config_of(disks, disks->block);
	const struct disk_driver *driver =
		how.format ? disk_driver_find(how.format)
			   : disk_driver_by_path(how.path);
	struct disk_node *target;
	int result = open_target(&target, &how, error);

	if (result)
		return result;
	result = disk_live_mirror(&disks->live, disks->block, target,
				  !driver || !driver->noisy, task->speed,
				  error);
	if (result) {
		disk_remove(target);
		disk_close(target);
	} else if (config) {
		disk_live_on_move(disks->live, config->moved,
				  config->moved_ctx);
	}
	return result;
}

/* --- commit ------------------------------------------------------------------- */

/* The image of the chain with that path; NULL: the next one. */
static struct disk_node *find_base(struct disk_node *image, const char *path)
{
	struct disk_node *base = image->backing;

	while (path && base && !is_file(base, path))
		base = base->backing;
	return base;
}

/* Whether it lies in that folder. */
static bool is_stored(const struct disk_node *base, const char *store)
{
	char *folder = store ? realpath(store, NULL) : NULL;
	char *real = realpath(base->name, NULL);
	size_t length = folder ? strlen(folder) : 0;
	bool in = folder && real && !strncmp(real, folder, length) &&
		  real[length] == '/';

	free(real);
	free(folder);
	return in;
}

static int begin_commit(struct disks *disks, const struct disks_task *task,
			struct disk_error *error)
{
	struct disk_node *image = disk_live_image(disks->block);
	struct disk_node *base = find_base(image, task->base);
	const struct machine_disk *config = config_of(disks, disks->block);
	int result;

	if (!image->backing)
		return disk_error_set(error, -EINVAL,
				      "stands on no other image");
	if (!base)
		return disk_error_set(error, -EINVAL, "is none of the images "
				      "that the disk stands on; lodge status "
				      "lists them");
	/* Images of a store are for any number of machines. */
	if (config && config->shared_base)
		return disk_error_set(error, -EINVAL, "stands on what other "
				      "machines stand on, too; use lodge "
				      "mirror, or lodge rebase --none");
	if (is_stored(base, store_of(disks, disks->block)))
		return disk_error_set(error, -EINVAL, "belongs to an image "
				      "that other machines may be made of; use "
				      "lodge mirror, or lodge rebase --none");
	if (config && config->moved && !moves_can_name(base))
		return disk_error_set(error, -EINVAL, "the machine's record "
				      "could not name %s as the %s image that "
				      "it is; stop the machine and use lodge "
				      "disk commit", base->name,
				      base->driver->name);
	result = disk_live_commit(&disks->live, disks->block, base, task->keep,
				  task->speed, error);
	if (!result && config)
		disk_live_on_move(disks->live, config->moved,
				  config->moved_ctx);
	return result;
}

/* --- rebase ------------------------------------------------------------------- */

/* What `path`, found from the image's folder, is in its chain; NULL. */
static struct disk_node *find_in_chain(struct disk_node *image,
				       const char *path)
{
	const char *slash = strrchr(image->name, '/');
	int folder = slash ? (int)(slash - image->name) + 1 : 0;
	struct disk_node *found;
	char *whole;

	if (path[0] == '/')
		folder = 0;
	if (asprintf(&whole, "%.*s%s", folder, image->name, path) < 0)
		return NULL;
	found = image->backing ? find_base(image, whole) : NULL;
	free(whole);
	return found;
}

static int begin_rebase(struct disks *disks, const struct disks_task *task,
			struct disk_error *error)
{
	struct disk_node *image = disk_live_image(disks->block), *to = NULL;
	const char *store = store_of(disks, disks->block);
	const struct disk_open how = { .path = image->name,
				       .folders = &store,
				       .folder_count = store ? 1 : 0,
				       .named = task->backing };
	bool fresh = false;
	int result = 0;

	if (!task->backing && !image->backing)
		return disk_error_set(error, -EINVAL,
				      "stands on no other image already");
	if (task->backing)
		to = find_in_chain(image, task->backing);
	if (task->backing && !to) {
		fresh = true;
		result = disk_open_backing(&to, image, task->backing,
					   task->backing_format, &how, error);
	}
	if (result)
		return result;
	result = disk_live_rebase(&disks->live, disks->block, to,
				  task->backing,
				  task->backing_format ? task->backing_format
				  : to		       ? to->driver->name
						       : NULL,
				  task->speed, error);
	if (result && fresh)
		disk_close(to);
	return result;
}

/* --- begin -------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*begin)(struct disks *disks, const struct disks_task *task,
		     struct disk_error *error);
} works[] = {
	[DISKS_MIRROR] = { "mirror", begin_mirror },
	[DISKS_COMMIT] = { "commit", begin_commit },
	[DISKS_REBASE] = { "rebase", begin_rebase },
};

/* What errors of the task are about. */
static const char *subject_of(const struct disks *disks,
			      const struct disks_task *task)
{
	const char *path = task->work == DISKS_MIRROR ? task->target
						      : task->base;

	return path ? path : disk_live_image(disks->block)->name;
}

static int begin(struct disks *disks, const struct disks_task *task,
		 struct disk_error *error)
{
	int result;

	free(disks->target);
	disks->target = task->target ? strdup(task->target) : NULL;
	if (task->target && !disks->target)
		return disk_error_set(error, -ENOMEM, "out of memory");
	result = works[task->work].begin(disks, task, error);
	if (result)
		return result;
	disks->work = task->work;
	disks->speed = task->speed;
	return 0;
}

static enum disks_outcome no_disk(const char *name, struct vmm_error *error)
{
	if (name)
		vmm_error_set(error, "no disk %s; lodge status lists them",
			      name);
	else
		vmm_error_set(error, "which disk? there is not just one; say "
			      "--disk");
	return DISKS_NOT_FOUND;
}

enum disks_outcome disks_begin(struct disks *disks,
			       const struct disks_task *task,
			       struct vmm_error *error)
{
	struct disk_error why;

	if (disks->live) {
		vmm_error_set(error, "there is a %s of disk %s; wait for that, "
			      "or cancel it with lodge job",
			      works[disks->work].name,
			      disk_live_image(disks->block)->name);
		return DISKS_BUSY;
	}
	disks->block = find_disk(disks, task->disk);
	if (!disks->block)
		return no_disk(task->disk, error);
	if (!begin(disks, task, &why))
		return DISKS_DONE;
	vmm_error_set(error, "%s: %s", subject_of(disks, task), why.text);
	return DISKS_FAILED;
}

/* --- limits ------------------------------------------------------------------- */

enum disks_outcome disks_limit(struct disks *disks, const char *disk,
			       const struct disks_limits *change,
			       struct disk_limits *now,
			       struct vmm_error *error)
{
	struct block *block = find_disk(disks, disk);
	int result = 0;

	if (!block)
		return no_disk(disk, error);
	disk_block_limits(block, now);
	if (change->iops)
		now->iops = change->to.iops;
	if (change->bps)
		now->bps = change->to.bps;
	if (change->burst)
		now->burst_ms = change->to.burst_ms;
	if (change->iops || change->bps || change->burst)
		result = disk_block_limit(block, now);
	disk_block_limits(block, now);
	if (!result)
		return DISKS_DONE;
	vmm_error_set(error, "%s", strerror(-result));
	return DISKS_FAILED;
}

/* --- while it is under way, and its end --------------------------------------- */

static enum disks_outcome none(struct vmm_error *error)
{
	vmm_error_set(error, "there is no work on a disk");
	return DISKS_NOT_FOUND;
}

enum disks_outcome disks_speed(struct disks *disks, uint64_t speed,
			       struct vmm_error *error)
{
	if (!disks->live)
		return none(error);
	disks->speed = speed;
	disk_live_speed(disks->live, speed);
	return DISKS_DONE;
}

enum disks_outcome disks_end(struct disks *disks, enum disks_end end,
			     struct vmm_error *error)
{
	struct disk_live_status status;
	struct disk_error why;

	if (!disks->live)
		return none(error);
	disk_live_look(disks->live, &status);
	if (end == DISKS_CANCEL) {
		disks_forget(disks, NULL);
		return DISKS_DONE;
	}
	if (status.state == DISK_LIVE_WORKS) {
		vmm_error_set(error, "not all is copied yet");
		return DISKS_BUSY;
	}
	if (!disk_live_finish(disks->live, end == DISKS_KEEP, &why)) {
		disks->live = NULL;
		return DISKS_DONE;
	}
	vmm_error_set(error, "%s: %s",
		      disks->target ? disks->target
				    : disk_live_image(disks->block)->name,
		      why.text);
	disks_forget(disks, NULL);
	return DISKS_FAILED;
}

void disks_forget(void *ctx, struct block *block)
{
	struct disks *disks = ctx;

	if (!disks->live || (block && block != disks->block))
		return;
	disk_live_cancel(disks->live);
	disks->live = NULL;
}

json_t *disks_work_json(const struct disks *disks)
{
	static const char *const states[] = {
		[DISK_LIVE_WORKS] = "works",
		[DISK_LIVE_READY] = "ready",
		[DISK_LIVE_FAILED] = "failed",
	};
	struct disk_live_status status;

	if (!disks->live)
		return json_pack("{ss}", "state", "none");
	disk_live_look(disks->live, &status);
	return json_pack("{sssssoss*sIsIsIss*}", "state", states[status.state],
			 "work", works[disks->work].name, "disk",
			 json_string(disk_live_image(disks->block)->name),
			 "target", disks->target, "done",
			 (json_int_t)status.done, "total",
			 (json_int_t)status.total, "speed",
			 (json_int_t)disks->speed, "error",
			 status.error ? strerror(-status.error) : NULL);
}
