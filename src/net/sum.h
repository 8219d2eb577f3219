/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internet's checksum (RFC 1071): of 16-bit words as they lie in memory, so
 * of either byte order.
 */
#ifndef LODGE_NET_SUM_H
#define LODGE_NET_SUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * `sum` and the words of `size` bytes: begun with 0, and in pieces as long as
 * the sizes of all but the last are even.
 */
uint64_t sum_more(uint64_t sum, const uint8_t *at, size_t size);

/* What makes the sum of all the words 0xffff: of right ones it is 0. */
uint16_t sum_end(uint64_t sum);

/* Its end, into a header. */
void sum_store(uint8_t *at, uint64_t sum);

#endif
