/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of an encrypted volume: whole sectors go through memory, those at the
 * ends of what is written are read first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/crypt.h"

#define PART (256u << 10) /* bytes that go through memory at once */

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

int disk_crypt_read(struct disk_crypt *crypt, struct disk_node *in,
		    uint64_t base, uint64_t offset, uint64_t length,
		    struct disk_vec to)
{
	const struct place p = { crypt, in, base,
				 disk_crypt_sector(crypt) - 1 };
	uint8_t *buf = malloc(PART);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t first = offset & ~p.mask, skip = offset - first;
		uint64_t part = PART - skip < length ? PART - skip : length;
		uint64_t end = (offset + part + p.mask) & ~p.mask;

		error = read_sectors(&p, first, end - first, buf);
		if (!error)
			disk_vec_fill(to, buf + skip, part);
		to = disk_vec_from(to, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
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

int disk_crypt_write(struct disk_crypt *crypt, struct disk_node *in,
		     uint64_t base, uint64_t offset, uint64_t length,
		     struct disk_vec from)
{
	const struct place p = { crypt, in, base,
				 disk_crypt_sector(crypt) - 1 };
	uint8_t *buf = malloc(PART);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		uint64_t first = offset & ~p.mask, skip = offset - first;
		uint64_t part = PART - skip < length ? PART - skip : length;
		uint64_t end = (offset + part + p.mask) & ~p.mask;

		error = read_ends(&p, first, offset, part, end, buf);
		if (error)
			break;
		disk_vec_gather(buf + skip, from, part);
		error = disk_crypt_encrypt(crypt, first, buf, end - first);
		if (!error)
			error = disk_write_bytes(in, base + first, buf,
						 end - first);
		from = disk_vec_from(from, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
}

const struct disk_crypt_calls disk_crypt_calls = {
	.open = disk_crypt_open,
	.create = disk_crypt_create,
	.close = disk_crypt_close,
	.payload = disk_crypt_payload,
	.read = disk_crypt_read,
	.write = disk_crypt_write,
	.add_key = disk_crypt_add_key,
	.remove_key = disk_crypt_remove_key,
	.info = disk_crypt_info,
};
