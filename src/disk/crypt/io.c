/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an encrypted volume: whole sectors go through memory, those at the
 * ends of what is written are read first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crypt/crypt.h"

#define PART  (256u << 10) /* bytes that go through memory at once */
#define ALIGN 4096u	   /* what goes past the page cache begins at these */

/* A volume, and where it lies. */
struct place {
	struct disk_crypt *crypt;
	struct disk_node *in;
	uint64_t base;
	uint64_t mask; /* of a sector's bytes */
};

/* Whole sectors, decrypted; zeros behind the end. */
static int read_sectors(const struct place *p, uint64_t offset, uint64_t length,
			uint8_t *buf)
{
	uint64_t at = p->base + offset, size = p->in->size, have = 0;
	int error;

	if (at < size)
		have = size - at < length ? (size - at) & ~p->mask : length;
	memset(buf + have, 0, length - have);
	error = have ? disk_read_bytes(p->in, at, buf, have) : 0;
	return error || !have ? error
			      : disk_crypt_decrypt(p->crypt, offset, buf, have);
}

/* What the sectors at both ends have beside what is written. */
static int read_ends(const struct place *p, uint64_t first, uint64_t offset,
		     uint64_t length, uint64_t end, uint8_t *buf)
{
	uint64_t sector = p->mask + 1;
	int error = 0;

	if (offset > first || (offset + length < end && end - first == sector))
		error = read_sectors(p, first, sector, buf);
	if (!error && offset + length < end && end - first > sector)
		error = read_sectors(p, end - sector, sector,
				     buf + (end - first - sector));
	return error;
}

/* `length` bytes at `offset`, which lie in the sectors [first, end); `buf` has
 * room for those. */
typedef int part_fn(const struct place *p, uint64_t first, uint64_t offset,
		    uint64_t length, uint64_t end, struct disk_vec vec,
		    uint8_t *buf);

static int read_part(const struct place *p, uint64_t first, uint64_t offset,
		     uint64_t length, uint64_t end, struct disk_vec to,
		     uint8_t *buf)
{
	int error = read_sectors(p, first, end - first, buf);

	if (!error)
		disk_vec_fill(to, buf + (offset - first), length);
	return error;
}

static int write_part(const struct place *p, uint64_t first, uint64_t offset,
		      uint64_t length, uint64_t end, struct disk_vec from,
		      uint8_t *buf)
{
	int error = read_ends(p, first, offset, length, end, buf);

	if (error)
		return error;
	disk_vec_gather(buf + (offset - first), from, length);
	error = disk_crypt_encrypt(p->crypt, first, buf, end - first);
	return error ? error
		     : disk_write_bytes(p->in, p->base + first, buf,
					end - first);
}

/* Memory for `length` bytes with the sectors around them, or for a part. */
static uint8_t *take_memory(const struct place *p, uint64_t length)
{
	uint64_t size = PART;

	if (length < PART / 2)
		size = (length + 2 * (p->mask + 1) + ALIGN - 1) &
		       ~(uint64_t)(ALIGN - 1);
	return aligned_alloc(ALIGN, size);
}

static int in_parts(const struct place *p, uint64_t offset, uint64_t length,
		    struct disk_vec vec, part_fn *call)
{
	uint8_t *buf = take_memory(p, length);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t first = offset & ~p->mask, room = PART + first - offset;
		uint64_t part = room < length ? room : length;
		uint64_t end = (offset + part + p->mask) & ~p->mask;

		error = call(p, first, offset, part, end, vec, buf);
		vec = disk_vec_from(vec, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
}

int disk_crypt_read(struct disk_crypt *crypt, struct disk_node *in,
		    uint64_t base, uint64_t offset, uint64_t length,
		    struct disk_vec to)
{
	const struct place p = { crypt, in, base,
				 disk_crypt_sector(crypt) - 1 };

	return in_parts(&p, offset, length, to, read_part);
}

int disk_crypt_write(struct disk_crypt *crypt, struct disk_node *in,
		     uint64_t base, uint64_t offset, uint64_t length,
		     struct disk_vec from)
{
	const struct place p = { crypt, in, base,
				 disk_crypt_sector(crypt) - 1 };

	return in_parts(&p, offset, length, from, write_part);
}

const struct disk_crypt_calls disk_crypt_calls = {
	.open = disk_crypt_open,
	.create = disk_crypt_create,
	.close = disk_crypt_close,
	.payload = disk_crypt_payload,
	.sector = disk_crypt_sector,
	.read = disk_crypt_read,
	.write = disk_crypt_write,
	.add_key = disk_crypt_add_key,
	.remove_key = disk_crypt_remove_key,
	.info = disk_crypt_info,
};
