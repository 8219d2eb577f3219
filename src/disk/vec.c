/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/vec.h"

#include <string.h>

/* The bytes of the vec up to a span's end, and goes on behind them. */
static struct span next_part(struct disk_vec *vec, size_t size)
{
	struct span part;

	while (vec->skip >= vec->span->size) {
		vec->skip -= vec->span->size;
		vec->span++;
		vec->spans--;
	}
	part.data = (char *)vec->span->data + vec->skip;
	part.size = vec->span->size - vec->skip;
	if (part.size > size)
		part.size = size;
	vec->skip += part.size;
	return part;
}

void disk_vec_fill(struct disk_vec to, const void *buf, size_t size)
{
	const char *from = buf;

	while (size) {
		struct span part = next_part(&to, size);

		memcpy(part.data, from, part.size);
		from += part.size;
		size -= part.size;
	}
}

void disk_vec_gather(void *buf, struct disk_vec from, size_t size)
{
	char *to = buf;

	while (size) {
		struct span part = next_part(&from, size);

		memcpy(to, part.data, part.size);
		to += part.size;
		size -= part.size;
	}
}

void disk_vec_clear(struct disk_vec to, size_t size)
{
	while (size) {
		struct span part = next_part(&to, size);

		memset(part.data, 0, part.size);
		size -= part.size;
	}
}
