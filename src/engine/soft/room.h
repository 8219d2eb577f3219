/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of its cache a processor uses. It begins small, so that a guest
 * that does little keeps little. Code that runs once, as while a kernel
 * starts, may fill it once; when it is full again and again, the guest
 * wants more code than fits, and the room doubles, up to the cache's size.
 */
#ifndef LODGE_ENGINE_SOFT_ROOM_H
#define LODGE_ENGINE_SOFT_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes to begin with, of all kinds together. */
#define SOFT_ROOM_FIRST ((size_t)8 << 20)

/* Full so many times within so long: it grows. */
#define SOFT_ROOM_TIMES	  2u
#define SOFT_ROOM_SPAN_NS ((uint64_t)16 * 1000000000)

struct soft_room {
	size_t size, max; /* bytes */
	uint64_t since;	  /* of the first time that counts */
	unsigned int times;
};

void soft_room_init(struct soft_room *room, size_t max);

/* It is full. True: `size` has grown; else everything is to be forgotten. */
bool soft_room_full(struct soft_room *room, uint64_t now_ns);

#endif
