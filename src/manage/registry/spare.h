/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room that is kept beside the registry, so that a machine can be deleted when
 * the disk is full: that has to be written down first.
 */
#ifndef LODGE_MANAGE_REGISTRY_SPARE_H
#define LODGE_MANAGE_REGISTRY_SPARE_H

#include <stdbool.h>

/* Takes it, unless it is there already or the disk has none to spare. */
void spare_keep(const char *registry);

/* Gives it away. False: there was none. */
bool spare_give(const char *registry);

#endif
