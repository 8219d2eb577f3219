/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a frame may be waited for that its receiver has no room for: that
 * is earned by the frames that it takes, as on a link of 32 MiB/s, and there
 * is never more than PATIENCE_MOST. So no receiver holds up, for longer, who
 * sends to others too; one that stands still has used it up soon.
 */
#ifndef LODGE_NET_SWITCH_PATIENCE_H
#define LODGE_NET_SWITCH_PATIENCE_H

#include <stdint.h>

#define PATIENCE_MOST	   10000000u /* ns */
#define PATIENCE_BYTE_NS   30u	     /* earned by a byte */
#define PATIENCE_BYTES_MIN 1024u     /* that a frame counts for */

/* What is left, in ns; zero-initialised. */
struct patience {
	uint64_t ns;
};

/* A frame of so many bytes was taken. */
static inline void patience_earn(struct patience *patience, uint32_t size)
{
	patience->ns += (uint64_t)PATIENCE_BYTE_NS *
			(size < PATIENCE_BYTES_MIN ? PATIENCE_BYTES_MIN
						   : size);
	if (patience->ns > PATIENCE_MOST)
		patience->ns = PATIENCE_MOST;
}

static inline void patience_use(struct patience *patience, uint64_t ns)
{
	patience->ns -= ns < patience->ns ? ns : patience->ns;
}

#endif
