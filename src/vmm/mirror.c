/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "vmm/hotplug.h"
#include "vmm/media.h"

/* --- which disk --------------------------------------------------------------- */

static bool is_disk(struct block *block, const char *name)
{
	const char *path = disk_block_node(block)->name;
	char *real = realpath(path, NULL);
	bool same = !strcmp(path, name) || (real && !strcmp(real, name));

	free(real);
	return same;
}

/* The disk called so; `name` NULL: the only one. NULL: there is none, or
 * several. */
static struct block *find_disk(const struct mirror *mirror, const char *name)
{
	struct block *found = NULL;

	if (name && (found = hotplug_find(mirror->hotplug, name)))
		return found;
	for (unsigned int i = 0; i < mirror->media->config->disk_count; i++) {
		struct block *block = mirror->media->disk[i];

		if (!block || mirror->media->config->disk[i].cd ||
		    (name && !is_disk(block, name)))
			continue;
		if (found)
			return NULL;
		found = block;
	}
	return found;
}

static json_t *disk_json(struct block *block, const char *name)
{
	const struct disk_node *node = disk_block_node(block);

	/* Under a mirror: the image that the disk has until it moves. */
	if (node->file && !strcmp(node->driver->name, "mirror"))
		node = node->file;
	return json_pack("{sosssIss*}", "path", json_string(node->name),
			 "format", node->driver->name, "size",
			 (json_int_t)node->size, "name", name);
}

json_t *mirror_disks(const struct mirror *mirror)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < mirror->media->config->disk_count; i++)
		if (mirror->media->disk[i] &&
		    !mirror->media->config->disk[i].cd)
			json_array_append_new(
				list, disk_json(mirror->media->disk[i], NULL));
	for (unsigned int i = 0; i < BOARD_PLACES_MAX; i++) {
		const char *name;
		struct block *block = hotplug_at(mirror->hotplug, i, &name);

		if (block)
			json_array_append_new(list, disk_json(block, name));
	}
	return list;
}

/* --- begin -------------------------------------------------------------------- */

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

static int begin(struct mirror *mirror, const struct disk_create *how,
		 struct disk_error *error)
{
	const struct disk_driver *driver =
		how->format ? disk_driver_find(how->format)
			    : disk_driver_by_path(how->path);
	struct disk_node *target;
	int result = open_target(&target, how, error);

	if (result)
		return result;
	result = disk_mirror_start(&mirror->copy, mirror->block, target,
				   !driver || !driver->noisy, error);
	if (result) {
		disk_close(target);
		unlink(how->path);
	}
	return result;
}

enum mirror_outcome mirror_begin(struct mirror *mirror, const char *disk,
				 const struct disk_create *how,
				 struct vmm_error *error)
{
	struct disk_create sized = *how;
	struct disk_error why;

	if (mirror->copy) {
		vmm_error_set(error, "a disk is being copied to %s; wait for "
			      "that, or cancel it", mirror->target);
		return MIRROR_BUSY;
	}
	mirror->block = find_disk(mirror, disk);
	if (!mirror->block) {
		vmm_error_set(error, disk ? "no disk %s; lodge status lists "
					    "them"
					  : "%s which disk? there is not just "
					    "one", disk ? disk : "mirror:");
		return MIRROR_NOT_FOUND;
	}
	sized.size = mirror->block->size;
	free(mirror->target);
	mirror->target = strdup(how->path);
	if (mirror->target && !begin(mirror, &sized, &why))
		return MIRROR_DONE;
	vmm_error_set(error, "%s: %s", how->path,
		      mirror->target ? why.text : "out of memory");
	return MIRROR_FAILED;
}

/* --- end ---------------------------------------------------------------------- */

enum mirror_outcome mirror_finish(struct mirror *mirror, enum mirror_end end,
				  struct vmm_error *error)
{
	struct disk_mirror_status status;
	struct disk_error why;

	if (!mirror->copy) {
		vmm_error_set(error, "no disk is being copied");
		return MIRROR_NOT_FOUND;
	}
	disk_mirror_look(mirror->copy, &status);
	if (end == MIRROR_CANCEL) {
		mirror_forget(mirror, NULL);
		return MIRROR_DONE;
	}
	if (status.state == DISK_MIRROR_COPIES) {
		vmm_error_set(error, "not all is copied to %s yet",
			      mirror->target);
		return MIRROR_BUSY;
	}
	if (!disk_mirror_finish(mirror->copy, end == MIRROR_MOVE, &why)) {
		mirror->copy = NULL;
		return MIRROR_DONE;
	}
	vmm_error_set(error, "%s: %s", mirror->target, why.text);
	mirror_forget(mirror, NULL);
	return MIRROR_FAILED;
}

void mirror_forget(void *ctx, struct block *block)
{
	struct mirror *mirror = ctx;

	if (!mirror->copy || (block && block != mirror->block))
		return;
	disk_mirror_cancel(mirror->copy);
	mirror->copy = NULL;
	unlink(mirror->target);
}

/* --- what it is --------------------------------------------------------------- */

json_t *mirror_json(const struct mirror *mirror)
{
	static const char *const names[] = {
		[DISK_MIRROR_COPIES] = "copies",
		[DISK_MIRROR_READY] = "ready",
		[DISK_MIRROR_FAILED] = "failed",
	};
	struct disk_mirror_status status;

	if (!mirror->copy)
		return json_pack("{ss}", "state", "none");
	disk_mirror_look(mirror->copy, &status);
	return json_pack("{sssssssIsIss*}", "state", names[status.state],
			 "disk", disk_block_node(mirror->block)->name, "target",
			 mirror->target, "done", (json_int_t)status.done,
			 "total", (json_int_t)status.total, "error",
			 status.error ? strerror(-status.error) : NULL);
}
