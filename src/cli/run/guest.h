/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default guest: a kernel and an initrd that belong to the program.
 */
#ifndef LODGE_CLI_RUN_GUEST_H
#define LODGE_CLI_RUN_GUEST_H

#include <limits.h>

struct guest {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
};

/*
 * Looks beside the program (where a build leaves it), then in the data
 * folder of an installation. -1 after cli_error().
 */
int guest_find(struct guest *guest);

/* Its command line: boots quickly, its console on the serial port. */
extern const char guest_append[];

#endif
