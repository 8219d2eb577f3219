/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encryption of qcow2 images (docs/interop/qcow2.txt, "Full disk encryption
 * header pointer" and "Data encryption"): a LUKS1 header in clusters of its
 * own; sectors of guest clusters are encrypted with the number of the place
 * that they have on the host. So the whole store is one encrypted volume whose
 * other bytes nobody reads by this way: a leaf on it, which q->data is, gives
 * all places their plain bytes. Tables, bitmaps and compressed clusters are
 * plain; compressed ones are not made. The old method, AES, is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crypt/crypt.h"
#include "disk/file.h"
#include "disk/qcow2/qcow2.h"
#include "disk/zeros.h"

#define BLOCK	 4096u
#define LUKS_MAX (160ull << 20) /* bytes of a LUKS header */

struct qcow2_crypt {
	struct disk_node node; /* the store's bytes, decrypted */
	struct disk_node *store;
	const struct disk_crypt_calls *calls;
	struct disk_crypt *luks;
};

static struct qcow2_crypt *crypt_of(struct disk_node *node)
{
	return (struct qcow2_crypt *)node;
}

/* --- the leaf --------------------------------------------------------------- */

static int plain_map(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags, struct disk_extent *extent)
{
	*extent = (struct disk_extent){ .kind = DISK_PACKED, .length = length,
					.at = offset };
	return 0;
}

static int plain_read(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec to)
{
	struct qcow2_crypt *c = crypt_of(node);

	return c->calls->read(c->luks, c->store, 0, offset, length, to);
}

static int plain_write(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec from)
{
	struct qcow2_crypt *c = crypt_of(node);

	return c->calls->write(c->luks, c->store, 0, offset, length, from);
}

static void plain_close(struct disk_node *node)
{
	struct qcow2_crypt *c = crypt_of(node);

	c->calls->close(c->luks);
}

static const struct disk_driver plain = {
	.name = "plain",
	.title = "decrypted",
	.leaf = true,
	.map = plain_map,
	.read = plain_read,
	.write = plain_write,
	.close = plain_close,
};

/* --- opening ---------------------------------------------------------------- */

static int is_bad(struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "has a damaged qcow2 header "
			      "(encryption); take a good copy");
}

int qcow2_crypt_load(struct qcow2 *q, struct disk_error *error)
{
	const struct qcow2_ext *ext = qcow2_ext_find(q, QCOW2_EXT_CRYPT);

	if (q->header.crypt == QCOW2_AES)
		return disk_error_set(error, -ENOTSUP, "is encrypted the old "
				      "way (AES), which is not safe; convert "
				      "it: qemu-img convert --object "
				      "secret,id=s,file=WORD --image-opts "
				      "driver=qcow2,encrypt.key-secret=s,"
				      "file.filename=OLD -O qcow2 NEW");
	if (q->header.crypt == QCOW2_PLAIN)
		return 0;
	if (q->header.crypt != QCOW2_LUKS || !ext ||
	    ext->size != QCOW2_CRYPT_SIZE ||
	    q->header.autoclear & QCOW2_DATA_RAW)
		return is_bad(error);
	q->crypt_at = get_be64(ext->data);
	q->crypt_size = get_be64(ext->data + 8);
	if (!q->crypt_at || q->crypt_at & (q->cluster_size - 1) ||
	    q->crypt_at >= QCOW2_OFFSET_MAX || !q->crypt_size ||
	    q->crypt_size > LUKS_MAX)
		return is_bad(error);
	q->node.encrypted = true;
	return 0;
}

/* The format knows version 1 only, which has sectors of 512 bytes. */
static int check_version(struct qcow2 *q, struct disk_error *error)
{
	static const uint8_t magic[8] = "LUKS\xba\xbe\0\1";
	uint8_t head[8];
	int result = qcow2_read_padded(q->node.file, q->crypt_at, head,
				       sizeof(head));

	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	return memcmp(head, magic, sizeof(head))
		       ? disk_error_set(error, -EINVAL, "has no LUKS1 header "
					"where its qcow2 header says; take a "
					"good copy")
		       : 0;
}

static int unlock(struct qcow2 *q, const struct disk_open *how,
		  struct disk_error *error)
{
	struct qcow2_crypt *c = q->crypt;
	int result = check_version(q, error);

