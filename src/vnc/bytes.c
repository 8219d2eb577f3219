/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer of bytes to send.
 */
#include "vnc/bytes.h"

#include <stdlib.h>
#include <string.h>

void vnc_bytes_free(struct vnc_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct vnc_bytes){ 0 };
}

uint8_t *vnc_bytes_reserve(struct vnc_bytes *bytes, size_t size)
{
	size_t room = bytes->room ? bytes->room : 4096;
	uint8_t *data;

	if (bytes->broken)
		return NULL;
	while (room - bytes->size < size)
		room *= 2;
	if (room > bytes->room) {
		data = realloc(bytes->data, room);
		if (!data) {
			bytes->broken = true;
			return NULL;
		}
		bytes->data = data;
		bytes->room = room;
	}
	return bytes->data + bytes->size;
}

void vnc_bytes_put(struct vnc_bytes *bytes, const void *data, size_t size)
{
	uint8_t *to = vnc_bytes_reserve(bytes, size);

	if (!to)
		return;
	memcpy(to, data, size);
	bytes->size += size;
}

void vnc_bytes_put8(struct vnc_bytes *bytes, unsigned int value)
{
	const uint8_t byte = (uint8_t)value;

	vnc_bytes_put(bytes, &byte, 1);
}

void vnc_bytes_put16(struct vnc_bytes *bytes, unsigned int value)
{
	const uint8_t b[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	vnc_bytes_put(bytes, b, sizeof(b));
}

void vnc_bytes_put32(struct vnc_bytes *bytes, uint32_t value)
{
	vnc_bytes_put16(bytes, value >> 16);
	vnc_bytes_put16(bytes, value & 0xffff);
}

void vnc_bytes_drop(struct vnc_bytes *bytes, size_t size)
{
	bytes->size -= size;
	memmove(bytes->data, bytes->data + size, bytes->size);
}
