/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli, reflected), as iSCSI and VHDX have it. */
#ifndef LODGE_DISK_CRC32C_H
#define LODGE_DISK_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Over more bytes than one piece: begin with ~0, end with the complement. */
uint32_t crc32c_more(uint32_t crc, const void *bytes, size_t size);

/* Of `size` bytes with the four at `sum_at` taken as zeros. */
uint32_t crc32c_around(const void *bytes, size_t size, size_t sum_at);

#endif
