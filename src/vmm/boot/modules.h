/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multiboot modules of a machine. Each is named by a path and, behind a
 * blank, by arguments: a kernel gets both as the module's string. What is the
 * path of a file as a whole has no arguments.
 */
#ifndef LODGE_VMM_BOOT_MODULES_H
#define LODGE_VMM_BOOT_MODULES_H

#include "board/board.h"
#include "vmm/boot/image.h"

struct module {
	char *path;
	struct image image;
};

struct modules {
	struct module *module;
	struct boot_module *boot; /* the same for board_boot */
	unsigned int count;
};

/* Maps `count` files; -1 with `error`. To be closed in either case. Keeps the
 * strings. */
int modules_open(struct modules *modules, const char *const *text,
		 unsigned int count, struct vmm_error *error);
void modules_close(struct modules *modules);

/* image_check() of each. */
int modules_check(const struct modules *modules, struct vmm_error *error);

#endif
