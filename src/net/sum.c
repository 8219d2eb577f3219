/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sum.h"

#include <string.h>

uint64_t sum_more(uint64_t sum, const uint8_t *at, size_t size)
{
	uint64_t more = 0;
	uint16_t last = 0;

	for (; size >= 16; size -= 16, at += 16) {
		uint32_t word[4];

		memcpy(word, at, sizeof(word));
		more += (uint64_t)word[0] + word[1];
		sum += (uint64_t)word[2] + word[3];
	}
	for (; size >= 2; size -= 2, at += 2) {
		memcpy(&last, at, sizeof(last));
		sum += last;
	}
	last = 0;
	memcpy(&last, at, size);
	return sum + more + last;
}

uint16_t sum_end(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void sum_store(uint8_t *at, uint64_t sum)
{
	uint16_t value = sum_end(sum);

	memcpy(at, &value, sizeof(value));
}
