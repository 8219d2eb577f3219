/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a clone, which lodged plans (src/manage/vm/clone.c).
 */
#ifndef LODGE_CLI_MACHINE_CLONE_DISKS_H
#define LODGE_CLI_MACHINE_CLONE_DISKS_H

/* Makes what the file says; done again, what is missing. An exit status. */
int clone_disks_make(const char *path);

#endif
