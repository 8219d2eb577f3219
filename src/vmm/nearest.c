/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nearest.h"

#include <string.h>

#define WORD_MAX 64

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance, a swap of neighbours counting as one. */
static unsigned int word_distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *now = row[i % 3];
		const unsigned int *up = row[(i - 1) % 3];
		const unsigned int *upper = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = min3(up[j] + 1, now[j - 1] + 1,
				      up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && upper[j - 2] + 1 < now[j])
				now[j] = upper[j - 2] + 1;
		}
	}
	return row[la % 3][lb];
}

const char *nearest_word(const char *word, const void *names, size_t count,
			 size_t stride)
{
	const char *best = NULL;
	unsigned int best_distance = WORD_MAX;
	size_t length = strlen(word);

	for (size_t i = 0; i < count; i++) {
		const char *const *slot =
			(const void *)((const char *)names + i * stride);
		unsigned int distance = word_distance(word, *slot);

		/* A beginning, "--mem", is as good as one wrong letter. */
		if (length > 1 && !strncmp(word, *slot, length))
			distance = 1;
		if (distance < best_distance) {
			best_distance = distance;
			best = *slot;
		}
	}
	return best_distance <= 1 + length / 4 ? best : NULL;
}
