/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generated test of a class's saved state. For cmocka tests: a failure
 * fails the test and prints which field or byte.
 */
#ifndef LODGE_FAKE_ROUNDTRIP_H
#define LODGE_FAKE_ROUNDTRIP_H

#include "vm/state.h"

/*
 * Checks the table itself (bounds, names given once, no overlap), then fills
 * the saved fields of `object` with patterns, saves, overwrites them, loads
 * and compares; then offers damaged streams: every truncation, every byte
 * changed, trailing bytes, unknown names, a newer version, a record twice, a
 * record missing. All must be refused and leave the object as it was; and
 * none, not even with a right checksum, may harm the reader.
 *
 * `object` is one that its own init function made, so that the class's hooks
 * find what they need; NULL: a zeroed one is made. `valid` (may be NULL)
 * brings patterned values into the range that the class's check() accepts.
 * On return the object holds patterns.
 */
void roundtrip_check(const struct state_class *class, void *object,
		     void (*valid)(void *object));

#endif
