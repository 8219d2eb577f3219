/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/nic.h"

#include "vm/bytes.h"

void nic_frame_read(const struct nic_frame *frame, uint32_t from, void *to,
		    uint32_t size)
{
	uint8_t *at = to;

	for (unsigned int i = 0; i < frame->spans && size; i++) {
		size_t part = frame->span[i].size;

		if (from >= part) {
			from -= (uint32_t)part;
			continue;
		}
		part -= from;
		if (part > size)
			part = size;
		memcpy(at, (const uint8_t *)frame->span[i].data + from, part);
		at += part;
		size -= (uint32_t)part;
		from = 0;
	}
}
