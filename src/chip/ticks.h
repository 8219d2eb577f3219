/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticks of a fixed-rate counter that started at VM time 0, and back. Exact
 * for rates up to 2^34 Hz; no 128-bit division.
 */
#ifndef LODGE_CHIP_TICKS_H
#define LODGE_CHIP_TICKS_H

#include <stdint.h>

#define TICKS_NS_PER_SECOND 1000000000ull

/* Ticks of `hz` that have passed by `ns`. */
static inline uint64_t ticks_from_ns(uint64_t ns, uint64_t hz)
{
	return ns / TICKS_NS_PER_SECOND * hz +
	       ns % TICKS_NS_PER_SECOND * hz / TICKS_NS_PER_SECOND;
}

/* The first nanosecond at which `ticks` have passed. */
static inline uint64_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return ticks / hz * TICKS_NS_PER_SECOND +
	       (ticks % hz * TICKS_NS_PER_SECOND + hz - 1) / hz;
}

#endif
