/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/chain.h"
#include "disk/driver.h"
#include "host/linux/thread.h"

#define PIECE	(1u << 20) /* bytes that are copied while nobody writes there */
#define CLUSTER 65536u	   /* what a guest's write has alone */

/* The filter: its file is the disk's image. */
struct disk_mirror {
	struct disk_node node;
	struct block *block;
	struct disk_node *target;
	bool zeroed;
	_Atomic bool stop;
	_Atomic uint64_t done;
	_Atomic int error; /* the first one: the target is given up */
	_Atomic bool ready;
	struct thread thread;
	uint8_t *buf;
};

static struct disk_mirror *mirror_of(struct disk_node *node)
{
	return (struct disk_mirror *)node;
}

static void give_up(struct disk_mirror *mirror, int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&mirror->error, &none, error);
}

static bool goes_on(struct disk_mirror *mirror)
{
	return !atomic_load(&mirror->error);
}

/* --- the guest's requests ----------------------------------------------------- */

/* Reads are the image's; a write is to come to mirror_write(). */
static int mirror_map(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_DATA, .length = length,
					.in = node->file, .at = offset };
	return 0;
}

static int mirror_write(struct disk_node *node, uint64_t offset,
			uint64_t length, struct disk_vec from)
{
	struct disk_mirror *mirror = mirror_of(node);
	int error = disk_write(node->file, offset, length, from);

	if (!error && goes_on(mirror))
		give_up(mirror,
			disk_write(mirror->target, offset, length, from));
	return error;
}

static int mirror_zero(struct disk_node *node, uint64_t offset,
		       uint64_t length, unsigned int flags)
{
	struct disk_mirror *mirror = mirror_of(node);
	int error = disk_zero(node->file, offset, length, flags);

	if (!error && goes_on(mirror))
		give_up(mirror,
			disk_zero(mirror->target, offset, length, flags));
	return error;
}

static int mirror_discard(struct disk_node *node, uint64_t offset,
			  uint64_t length)
{
	struct disk_mirror *mirror = mirror_of(node);
	int error = disk_discard(node->file, offset, length);

	if (!error && goes_on(mirror))
		give_up(mirror,
			disk_discard(mirror->target, offset, length));
	return error;
}

static const struct disk_driver mirror_driver = {
	.name = "mirror",
	.title = "mirror",
	.map = mirror_map,
	.write = mirror_write,
	.zero = mirror_zero,
	.discard = mirror_discard,
};

/* --- the copy ----------------------------------------------------------------- */

/* One extent of the image; *did: its length. Held: its range. */
static int copy_extent(struct disk_mirror *mirror, uint64_t offset,
		       uint64_t length, uint64_t *did)
{
	struct disk_piece piece;
	int error = disk_chain_map(mirror->node.file, NULL, offset, length,
				   &piece);

	if (error)
		return error;
	*did = piece.extent.length;
	if (piece.extent.kind == DISK_ZERO)
		return mirror->zeroed
			       ? 0
			       : disk_zero(mirror->target, offset, *did,
					   DISK_UNMAP);
	error = disk_read_bytes(mirror->node.file, offset, mirror->buf, *did);
	return error ? error
		     : disk_write_bytes(mirror->target, offset, mirror->buf,
					*did);
}

static void copy_piece(struct disk_mirror *mirror, uint64_t offset,
		       uint64_t length)
{
	uint64_t end = offset + length, did = 0;
	struct disk_range range;
	int error = 0;

	disk_range_enter(&mirror->node.ranges, &range, offset, length, true);
	for (; offset < end && !error; offset += did)
		error = copy_extent(mirror, offset, end - offset, &did);
	disk_range_leave(&mirror->node.ranges, &range);
	give_up(mirror, error);
}

