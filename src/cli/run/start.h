/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When this process was started.
 */
#ifndef LODGE_CLI_RUN_START_H
#define LODGE_CLI_RUN_START_H

#include <stdint.h>

/* host_monotonic_ns() time, estimated; to be called first in main(). */
uint64_t process_start_ns(void);

#endif
