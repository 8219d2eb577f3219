/* SPDX-License-Identifier: Apache-2.0 */
/* Shared folders for lodge attach and lodge detach. */
#ifndef LODGE_CLI_MACHINE_ATTACH_SHARE_H
#define LODGE_CLI_MACHINE_ATTACH_SHARE_H

#include "cli/machine/target.h"

/*
 * Plugs "FOLDER:GUESTFOLDER[,OPTION...]", the third word, into the machine and
 * has the guest's agent mount it. The exit status.
 */
int attach_share(struct target *target);

/*
 * When the second word is a share that was attached: has the agent unmount it,
 * with `force` though it is in use. Then the guest may let its device go as
 * always, which is better for its driver than to be without of a sudden: `force`
 * is taken back. -1 after cli_error(): the guest uses it.
 */
int attach_share_unmount(struct target *target);

#endif
