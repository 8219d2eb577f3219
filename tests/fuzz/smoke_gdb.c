/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the GDB stub's fuzz target with packets put together at random:
 * smoke-gdb [COUNT [SEED]].
 */
#include "fuzz_gdb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state;

static unsigned int random_below(unsigned int n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (unsigned int)((state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

/* Pieces of packets. */
static const char *const words[] = {
	"g", "G", "p", "P", "m", "M", "Z0,", "Z1,", "Z2,", "Z4,",
	"z0,", "z3,", "Hg", "Hc", "T", "?", "c", "s", "C05", "S05;",
	"D", "k", "vCont?", "vCont;", ";s:1", ";c", ";c:-1", "vKill;",
	"qSupported:", "swbreak+", "qC", "qRcmd,", "qfThreadInfo",
	"qThreadExtraInfo,", "qXfer:features:read:target.xml:",
	"QStartNoAckMode", "696e666f20746c6220", "7068797320", "6f6e",
	"696e666f20726567697374657273", "0", "1", "2", "ff", "fff",
	"1000", "ffffffffffffffff", "123456789abcdef01", ",", ":",
	"=", "-1", "$", "#", "}", "\x03", "-", "+",
};

#define WORDS (sizeof(words) / sizeof(words[0]))

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
	uint64_t seed =
		argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	char input[1024]; /* 30 of the longest, and more */

	printf("%lu inputs, seed %" PRIu64 "\n", count, seed);
	state = seed * 0x9e3779b97f4a7c15ull | 1;
	while (count--) {
		unsigned int n = 1 + random_below(30);

		input[0] = '\0';
		while (n--)
			strcat(input, random_below(3) ?
					      words[random_below(WORDS)] :
					      "\n");
		LLVMFuzzerTestOneInput((const uint8_t *)input, strlen(input));
	}
	return 0;
}
