/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four memory functions that freestanding code may call: every C
 * environment, hosted or not, has to provide them to its compiler.
 */
#ifndef LODGE_VM_BYTES_H
#define LODGE_VM_BYTES_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
