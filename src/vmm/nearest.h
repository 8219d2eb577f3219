/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody may have meant who wrote a word that there is not.
 */
#ifndef LODGE_VMM_NEAREST_H
#define LODGE_VMM_NEAREST_H

#include <stddef.h>

/*
 * The name most like `word` among `count` pointers to names, `stride` bytes
 * apart; NULL when none is near enough to suggest.
 */
const char *nearest_word(const char *word, const void *names, size_t count,
			 size_t stride);

#endif
