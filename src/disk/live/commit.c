/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM's disk goes on with an image that its own stands on, which
 * gets the content of all above it first. What the guest writes meanwhile goes
 * to the disk's image and, where the base has been given its content already,
 * to the base as well: then the end is near at any load.
 *
 * The base changes only where images above hide it. So the chain gives what it
 * gave until the guest first writes to the base alone; by then the base is
 * whole on the host's disk and the files above it are gone, which would hide
 * what is new.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/chain.h"
#include "disk/copy_on_read.h"
#include "disk/live/impl.h"

struct commit {
	struct disk_live live; /* its twin: the base */
	struct disk_node *above; /* stands on it */
	bool keep;
};

static struct commit *commit_of(struct disk_live *live)
{
	return (struct commit *)live;
}

/* One extent above the base; *did: its length. */
static int fold_extent(struct disk_live *live, uint64_t offset,
		       uint64_t length, uint64_t *did, uint64_t *moved)
{
	struct disk_piece piece;
	int error = disk_chain_map(live->image, live->twin, offset, length,
				   &piece);

	if (error)
		return error;
	*did = piece.extent.length;
	if (piece.extent.kind == DISK_HOLE)
		return 0;
	if (piece.extent.kind == DISK_ZERO)
		return disk_zero(live->twin, offset, *did, DISK_UNMAP);
	*moved += *did;
	error = disk_read_bytes(live->image, offset, live->buf, *did);
	return error ? error
		     : disk_write_bytes(live->twin, offset, live->buf, *did);
}

static int commit_piece(struct disk_live *live, uint64_t offset,
			uint64_t length, uint64_t *moved)
{
	uint64_t end = offset + length, did = 0;
	int error = 0;

	for (; offset < end && !error; offset += did)
		error = fold_extent(live, offset, end - offset, &did, moved);
	return error;
}

/* The name of a file in its folder is gone for good. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd;

	if (snprintf(folder, sizeof(folder), "%.*s",
		     slash ? (int)(slash - path) + 1 : 1,
		     slash ? path : ".") >= (int)sizeof(folder))
		return;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd); /* some file systems know none of folders */
	close(fd);
}

/* From the top: one that is left stands on what is there. */
static void remove_files(struct disk_node *image)
{
	for (; image; image = image->backing) {
		disk_remove(image);
		sync_folder(image->name);
	}
}

static int commit_finish(struct disk_live *live, bool keep,
			 struct disk_node **rest, struct disk_error *error)
{
	struct disk_node *before = live->node.file, *base = live->twin;
	int result = disk_flush(base);

	if (!result && live->moved)
		result = live->moved(live->moved_ctx, base);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	commit_of(live)->above->backing = NULL;
	if (!commit_of(live)->keep)
		remove_files(live->image);
	/* Without memory for that it is done without. */
	if (before != live->image)
		(void)disk_copy_on_read(&base, base, error);
	*rest = before;
	disk_live_leave(live, base);
	return 0;
}

static void commit_cancel(struct disk_live *live, struct disk_node **rest)
{
	disk_live_leave(live, live->node.file);
}

static const struct disk_live_ops commit_ops = {
	.piece = commit_piece,
	.finish = commit_finish,
	.cancel = commit_cancel,
};

/* The base is for us alone, writable, and as large as the disk. */
static int prepare(struct commit *commit, struct disk_node **base,
		   struct disk_error *error)
{
	uint64_t size = commit->live.image->size;
	int result = disk_make_writable(base, error);

	if (!result && (*base)->size < size)
		result = disk_resize(*base, size, DISK_PREALLOC_OFF, error);
	commit->live.twin = *base;
	return result;
}

static bool has_snapshots(struct disk_node *image,
			  const struct disk_node *base)
{
	struct disk_snapshot *list;
	unsigned int count = 0;

	for (; image != base && !count; image = image->backing) {
		if (disk_snapshot_list(image, &list, &count))
			continue;
		free(list);
	}
	return count;
}

static int check(struct disk_node *image, struct disk_node *base, bool keep,
		 struct disk_error *error)
{
	if (image->readonly)
		return disk_error_set(error, -EROFS, "the disk is read-only");
	if (image == base || !disk_chain_has(image, base))
		return disk_error_set(error, -EINVAL, "is none of the images "
				      "that the disk stands on");
	if (base->size > image->size)
		return disk_error_set(error, -EINVAL, "has %llu bytes, more "
				      "than the disk's %llu; stop the machine "
				      "and use lodge disk commit",
				      (unsigned long long)base->size,
				      (unsigned long long)image->size);
	if (!keep && has_snapshots(image, base))
		return disk_error_set(error, -EINVAL, "the images above it have "
				      "internal snapshots, which would be lost; "
				      "delete those, or keep the files");
	return 0;
}

int disk_live_commit(struct disk_live **live, struct block *block,
		     struct disk_node *base, bool keep, uint64_t speed,
		     struct disk_error *error)
{
	struct disk_node *image = disk_live_image(block);
	int result = check(image, base, keep, error);
	struct commit *commit;

	*live = NULL;
	if (result)
		return result;
	commit = disk_live_create(sizeof(*commit), &commit_ops, block, error);
	if (!commit)
		return -ENOMEM;
	for (commit->above = image; commit->above->backing != base;)
		commit->above = commit->above->backing;
	commit->keep = keep;
	disk_block_drain(block);
	result = prepare(commit, &commit->above->backing, error);
	disk_block_resume(block);
	if (result) {
		disk_close(&commit->live.node);
		return result;
	}
	result = disk_live_start(&commit->live, speed, error);
	if (!result)
		*live = &commit->live;
	return result;
}
