/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way to a client: a buffer that grows, in network order.
 * When memory is short it is `broken` and takes nothing more.
 */
#ifndef LODGE_VNC_BYTES_H
#define LODGE_VNC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vnc_bytes {
	uint8_t *data;
	size_t size, room;
	bool broken;
};

void vnc_bytes_free(struct vnc_bytes *bytes);

/* Room for `size` more at the end, uncounted; NULL: broken. */
uint8_t *vnc_bytes_reserve(struct vnc_bytes *bytes, size_t size);

void vnc_bytes_put(struct vnc_bytes *bytes, const void *data, size_t size);
void vnc_bytes_put8(struct vnc_bytes *bytes, unsigned int value);
void vnc_bytes_put16(struct vnc_bytes *bytes, unsigned int value);
void vnc_bytes_put32(struct vnc_bytes *bytes, uint32_t value);

/* Takes `size` bytes away at the front. */
void vnc_bytes_drop(struct vnc_bytes *bytes, size_t size);

#endif
