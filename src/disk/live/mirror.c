/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM's disk moves to another image: what the guest writes goes to
 * both, while the rest is copied. A target that fails is given up; the guest
 * does not notice.
 */
#include <errno.h>
#include <string.h>

#include "disk/chain.h"
#include "disk/live/impl.h"

struct mirror {
	struct disk_live live; /* its twin: the target */
	bool zeroed;
};

static struct mirror *mirror_of(struct disk_live *live)
{
	return (struct mirror *)live;
}

/* One extent of the image; *did: its length. */
static int copy_extent(struct mirror *mirror, uint64_t offset, uint64_t length,
		       uint64_t *did, uint64_t *moved)
{
	struct disk_live *live = &mirror->live;
	struct disk_piece piece;
	int error = disk_chain_map(live->image, NULL, offset, length, &piece);

	if (error)
		return error;
	*did = piece.extent.length;
	if (piece.extent.kind == DISK_ZERO)
		return mirror->zeroed ? 0
				      : disk_zero(live->twin, offset, *did,
						  DISK_UNMAP);
	*moved += *did;
	error = disk_read_bytes(live->image, offset, live->buf, *did);
	return error ? error
		     : disk_write_bytes(live->twin, offset, live->buf, *did);
}

static int mirror_piece(struct disk_live *live, uint64_t offset,
			uint64_t length, uint64_t *moved)
{
	uint64_t end = offset + length, did = 0;
	int error = 0;

	for (; offset < end && !error; offset += did)
		error = copy_extent(mirror_of(live), offset, end - offset,
				    &did, moved);
	return error;
}

static int mirror_finish(struct disk_live *live, bool keep,
			 struct disk_node **rest, struct disk_error *error)
{
	struct disk_node *before = live->node.file;
	int result = disk_flush(live->twin);

	if (!result && !keep && live->moved)
		result = live->moved(live->moved_ctx, live->twin);
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	*rest = keep ? live->twin : before;
	disk_live_leave(live, keep ? before : live->twin);
	return 0;
}

static void mirror_cancel(struct disk_live *live, struct disk_node **rest)
{
	*rest = live->twin;
	disk_remove(live->twin);
	disk_live_leave(live, live->node.file);
}

static const struct disk_live_ops mirror_ops = {
	.piece = mirror_piece,
	.finish = mirror_finish,
	.cancel = mirror_cancel,
};

int disk_live_mirror(struct disk_live **live, struct block *block,
		     struct disk_node *target, bool zeroed, uint64_t speed,
		     struct disk_error *error)
{
	uint64_t size = disk_live_image(block)->size;
	struct mirror *mirror;
	int result;

	*live = NULL;
	if (target->size != size)
		return disk_error_set(error, -EINVAL, "has %llu bytes, the "
				      "disk has %llu; both must be alike",
				      (unsigned long long)target->size,
				      (unsigned long long)size);
	mirror = disk_live_create(sizeof(*mirror), &mirror_ops, block, error);
	if (!mirror)
		return -ENOMEM;
	mirror->zeroed = zeroed;
	mirror->live.twin = target;
	result = disk_live_start(&mirror->live, speed, error);
	if (!result)
		*live = &mirror->live;
	return result;
}
