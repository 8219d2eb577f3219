/* SPDX-License-Identifier: Apache-2.0 */
/* File names as Microsoft's formats have them: UTF-16 of either byte order. */
#ifndef LODGE_DISK_UTF16_H
#define LODGE_DISK_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * UTF-8, ended by a zero, of `bytes` bytes of UTF-16 or up to its first zero.
 * What is no character becomes '?'; what `size` has no room for is cut off.
 */
void utf16_decode(char *to, size_t size, const uint8_t *from, size_t bytes,
		  bool big);

/* Bytes written to `to`, no zero behind them; what does not fit is left out. */
size_t utf16_encode(uint8_t *to, size_t size, const char *from, bool big);

#endif
