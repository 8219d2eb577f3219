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

static unsigned int type_at(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

uint8_t nic_frame_protocol(const uint8_t *frame, uint32_t size)
{
	const uint8_t *ip;

	if (size < NIC_HEAD)
		return 0;
	ip = frame + (type_at(frame + 12) == 0x8100 ? 18 : 14);
	switch (type_at(ip - 2)) {
	case 0x0800:
		return ip[9];
	case 0x86dd:
		return ip[6];
	default:
		return 0;
	}
}
