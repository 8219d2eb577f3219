/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that a seed repeats: xorshift64*. Each test program has one row. */
#ifndef LODGE_FAKE_RANDOM_H
#define LODGE_FAKE_RANDOM_H

#include <stdint.h>

extern uint64_t random_state; /* never 0 */

uint64_t random64(void);

/* 0 to n - 1. */
static inline unsigned int random_below(unsigned int n)
{
	return (unsigned int)(random64() >> 33) % n;
}

#endif
