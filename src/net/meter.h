/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may pass one way: frames and bytes in a second, with a burst after a
 * rest. A virtual-scheduling token bucket, as a disk's (disk/limit.h): each
 * frame moves the time at which the bucket would be full again, and waits while
 * that lies further off than the burst.
 */
#ifndef LODGE_NET_METER_H
#define LODGE_NET_METER_H

#include <stdint.h>

struct net_rate {
	uint64_t pps, bps; /* frames, bytes a second; 0: as they come */
};

struct net_meter {
	struct net_rate rate;
	uint64_t burst;			 /* ns */
	uint64_t frames_full, bytes_full; /* ns */
};

/* Another rate from `now` on, in ns of any clock. */
void net_meter_set(struct net_meter *meter, const struct net_rate *rate,
		   uint64_t burst, uint64_t now);

/* Counts `frames` of `size` bytes in all and gives 0, or does not: how many ns
 * they have to wait. More than a burst waits for its own sake only. */
uint64_t net_meter_take(struct net_meter *meter, uint32_t frames,
			uint32_t size, uint64_t now);

#endif
