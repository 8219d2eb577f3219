/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script by which firmware places tables that it finds in fw_cfg (QEMU's
 * "etc/table-loader", the interface that SeaBIOS and OVMF know): allocate a
 * file, add its address to a pointer, put a checksum.
 */
#ifndef LODGE_BOARD_TABLE_LOADER_H
#define LODGE_BOARD_TABLE_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "board/table.h"

#define TABLE_LOADER_ENTRY 128

enum table_zone {
	TABLE_ZONE_HIGH = 1, /* anywhere below 4 GiB */
	TABLE_ZONE_FSEG = 2, /* below 1 MiB, where tables are searched */
};

/* Each appends one entry to `script`. File names as in fw_cfg. */
void table_loader_allocate(struct table *script, const char *file,
			   uint32_t align, enum table_zone zone);

/* The pointer of `size` bytes at `at` of `file` points into `target`. */
void table_loader_pointer(struct table *script, const char *file,
			  const char *target, uint32_t at, uint8_t size);

/* The byte at `at`, 0 so far, makes [from, from + count) sum up to 0. */
void table_loader_sum(struct table *script, const char *file, uint32_t at,
		      uint32_t from, uint32_t count);

/* What `links` says of the tables in `file`. */
void table_loader_links(struct table *script, const char *file,
			const struct table_links *links);

#endif
