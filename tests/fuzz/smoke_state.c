/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the saved-state target with spoilt streams, for compilers without
 * libFuzzer: smoke-state [COUNT [SEED]]. With --seed FILE it writes a good
 * stream instead, as libFuzzer's first input.
 */
#include "fuzz_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX 1024

static uint64_t state;

static uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

static size_t below(size_t limit)
{
	return limit ? (size_t)(random64() >> 20) % limit : 0;
}

/* One small damage; gives the new size. */
static size_t spoil(uint8_t *input, size_t size)
{
	static const uint8_t odd[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	size_t at = below(size), n = below(16);

	switch (below(5)) {
	case 0:
		input[at] ^= (uint8_t)(1u << below(8));
		return size;
	case 1:
		input[at] = odd[below(sizeof(odd))];
		return size;
	case 2: /* a part again */
		if (size + n <= INPUT_MAX) {
			memmove(input + at + n, input + at, size - at);
			return size + n;
		}
		return size;
	case 3: /* a part less */
		n = n < size - at ? n : size - at;
		memmove(input + at, input + at + n, size - at - n);
		return size - n;
	default:
		return below(40) ? size : at;
	}
}

static int write_seed(const char *name)
{
	static uint8_t seed[INPUT_MAX];
	size_t size = fuzz_state_seed(seed, sizeof(seed));
	FILE *file = fopen(name, "wb");

	if (!file || fwrite(seed, 1, size, file) != size || fclose(file)) {
		perror(name);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static uint8_t good[INPUT_MAX], input[INPUT_MAX];
	size_t good_size = fuzz_state_seed(good, sizeof(good));
	unsigned long count;
	uint64_t seed;

	if (argc == 3 && !strcmp(argv[1], "--seed"))
		return write_seed(argv[2]);
	count = argc > 1 ? strtoul(argv[1], NULL, 0) : 100000;
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	printf("%lu inputs, seed %" PRIu64 "\n", count, seed);
	state = seed * 0x9e3779b97f4a7c15ull | 1;
	while (count--) {
		size_t size = good_size, times = 1 + below(6);

		memcpy(input, good, good_size);
		while (times-- && size)
			size = spoil(input, size);
		LLVMFuzzerTestOneInput(input, size);
	}
	return 0;
}
