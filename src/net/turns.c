/* SPDX-License-Identifier: Apache-2.0 */
#include "net/turns.h"

#define FEW   2u
#define SHORT 1514u /* bytes of a frame that is not long */
#define LIGHT 2u    /* turns, before a processor looks */

bool turns_may_look(const struct turns *turns)
{
	return turns->light >= LIGHT;
}

bool turns_are_heavy(const struct turns *turns)
{
	return !turns->light;
}

void turns_look(struct turns *turns)
{
	atomic_fetch_add_explicit(&turns->looks, 1, memory_order_relaxed);
	if (!atomic_load_explicit(&turns->taken, memory_order_relaxed))
		atomic_store(&turns->taken, true);
}

void turns_took(struct turns *turns, unsigned int frames, uint64_t bytes)
{
	if (frames > FEW || bytes > FEW * SHORT) {
		turns->light = 0;
		turns_leave(turns);
	} else if (frames && turns->light < LIGHT) {
		turns->light++;
	}
}

void turns_leave(struct turns *turns)
{
	atomic_store(&turns->taken, false);
}

bool turns_are_taken(struct turns *turns)
{
	uint32_t looks = atomic_load(&turns->looks);

	if (!atomic_load(&turns->taken))
		return false;
	if (looks == turns->seen)
		turns_leave(turns);
	turns->seen = looks;
	return atomic_load(&turns->taken);
}
