/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much host_log() says. Lines go to standard error with "lodge: " before
 * them, at most some ten a second; what was left out is counted in a line. A
 * file takes so many: behind LOG_FILE_MAX bytes of it nothing is said any more.
 */
#ifndef LODGE_HOST_LINUX_LOG_H
#define LODGE_HOST_LINUX_LOG_H

#include "vm/host.h"

#define LOG_FILE_MAX (16 << 20)

/* Lines above `level` are dropped. At start: HOST_LOG_WARN. Any thread. */
void log_set_level(enum host_log_level level);

#endif