	if (!result)
		result = c->calls->open(&c->luks, q->node.file, q->crypt_at,
					q->crypt_size, how->secret,
					how->sealed, error);
	return result;
}

int qcow2_crypt_open(struct qcow2 *q, const struct disk_open *how,
		     struct disk_error *error)
{
	const struct disk_crypt_calls *calls;
	int result;

	q->data = q->store;
	if (q->header.crypt != QCOW2_LUKS)
		return 0;
	calls = disk_crypt_load(error);
	if (!calls)
		return -ENOTSUP;
	q->crypt = calloc(1, sizeof(*q->crypt));
	result = q->crypt ? disk_node_init(&q->crypt->node, &plain, NULL, how)
			  : -ENOMEM;
	if (result) {
		free(q->crypt);
		q->crypt = NULL;
		return disk_error_set(error, result, "out of memory");
	}
	q->crypt->node.size = INT64_MAX;
	q->crypt->node.grows = true;
	q->crypt->store = q->store;
	q->crypt->calls = calls;
	result = unlock(q, how, error);
	if (!result)
		q->data = &q->crypt->node;
	return result;
}

void qcow2_crypt_set_readonly(struct qcow2 *q, bool readonly)
{
	if (q->crypt)
		q->crypt->node.readonly = readonly;
}

void qcow2_crypt_close(struct qcow2 *q)
{
	if (q->crypt)
		disk_close(&q->crypt->node);
	q->crypt = NULL;
}

void qcow2_crypt_info(const struct qcow2 *q, json_t *info)
{
	json_t *more = q->crypt ? q->crypt->calls->info(q->crypt->luks) : NULL;

	if (more)
		json_object_update(info, more);
	json_decref(more);
}

/* --- passphrases ------------------------------------------------------------ */

static int change_keys(struct qcow2 *q,
		       int (*change)(struct disk_crypt *luks,
				     const struct disk_secret *secret,
				     struct disk_error *error),
		       const struct disk_secret *secret,
		       struct disk_error *error)
{
	int result = qcow2_begin(q, 0, 0);

	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	return change(q->crypt->luks, secret, error);
}

static int is_plain(struct disk_error *error)
{
	return disk_error_set(error, -ENOTSUP, "is not encrypted; make an "
			      "encrypted copy with: lodge disk encrypt");
}

int qcow2_add_key(struct disk_node *node, const struct disk_secret *secret,
		  struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);

	return q->crypt ? change_keys(q, q->crypt->calls->add_key, secret,
				      error)
			: is_plain(error);
}

int qcow2_remove_key(struct disk_node *node, const struct disk_secret *secret,
		     struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);

	return q->crypt ? change_keys(q, q->crypt->calls->remove_key, secret,
				      error)
			: is_plain(error);
}

/* --- making ----------------------------------------------------------------- */

static int make_in(struct disk_node *memory, const struct disk_create *how,
		   struct disk_error *error)
{
	const struct disk_crypt_calls *calls = disk_crypt_load(error);
	struct disk_crypt_make make;
	struct disk_crypt *luks = NULL;
	int result = calls ? disk_crypt_take_options(how, 1, &make, error)
			   : -ENOTSUP;

	if (!result)
		result = calls->create(&luks, memory, 0, &make, how->secret,
				       error);
	if (!result)
		result = disk_resize(memory, calls->payload(luks),
				     DISK_PREALLOC_OFF, error);
	if (calls)
		calls->close(luks);
	return result;
}

int qcow2_crypt_make(const struct disk_create *how, struct disk_node **header,
		     struct disk_error *error)
{
	int result = disk_memory_open(header, error);

	if (result)
		return result;
	result = make_in(*header, how, error);
	if (result) {
		disk_close(*header);
		*header = NULL;
	}
	return result;
}

int qcow2_crypt_write(struct disk_node *file, uint64_t at,
		      struct disk_node *header)
{
	uint8_t block[BLOCK];
	int error = 0;

	for (uint64_t done = 0; done < header->size && !error; done += BLOCK) {
		uint64_t left = header->size - done;
		size_t part = left < BLOCK ? left : BLOCK;

		error = disk_read_bytes(header, done, block, part);
		if (!error && !disk_all_zeros(block, part))
			error = disk_write_bytes(file, at + done, block, part);
	}
	return error;
}
