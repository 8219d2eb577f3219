/* SPDX-License-Identifier: Apache-2.0 */
/* Code page 437, the characters of a PC's text modes. */
#ifndef LODGE_VMM_DISPLAY_CODEPAGE_H
#define LODGE_VMM_DISPLAY_CODEPAGE_H

#include <stddef.h>
#include <stdint.h>

#define CODEPAGE_BYTES 3 /* of UTF-8 for a character, at most */

/* Writes a character in UTF-8, codes below 32 as the signs that displays show
 * for them, 0 as a blank; gives the bytes. */
size_t codepage_utf8(uint8_t code, char *to);

#endif
