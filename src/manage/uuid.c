/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/uuid.h"

#include <stdint.h>
#include <stdio.h>

#include "vm/host.h"

void uuid_make(char text[UUID_TEXT])
{
	uint8_t b[16];

	host_random(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(text, UUID_TEXT,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
		 b[14], b[15]);
}
