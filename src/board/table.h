/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer of little-endian table bytes that will lie at a guest address:
 * what the ACPI and SMBIOS writers fill.
 */
#ifndef LODGE_BOARD_TABLE_H
#define LODGE_BOARD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define TABLE_LINKS_MAX 32

/* What has to be redone when the bytes come to lie elsewhere. */
struct table_links {
	struct {
		uint32_t at, size; /* holds an address within the bytes */
	} pointer[TABLE_LINKS_MAX];
	struct {
		uint32_t at, from, count; /* checksum of data[from ..] */
	} sum[TABLE_LINKS_MAX];
	unsigned int pointers, sums;
};

struct table {
	uint8_t *data;
	uint32_t size; /* of the buffer */
	uint32_t used;
	uint64_t base; /* guest-physical address of data[0] */
	bool overflow; /* something did not fit; nothing is written then */
	struct table_links *links; /* NULL: nobody wants to know */
};

void table_init(struct table *table, void *data, uint32_t size, uint64_t base);

void table_u8(struct table *table, uint8_t value);
void table_u16(struct table *table, uint16_t value);
void table_u32(struct table *table, uint32_t value);
void table_u64(struct table *table, uint64_t value);
void table_bytes(struct table *table, const void *bytes, uint32_t count);
void table_zero(struct table *table, uint32_t count);

/* Zeroes up to a multiple of `align`, a power of two. */
void table_align(struct table *table, uint32_t align);

/* `text`, cut or padded with `pad` to `count` bytes. */
void table_text(struct table *table, const char *text, uint32_t count,
		char pad);

/* Overwrites what was written at `offset`. */
void table_put_u8(struct table *table, uint32_t offset, uint8_t value);
void table_put_u32(struct table *table, uint32_t offset, uint32_t value);

/* The address of data[offset] in `size` bytes, 4 or 8. */
void table_pointer(struct table *table, uint32_t size, uint32_t offset);

/*
 * Puts the checksum of data[from .. from + count) at `at`. With `links` that
 * byte stays 0: who redoes them may add it to the sum.
 */
void table_sum(struct table *table, uint32_t at, uint32_t from,
	       uint32_t count);

/* The byte that makes data[from .. from + count) sum up to 0 mod 256. */
uint8_t table_checksum(const struct table *table, uint32_t from,
		       uint32_t count);

#endif
