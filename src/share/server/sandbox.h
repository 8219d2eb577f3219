/* SPDX-License-Identifier: Apache-2.0 */
/* What the server of a folder gives up before it reads its first request. */
#ifndef LODGE_SHARE_SERVER_SANDBOX_H
#define LODGE_SHARE_SERVER_SANDBOX_H

#include <stdbool.h>

/* As many descriptors as this process may have. */
unsigned int sandbox_descriptors(void);

/*
 * From now on there is nothing but the folder `fd` for this process, as far as
 * the kernel knows how. On its only thread. 0 or a negative errno.
 */
int sandbox_enter(int fd, bool readonly);

#endif
