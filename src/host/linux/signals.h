/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as something that is read, for loops that wait for descriptors. */
#ifndef LODGE_HOST_LINUX_SIGNALS_H
#define LODGE_HOST_LINUX_SIGNALS_H

#include <signal.h>

/*
 * Those that ask a process to end (SIGTERM, SIGINT, SIGHUP) and `more`, which
 * ends with 0 (NULL: none), are blocked in this thread and those that it
 * starts, and told by a signalfd(2) that does not wait. The mask as it was is
 * in *before (may be NULL). The descriptor or -errno.
 */
int signals_open(const int *more, sigset_t *before);

#endif
