/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/crc32c.h"

/* Of the polynomial 0x82f63b78, by four bits. */
static const uint32_t nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
	0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_more(uint32_t crc, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size--) {
		crc ^= *at++;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return crc;
}

uint32_t crc32c_around(const void *bytes, size_t size, size_t sum_at)
{
	static const uint8_t zeros[4];
	const uint8_t *at = bytes;
	uint32_t crc = crc32c_more(~0u, at, sum_at);

	crc = crc32c_more(crc, zeros, sizeof(zeros));
	return ~crc32c_more(crc, at + sum_at + 4, size - sum_at - 4);
}
