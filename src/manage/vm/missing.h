/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration names that is not on this host. */
#ifndef LODGE_MANAGE_VM_MISSING_H
#define LODGE_MANAGE_VM_MISSING_H

#include <jansson.h>

/*
 * The paths of files and folders that a start would want and not find, which may
 * come before it: a list of texts. NULL: all are there. What is on servers is
 * not asked for.
 */
json_t *missing_files(const json_t *config);

#endif
