/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of devices share: an input is read as words that say
 * what a guest does next.
 */
#ifndef LODGE_FUZZ_DEVICE_H
#define LODGE_FUZZ_DEVICE_H

#include <stddef.h>
#include <stdint.h>

struct words {
	const uint8_t *data;
	size_t left;
};

/* The next `size` bytes as a number; zeros behind the end. */
static inline uint64_t next_word(struct words *words, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size && words->left; i++, words->left--)
		value |= (uint64_t)*words->data++ << 8 * i;
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
