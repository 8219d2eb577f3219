/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that look before they sleep. To wake a thread that sleeps takes some
 * 50 us where the host is itself a guest: longer than most of what is waited
 * for. So who had a short wait looks for a while in the next one, and sleeps
 * when that was not enough; who waits long never looks.
 */
#ifndef LODGE_HOST_LINUX_EAGER_H
#define LODGE_HOST_LINUX_EAGER_H

#include <stdbool.h>
#include <stdint.h>

#define EAGER_LOOK_NS 100000u
#define EAGER_PAUSES  16 /* between two looks at the clock */

/* Of an answer for which somebody is woken as well: half of such a wait is
 * that one's. Others that could run on this processor go first meanwhile, for
 * that one may have been put there. */
#define EAGER_ANSWER_NS (3 * EAGER_LOOK_NS)

/* CLOCK_MONOTONIC in ns, whatever clock the VM goes by. */
uint64_t eager_now(void);

/* Looks for a while; true: *word is not 0 any more. */
bool eager_look(const _Atomic uint32_t *word);

/*
 * Whether to look the next time. `eager`: whether it did; `took`: how long
 * the whole wait was, in ns. Only where there are more processors than `busy`,
 * and more than one.
 */
bool eager_next(bool eager, uint64_t took, unsigned int busy);

#endif
