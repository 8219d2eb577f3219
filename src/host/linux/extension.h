/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the program that need large libraries and that few runs use. They
 * are files of their own, loaded when first needed, so that a machine starts
 * without them; they use the program's own functions.
 */
#ifndef LODGE_HOST_LINUX_EXTENSION_H
#define LODGE_HOST_LINUX_EXTENSION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The address of `symbol` in extension `name`: in lodge-NAME.so beside the
 * program, or in the installation's library folder. It stays loaded. NULL:
 * `error` has one line.
 */
void *extension_symbol(const char *name, const char *symbol, char *error,
		       size_t size);

/*
 * The path of the program lodge-NAME, which lies where extensions do. False:
 * it is not there.
 */
bool extension_program(const char *name, char *path, size_t size);

/*
 * How the paths of all of them begin, for `index` from 0 on. False: there is no
 * such folder any more.
 */
bool extension_place(unsigned int index, char path[PATH_MAX]);

/* Whether it is there to be loaded. */
bool extension_present(const char *name);

#endif
