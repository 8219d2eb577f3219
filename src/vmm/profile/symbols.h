/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of addresses in a guest's kernel, from what a kernel comes with:
 * a System.map (or what /proc/kallsyms says), the symbol table of an ELF file,
 * or the compressed names that a kernel carries for its own messages.
 */
#ifndef LODGE_VMM_PROFILE_SYMBOLS_H
#define LODGE_VMM_PROFILE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/error.h"

struct symbols;

/* NULL with `error`: no such file, no symbols in it. */
struct symbols *symbols_load(const char *path, struct vmm_error *error);
void symbols_free(struct symbols *symbols);

/*
 * The symbol that `address` belongs to, and how far behind it; NULL when it
 * is below all of them or too far behind the last. `symbols` may be NULL.
 */
const char *symbols_find(const struct symbols *symbols, uint64_t address,
			 uint64_t *offset);

/* For the parsers: -1 when there is no memory. Names are copied. */
int symbols_add(struct symbols *symbols, uint64_t address, const char *name,
		size_t length);

/* kallsyms.c: the names in a kernel's image. How many, 0 when there are
 * none; -1 as above. */
int kallsyms_read(const uint8_t *data, size_t size, struct symbols *symbols);

#endif
