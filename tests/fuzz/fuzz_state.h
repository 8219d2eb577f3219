/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The saved-state stream's fuzz target, for libFuzzer and the smoke test.
 */
#ifndef LODGE_FUZZ_STATE_H
#define LODGE_FUZZ_STATE_H

#include <stddef.h>
#include <stdint.h>

/* A good stream as a first input; its size, at most `max` bytes written. */
size_t fuzz_state_seed(uint8_t *stream, size_t max);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
