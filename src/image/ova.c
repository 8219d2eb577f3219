/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ova.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512u
#define PIECE (1u << 20)

/* The part of a header block that counts. */
struct header {
	char name[101];
	uint64_t size;
	bool file, end;
};

/* Octal digits, or a number with the highest bit set (GNU, base 256). */
static bool number(const uint8_t *field, size_t size, uint64_t *value)
{
	uint64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		for (i = 1; i < size; i++) {
			if (n >> 55)
				return false;
			n = n << 8 | field[i];
		}
		*value = n;
		return true;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		n = n << 3 | (uint64_t)(field[i] - '0');
	*value = n;
	return i == size || !field[i] || field[i] == ' ';
}

/* False: no header, by its checksum. */
static bool parse(const uint8_t block[BLOCK], struct header *header)
{
	uint64_t told, sum = 8 * ' ';
	bool zero = true;

	for (unsigned int i = 0; i < BLOCK; i++) {
		zero &= !block[i];
		sum += i < 148 || i >= 156 ? block[i] : 0;
	}
	memset(header, 0, sizeof(*header));
	header->end = zero;
	if (zero)
		return true;
	if (!number(block + 148, 8, &told) || told != sum ||
	    !number(block + 124, 12, &header->size))
		return false;
	memcpy(header->name, block, 100);
	header->file = !block[156] || block[156] == '0';
	return true;
}

static bool is_disk(const struct header *header)
{
	size_t length = strlen(header->name);

	return header->file && length > 5 &&
	       !strcasecmp(header->name + length - 5, ".vmdk");
}

/*
 * Where the disk lies. 0; -ENOENT, -EMLINK: none, several; -EINVAL: no tar
 * archive, or cut short.
 */
static int find_disk(int fd, uint64_t *offset, uint64_t *size)
{
	uint8_t block[BLOCK];
	struct header header;
	struct stat status;
	unsigned int disks = 0;
	uint64_t at = 0, all;

	if (fstat(fd, &status))
		return -errno;
	all = (uint64_t)status.st_size;
	while (at + BLOCK <= all) {
		if (pread(fd, block, BLOCK, (off_t)at) != BLOCK)
			return -EIO;
		if (!parse(block, &header))
			return -EINVAL;
		if (header.end)
			break;
		at += BLOCK;
		if (header.size > all - at)
			return -EINVAL;
		if (is_disk(&header)) {
			*offset = at;
			*size = header.size;
			disks++;
		}
		at += (header.size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return !at ? -EINVAL : !disks ? -ENOENT : disks > 1 ? -EMLINK : 0;
}

static int copy(int from, uint64_t offset, uint64_t size, int to)
{
	char *piece = malloc(PIECE);
	int err = piece ? 0 : -ENOMEM;

	while (!err && size) {
		ssize_t n = pread(from, piece, size < PIECE ? size : PIECE,
				  (off_t)offset);

		if (n <= 0)
			err = n ? -errno : -EIO;
		else if (write(to, piece, (size_t)n) != n)
			err = errno ? -errno : -ENOSPC;
		else {
			offset += (uint64_t)n;
			size -= (uint64_t)n;
		}
	}
	free(piece);
	return err;
}

int ova_extract(const char *path, int folder, const char *name,
		struct disk_error *error)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = -1;
	uint64_t offset = 0, size = 0;
	int err;

	if (from < 0) {
		disk_error_set(error, -errno, "%s: %s", path,
			       errno == ENOENT ? "no such file; check the path"
					       : strerror(errno));
		return -1;
	}
	err = find_disk(from, &offset, &size);
	if (!err) {
		to = openat(folder, name,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		err = to < 0 ? -errno : copy(from, offset, size, to);
	}
	close(from);
	if (to >= 0)
		close(to);
	if (!err)
		return 0;
	disk_error_set(error, err, "%s: %s", path,
		       err == -EINVAL ? "is no OVA file, or cut short" :
		       err == -ENOENT ? "has no VMDK disk" :
		       err == -EMLINK ? "has several disks; unpack it (tar) "
					"and import one of them" :
					strerror(-err));
	return -1;
}