static void copy_all(void *ctx)
{
	struct disk_mirror *mirror = ctx;
	uint64_t size = mirror->node.size;

	for (uint64_t offset = 0; offset < size; offset += PIECE) {
		uint64_t part = size - offset < PIECE ? size - offset : PIECE;

		if (atomic_load(&mirror->stop) || !goes_on(mirror))
			return;
		copy_piece(mirror, offset, part);
		atomic_store(&mirror->done, offset + part);
	}
	atomic_store(&mirror->ready, true);
}

/* --- begin and end ------------------------------------------------------------ */

static void put_between(struct disk_mirror *mirror)
{
	disk_block_drain(mirror->block);
	mirror->node.file = disk_block_swap(mirror->block, &mirror->node);
	disk_block_resume(mirror->block);
}

/* Ends the thread and frees all but the two images. */
static void dissolve(struct disk_mirror *mirror)
{
	atomic_store(&mirror->stop, true);
	thread_join(&mirror->thread);
	free(mirror->buf);
	mirror->node.file = NULL;
	disk_close(&mirror->node);
}

int disk_mirror_start(struct disk_mirror **made, struct block *block,
		      struct disk_node *target, bool zeroed,
		      struct disk_error *error)
{
	struct disk_node *image = disk_block_node(block);
	const struct disk_open how = { .path = image->name };
	struct disk_mirror *mirror;
	int result;

	*made = NULL;
	if (target->size != image->size)
		return disk_error_set(error, -EINVAL, "has %llu bytes, the "
				      "disk has %llu; both must be alike",
				      (unsigned long long)target->size,
				      (unsigned long long)image->size);
	mirror = calloc(1, sizeof(*mirror));
	if (!mirror)
		return disk_error_set(error, -ENOMEM, "out of memory");
	mirror->buf = malloc(PIECE);
	if (!mirror->buf ||
	    disk_node_init(&mirror->node, &mirror_driver, NULL, &how)) {
		free(mirror->buf);
		free(mirror);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	mirror->node.size = image->size;
	mirror->node.cluster = CLUSTER;
	mirror->node.readonly = image->readonly;
	mirror->block = block;
	mirror->zeroed = zeroed;
	mirror->target = target;
	put_between(mirror);
	result = thread_start(&mirror->thread, "mirror", copy_all, mirror);
	if (result) {
		mirror->target = NULL; /* it stays the caller's */
		disk_mirror_cancel(mirror);
		return disk_error_set(error, result, "%s", strerror(-result));
	}
	*made = mirror;
	return 0;
}

void disk_mirror_look(struct disk_mirror *mirror,
		      struct disk_mirror_status *status)
{
	status->done = atomic_load(&mirror->done);
	status->total = mirror->node.size;
	status->error = atomic_load(&mirror->error);
	status->state = status->error		     ? DISK_MIRROR_FAILED
			: atomic_load(&mirror->ready) ? DISK_MIRROR_READY
						      : DISK_MIRROR_COPIES;
}

int disk_mirror_finish(struct disk_mirror *mirror, bool move,
		       struct disk_error *error)
{
	struct disk_node *image = mirror->node.file, *target = mirror->target;
	struct block *block = mirror->block;
	struct disk_mirror_status status;
	int result;

	disk_block_drain(block);
	disk_mirror_look(mirror, &status);
	result = status.state == DISK_MIRROR_READY ? disk_flush(mirror->target)
		 : status.error			   ? status.error
						   : -EBUSY;
	if (!result) {
		disk_block_swap(block, move ? target : image);
		dissolve(mirror);
	}
	disk_block_resume(block);
	if (result)
		return disk_error_set(error, result, "%s",
				      result == -EBUSY ? "not all is copied yet"
						       : strerror(-result));
	disk_close(move ? image : target);
	return 0;
}

void disk_mirror_cancel(struct disk_mirror *mirror)
{
	struct disk_node *target;
	struct block *block;

	if (!mirror)
		return;
	target = mirror->target;
	block = mirror->block;
	disk_block_drain(block);
	disk_block_swap(block, mirror->node.file);
	dissolve(mirror);
	disk_block_resume(block);
	disk_close(target);
}
