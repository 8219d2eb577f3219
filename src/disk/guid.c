/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/guid.h"

#include <sys/random.h>

static void make(uint8_t *guid, unsigned int version)
{
	for (unsigned int have = 0; have < 16;) {
		ssize_t n = getrandom(guid + have, 16 - have, 0);

		if (n > 0)
			have += (unsigned int)n;
	}
	guid[version] = (guid[version] & 0x0f) | 0x40;
	guid[8] = (guid[8] & 0x3f) | 0x80;
}

void disk_guid_make(uint8_t *guid)
{
	make(guid, 6);
}

void disk_guid_make_le(uint8_t *guid)
{
	make(guid, 7);
}
