/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers that no other image has (RFC 4122, version 4: by chance). */
#ifndef LODGE_DISK_GUID_H
#define LODGE_DISK_GUID_H

#include <stdint.h>

/* To 16 bytes, in the order of RFC 4122. */
void disk_guid_make(uint8_t *guid);

/* The same in the order of Microsoft's GUID: the first three numbers are
 * little-endian. */
void disk_guid_make_le(uint8_t *guid);

#endif
