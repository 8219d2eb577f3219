/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GDB stub's fuzz target, for libFuzzer and for the smoke test.
 */
#ifndef LODGE_FUZZ_GDB_H
#define LODGE_FUZZ_GDB_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
