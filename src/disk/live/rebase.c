/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of a running VM's disk comes to stand on another image, or on
 * none. Where it has nothing of its own and that one gives something else than
 * the chain below now does, it gets a copy. Then the name is recorded, which
 * happens in one go: before and after the image gives the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/chain.h"
#include "disk/job.h"
#include "disk/live/impl.h"

struct rebase {
	struct disk_live live;
	struct disk_node *to;	 /* NULL: none */
	struct disk_node *above; /* in the chain, stands on `to`; or NULL */
	char *path, *format;	 /* as they are recorded */
};

static struct rebase *rebase_of(struct disk_live *live)
{
	return (struct rebase *)live;
}

static void free_words(struct rebase *rebase)
{
	free(rebase->path);
	free(rebase->format);
}

static int rebase_piece(struct disk_live *live, uint64_t offset,
			uint64_t length, uint64_t *moved)
{
	uint64_t end = offset + length, did = 0;
	int error = 0;

	for (; offset < end && !error; offset += did) {
		did = end - offset;
		error = disk_rebase_extent(live->image, rebase_of(live)->to,
					   offset, &did, live->buf, moved);
	}
	return error;
}

/* Of an image that stands on nothing nothing is to be copied. */
static struct disk_node *without_filter(struct disk_live *live)
{
	struct disk_node *before = live->node.file;

	if (before == live->image || live->image->backing)
		return before;
	before->file = NULL;
	disk_close(before);
	return live->image;
}

static int rebase_finish(struct disk_live *live, bool keep,
			 struct disk_node **rest, struct disk_error *error)
{
	struct rebase *rebase = rebase_of(live);
	int result = disk_flush(live->image);

	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	result = disk_set_backing(live->image, rebase->path, rebase->format,
				  error);
	if (result)
		return result;
	*rest = live->image->backing;
	if (rebase->above)
		rebase->above->backing = NULL;
	if (rebase->above == live->image)
		*rest = NULL;
	live->image->backing = rebase->to;
	disk_live_leave(live, without_filter(live));
	free_words(rebase);
	return 0;
}

static void rebase_cancel(struct disk_live *live, struct disk_node **rest)
{
	struct rebase *rebase = rebase_of(live);

	if (!rebase->above)
		*rest = rebase->to;
	free_words(rebase);
	disk_live_leave(live, live->node.file);
}

static const struct disk_live_ops rebase_ops = {
	.piece = rebase_piece,
	.finish = rebase_finish,
	.cancel = rebase_cancel,
};

static int check(struct disk_node *image, struct disk_error *error)
{
	if (image->readonly)
		return disk_error_set(error, -EROFS, "the disk is read-only");
	if (!image->driver->set_backing)
		return disk_error_set(error, -ENOTSUP, "%s images do not "
				      "change what they stand on; take qcow2",
				      image->driver->title);
	return 0;
}

int disk_live_rebase(struct disk_live **live, struct block *block,
		     struct disk_node *to, const char *path,
		     const char *format, uint64_t speed,
		     struct disk_error *error)
{
	struct disk_node *image = disk_live_image(block);
	int result = check(image, error);
	struct rebase *rebase;

	*live = NULL;
	if (result)
		return result;
	rebase = disk_live_create(sizeof(*rebase), &rebase_ops, block, error);
	if (!rebase)
		return -ENOMEM;
	rebase->to = to;
	if (to && disk_chain_has(image, to))
		for (rebase->above = image; rebase->above->backing != to;)
			rebase->above = rebase->above->backing;
	rebase->path = path ? strdup(path) : NULL;
	rebase->format = format ? strdup(format) : NULL;
	if ((path && !rebase->path) || (format && !rebase->format)) {
		free_words(rebase);
		disk_close(&rebase->live.node);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	result = disk_live_start(&rebase->live, speed, error);
	if (!result)
		*live = &rebase->live;
	return result;
}
