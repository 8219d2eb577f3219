/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as image formats have them: bytes in an order of their own, at any
 * address.
 */
#ifndef LODGE_DISK_WIRE_H
#define LODGE_DISK_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_NUMBER(name, bits)                                            \
	static inline uint##bits##_t get_##name##bits(const void *from)    \
	{                                                                  \
		uint##bits##_t value;                                      \
									   \
		memcpy(&value, from, sizeof(value));                       \
		return name##bits##toh(value);                             \
	}                                                                  \
									   \
	static inline void put_##name##bits(void *to, uint##bits##_t host) \
	{                                                                  \
		uint##bits##_t value = hto##name##bits(host);              \
									   \
		memcpy(to, &value, sizeof(value));                         \
	}

WIRE_NUMBER(le, 16)
WIRE_NUMBER(le, 32)
WIRE_NUMBER(le, 64)
WIRE_NUMBER(be, 16)
WIRE_NUMBER(be, 32)
WIRE_NUMBER(be, 64)

#undef WIRE_NUMBER

#endif
