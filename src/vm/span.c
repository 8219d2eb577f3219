/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/span.h"

unsigned int span_cut(struct span *to, const struct span *from,
		      unsigned int spans, size_t skip, size_t size)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < spans && size; i++) {
		size_t part = from[i].size;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part -= skip;
		if (part > size)
			part = size;
		to[count++] = (struct span){ (char *)from[i].data + skip,
					     part };
		skip = 0;
		size -= part;
	}
	return count;
}
