/* SPDX-License-Identifier: Apache-2.0 */
#include "fake/random.h"

uint64_t random_state = 1;

uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}
