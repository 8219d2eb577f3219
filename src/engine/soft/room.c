/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a processor's cache of code grows; the rule is in room.h.
 */
#include "engine/soft/room.h"

void soft_room_init(struct soft_room *room, size_t max)
{
	*room = (struct soft_room){
		.size = max < SOFT_ROOM_FIRST ? max : SOFT_ROOM_FIRST,
		.max = max,
	};
}

bool soft_room_full(struct soft_room *room, uint64_t now_ns)
{
	if (!room->times || now_ns - room->since > SOFT_ROOM_SPAN_NS) {
		room->since = now_ns;
		room->times = 0;
	}
	if (++room->times < SOFT_ROOM_TIMES || room->size == room->max)
		return false;
	room->times = 0;
	room->size = room->size < room->max / 2 ? room->size * 2 : room->max;
	return true;
}
