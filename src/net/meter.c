/* SPDX-License-Identifier: Apache-2.0 */
#include "net/meter.h"

#define NS_PER_S 1000000000ull

void net_meter_set(struct net_meter *meter, const struct net_rate *rate,
		   uint64_t burst, uint64_t now)
{
	meter->rate = *rate;
	meter->burst = burst;
	meter->frames_full = meter->bytes_full = now;
}

/* How long until the bucket takes one more; 0: it does now. */
static uint64_t wait_for(uint64_t rate, uint64_t full, uint64_t burst,
			 uint64_t now)
{
	return rate && full > now + burst ? full - now - burst : 0;
}

static void fill(uint64_t *full, uint64_t amount, uint64_t rate, uint64_t now)
{
	if (!rate)
		return;
	if (*full < now)
		*full = now;
	*full += (uint64_t)((__uint128_t)amount * NS_PER_S / rate);
}

uint64_t net_meter_take(struct net_meter *m, uint32_t frames, uint32_t size,
			uint64_t now)
{
	uint64_t wait = wait_for(m->rate.pps, m->frames_full, m->burst, now);
	uint64_t longer = wait_for(m->rate.bps, m->bytes_full, m->burst, now);

	if (longer > wait)
		wait = longer;
	if (wait)
		return wait;
	fill(&m->frames_full, frames, m->rate.pps, now);
	fill(&m->bytes_full, size, m->rate.bps, now);
	return 0;
}
