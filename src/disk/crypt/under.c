/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/crypt/under.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crypt/crypt.h"
#include "disk/driver.h"

struct under {
	struct disk_node node;
	const struct disk_crypt_calls *calls;
	struct disk_crypt *luks;
	uint64_t payload;
	uint64_t mask; /* of a sector's bytes */
	struct disk_ranges sectors; /* being written */
	pthread_mutex_t growing; /* its holder may take sectors */
};

static struct under *under_of(struct disk_node *node)
{
	return (struct under *)node;
}

/* --- bytes ------------------------------------------------------------------ */

static int under_map(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_PACKED, .length = length,
					.at = offset };
	return 0;
}

static int under_read(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec to)
{
	struct under *u = under_of(node);

	return u->calls->read(u->luks, node->file, u->payload, offset, length,
			      to);
}

/* Has the sectors at the ends alone, which are read first. */
static int write_alone(struct under *u, uint64_t offset, uint64_t length,
		       struct disk_vec from)
{
	uint64_t first = offset & ~u->mask;
	uint64_t end = (offset + length + u->mask) & ~u->mask;
	struct disk_range range;
	int error;

	disk_range_enter(&u->sectors, &range, first, end - first, true);
	error = u->calls->write(u->luks, u->node.file, u->payload, offset,
				length, from);
	disk_range_leave(&u->sectors, &range);
	return error;
}

/* Zeros from the end on, up to `end`: what was never written is noise. */
static int fill(struct under *u, uint64_t end)
{
	static const uint8_t zeros[64 << 10];
	const struct span span = { (void *)zeros, sizeof(zeros) };
	uint64_t at = u->node.size;
	int error = 0;

	while (!error && at < end) {
		uint64_t part = end - at < sizeof(zeros) ? end - at
							 : sizeof(zeros);

		error = write_alone(u, at, part,
				    (struct disk_vec){ &span, 1, 0 });
		at += part;
	}
	return error;
}

static int under_write(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec from)
{
	struct under *u = under_of(node);
	uint64_t end = offset + length;
	int error = 0;

	if (end <= node->size)
		return write_alone(u, offset, length, from);
	pthread_mutex_lock(&u->growing);
	if (offset > node->size)
		error = fill(u, offset);
	if (!error)
		error = write_alone(u, offset, length, from);
	if (!error && end > node->size)
		node->size = end;
	pthread_mutex_unlock(&u->growing);
	return error;
}

static int under_flush(struct disk_node *node)
{
	return disk_flush(node->file);
}

/* --- care ------------------------------------------------------------------- */

static int under_resize(struct disk_node *node, uint64_t size,
			enum disk_preallocation prealloc,
			struct disk_error *error)
{
	struct under *u = under_of(node);
	int result = 0;

	pthread_mutex_lock(&u->growing);
	if (size < node->size)
		result = disk_resize(node->file,
				     u->payload + ((size + u->mask) & ~u->mask),
				     prealloc, error);
	else if ((result = fill(u, size)))
		disk_error_set(error, result, "%s", strerror(-result));
	if (!result)
		node->size = size;
	pthread_mutex_unlock(&u->growing);
	return result;
}

static int under_make_writable(struct disk_node *node,
			       struct disk_error *error)
{
	int result = disk_leaf_make_writable(node->file, true, error);

	if (!result)
		node->readonly = false;
	return result;
}

static uint64_t under_allocated(struct disk_node *node)
{
	return disk_allocated(node->file);
}

static void under_remove(struct disk_node *node)
{
	disk_remove(node->file);
}

static json_t *under_info(struct disk_node *node)
{
	return under_of(node)->calls->info(under_of(node)->luks);
}

static int under_add_key(struct disk_node *node,
			 const struct disk_secret *secret,
			 struct disk_error *error)
{
	return under_of(node)->calls->add_key(under_of(node)->luks, secret,
					      error);
}

static int under_remove_key(struct disk_node *node,
			    const struct disk_secret *secret,
			    struct disk_error *error)
{
	return under_of(node)->calls->remove_key(under_of(node)->luks, secret,
						 error);
}

static void under_close(struct disk_node *node)
{
	struct under *u = under_of(node);

	u->calls->close(u->luks);
	disk_ranges_destroy(&u->sectors);
	pthread_mutex_destroy(&u->growing);
}

static const struct disk_driver under_driver = {
	.name = "luks",
	.title = "LUKS",
	.leaf = true,
	.map = under_map,
	.read = under_read,
	.write = under_write,
	.flush = under_flush,
	.resize = under_resize,
	.make_writable = under_make_writable,
	.allocated = under_allocated,
	.remove = under_remove,
	.info = under_info,
	.add_key = under_add_key,
	.remove_key = under_remove_key,
	.close = under_close,
};

/* --- opening ---------------------------------------------------------------- */

/* A leaf on an open volume, which is closed when that fails. */
static int attach(struct disk_node **leaf, struct disk_node *file,
		  const struct disk_crypt_calls *calls,
		  struct disk_crypt *luks, const struct disk_open *how,
		  struct disk_error *error)
{
	struct under *u = calloc(1, sizeof(*u));

	if (!u || disk_node_init(&u->node, &under_driver, file, how)) {
		free(u);
		calls->close(luks);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&u->growing, NULL);
	disk_ranges_init(&u->sectors);
	u->calls = calls;
	u->luks = luks;
	u->payload = calls->payload(luks);
	u->mask = calls->sector(luks) - 1;
	u->node.size = file->size > u->payload ? file->size - u->payload : 0;
	u->node.encrypted = true;
	file->grows = !how->readonly;
	*leaf = &u->node;
	return 0;
}

int disk_crypt_under_open(struct disk_node **leaf, struct disk_node *file,
			  const struct disk_open *how,
			  struct disk_error *error)
{
	const struct disk_crypt_calls *calls = disk_crypt_load(error);
	struct disk_crypt *luks;
	int result = calls ? calls->open(&luks, file, 0, file->size,
					 how->secret, false, error)
			   : -ENOTSUP;

	return result ? result
		      : attach(leaf, file, calls, luks, how, error);
}

int disk_crypt_under_make(struct disk_node **leaf, struct disk_node *file,
			  const struct disk_create *how,
			  struct disk_error *error)
{
	const struct disk_open open = { .path = how->path };
	const struct disk_crypt_calls *calls = disk_crypt_load(error);
	struct disk_crypt_make make;
	struct disk_crypt *luks;
	int result = calls ? disk_crypt_take_options(how, 2, &make, error)
			   : -ENOTSUP;

	/* Formats write sectors of 512 bytes, and end on one. */
	if (!result)
		make.sector = 512;
	if (!result)
		result = calls->create(&luks, file, 0, &make, how->secret,
				       error);
	if (result)
		return result;
	result = disk_resize(file, calls->payload(luks), DISK_PREALLOC_OFF,
			     error);
	if (!result)
		return attach(leaf, file, calls, luks, &open, error);
	calls->close(luks);
	return result;
}

void disk_crypt_under_leave(struct disk_node *leaf)
{
	leaf->file = NULL;
	disk_close(leaf);
}
