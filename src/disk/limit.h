/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a disk may do: requests and bytes in a second, with a burst after a
 * rest. A virtual-scheduling token bucket: each request moves the time at
 * which the bucket would be full again, and waits while that lies further off
 * than the burst.
 */
#ifndef LODGE_DISK_LIMIT_H
#define LODGE_DISK_LIMIT_H

#include <stdint.h>

struct disk_limits {
	uint64_t iops, bps; /* requests, bytes a second; 0: as it comes */
	uint32_t burst_ms; /* of rest that can be made up for; 0: 100 */
};

struct disk_meter {
	struct disk_limits limits;
	uint64_t requests_full, bytes_full; /* ns */
};

/* New limits from `now` on, in ns of any clock. */
void disk_meter_set(struct disk_meter *meter, const struct disk_limits *limits,
		    uint64_t now);

/* Counts a request of `length` bytes and gives 0, or does not: how many ns it
 * has to wait. One that is larger than a burst waits for its own sake only. */
uint64_t disk_meter_take(struct disk_meter *meter, uint64_t length,
			 uint64_t now);

#endif
