/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the decoder's fuzz target with random inputs, for compilers without
 * libFuzzer: smoke-decode [COUNT [SEED]].
 */
#include "fuzz_decode.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define INPUT_SIZE (1 + 32 + 15)

static uint8_t input[INPUT_SIZE];
static uint64_t state;

static uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

/* Opcodes behind prefixes and escapes come up as often as others. */
static void make_input(void)
{
	static const uint8_t starts[] = { 0x66, 0xf2, 0xf3, 0x0f, 0xc4,
					  0xc5, 0x67, 0x48, 0x2e, 0xf0,
					  0x62, 0x62 };
	unsigned int i, at = 33;

	for (i = 0; i < INPUT_SIZE; i++)
		input[i] = (uint8_t)(random64() >> 32);
	while (at < INPUT_SIZE && random64() >> 63)
		input[at++] = starts[(random64() >> 32) % sizeof(starts)];
	if (at + 2 < INPUT_SIZE && random64() >> 63) {
		input[at++] = 0x0f;
		if (random64() >> 63)
			input[at] = random64() >> 63 ? 0x38 : 0x3a;
	}
}

static void show_input(int signal)
{
	unsigned int i;

	(void)signal;
	for (i = 0; i < INPUT_SIZE; i++)
		fprintf(stderr, "%02x%s", input[i],
			i == 0 || i == 32 ? " " : "");
	fprintf(stderr, "\n");
	_exit(1);
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000;
	uint64_t seed =
		argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);

	printf("%lu inputs, seed %" PRIu64 "\n", count, seed);
	state = seed * 0x9e3779b97f4a7c15ull | 1;
	signal(SIGABRT, show_input);
	signal(SIGSEGV, show_input);
	signal(SIGFPE, show_input);
	signal(SIGILL, show_input);
	fuzz_decode_open();
	while (count--) {
		make_input();
		LLVMFuzzerTestOneInput(input, sizeof(input));
	}
	fuzz_decode_close();
	return 0;
}
