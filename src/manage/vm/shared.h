/* SPDX-License-Identifier: Apache-2.0 */
/* What disks of kept machines stand on, and who else does. */
#ifndef LODGE_MANAGE_VM_SHARED_H
#define LODGE_MANAGE_VM_SHARED_H

#include <jansson.h>

struct vm;

/*
 * The machine's configuration, in which "base" is left to those disks alone
 * that stand on what another machine has, or may have. NULL: no memory.
 */
json_t *shared_config(const struct vm *vm);

#endif
