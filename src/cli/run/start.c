/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/start.h"

#include <time.h>

#include "vm/host.h"

/*
 * The kernel tells only in hundredths of a second; the processor time used
 * until main() is the time that exec and the dynamic linker took, unless they
 * had to wait.
 */
uint64_t process_start_ns(void)
{
	struct timespec used = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return host_monotonic_ns() - (uint64_t)used.tv_sec * 1000000000u -
	       (uint64_t)used.tv_nsec;
}
