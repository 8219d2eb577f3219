/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a device's fuzz target with random steps, for compilers without
 * libFuzzer: smoke-NAME [COUNT [SEED]].
 */
#include "fuzz_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define INPUT_MAX  512
#define MEMORY_MAX (2ull << 30)

/* There with sanitizers that need more address space. */
void __asan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));

/* Whatever an input says, it takes no more memory than this. */
static void bound_memory(void)
{
	const struct rlimit limit = { MEMORY_MAX, MEMORY_MAX };

	if (!__asan_init && !__tsan_init && setrlimit(RLIMIT_AS, &limit))
		abort();
}

int main(int argc, char **argv)
{
	static uint8_t input[INPUT_MAX];
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0)
				 : (uint64_t)time(NULL);

	bound_memory();
	printf("%lu inputs, seed %" PRIu64 "\n", count, seed);
	seed = seed * 0x9e3779b97f4a7c15ull | 1;
	while (count--) {
		size_t size;

		for (size_t i = 0; i < sizeof(input); i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			input[i] = (uint8_t)(seed >> 40);
		}
		/* Many small numbers: they are the ones that mean something. */
		for (size_t i = 0; i < sizeof(input); i += 1 + input[i] % 5)
			input[i] &= 0x0f;
		size = 1 + (size_t)(seed >> 20) % sizeof(input);
		LLVMFuzzerTestOneInput(input, size);
	}
	return 0;
}
