/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/limit.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define BURST_MS  100u

void disk_meter_set(struct disk_meter *meter, const struct disk_limits *limits,
		    uint64_t now)
{
	meter->limits = *limits;
	if (!meter->limits.burst_ms)
		meter->limits.burst_ms = BURST_MS;
	meter->requests_full = meter->bytes_full = now;
}

/* ns that `amount` takes at `rate` a second. */
static uint64_t cost(uint64_t amount, uint64_t rate)
{
	return (uint64_t)((__uint128_t)amount * NS_PER_S / rate);
}

static uint64_t wait_for(uint64_t full, uint64_t burst, uint64_t now)
{
	return full > now + burst ? full - now - burst : 0;
}

uint64_t disk_meter_take(struct disk_meter *meter, uint64_t length,
			 uint64_t now)
{
	const struct disk_limits *limits = &meter->limits;
	uint64_t burst = limits->burst_ms * NS_PER_MS;
	uint64_t wait = 0, longer = 0;

	if (limits->iops)
		wait = wait_for(meter->requests_full, burst, now);
	if (limits->bps)
		longer = wait_for(meter->bytes_full, burst, now);
	if (longer > wait)
		wait = longer;
	if (wait)
		return wait;
	if (meter->requests_full < now)
		meter->requests_full = now;
	if (meter->bytes_full < now)
		meter->bytes_full = now;
	if (limits->iops)
		meter->requests_full += cost(1, limits->iops);
	if (limits->bps)
		meter->bytes_full += cost(length, limits->bps);
	return 0;
}
