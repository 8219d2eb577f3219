/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmocka with the headers that it wants first.
 */
#ifndef LODGE_FAKE_TEST_H
#define LODGE_FAKE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
