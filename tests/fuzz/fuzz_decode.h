/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's fuzz target, for libFuzzer and for the smoke test.
 */
#ifndef LODGE_FUZZ_DECODE_H
#define LODGE_FUZZ_DECODE_H

#include <stddef.h>
#include <stdint.h>

void fuzz_decode_open(void);
void fuzz_decode_close(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
