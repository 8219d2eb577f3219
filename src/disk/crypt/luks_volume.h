/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the extension "luks" has.
 */
#ifndef LODGE_DISK_CRYPT_LUKS_VOLUME_H
#define LODGE_DISK_CRYPT_LUKS_VOLUME_H

#include "disk/crypt/crypt.h"
#include "disk/driver.h"

extern const struct disk_driver disk_luks_volume;

#endif
