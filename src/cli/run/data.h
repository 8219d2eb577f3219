/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that go with the program: beside it in the build folder, below
 * share/lodge where it is installed.
 */
#ifndef LODGE_CLI_RUN_DATA_H
#define LODGE_CLI_RUN_DATA_H

#include <limits.h>
#include <stdbool.h>

/* Finds "recipes/debian/build.sh" and the like; false: it is not there. */
bool data_find(char path[PATH_MAX], const char *name);

#endif
