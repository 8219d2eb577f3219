/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that nobody else has: UUIDs of random bits (RFC 9562, version 4).
 */
#ifndef LODGE_MANAGE_UUID_H
#define LODGE_MANAGE_UUID_H

#define UUID_TEXT 37

void uuid_make(char text[UUID_TEXT]);

#endif
