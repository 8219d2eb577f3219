/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor's registers as the GDB stub tells them, and their description
 * for the debugger (target.xml).
 */
#ifndef LODGE_VMM_GDB_REGS_H
#define LODGE_VMM_GDB_REGS_H

#include "x86/state.h"

#define GDB_REG_SIZE_MAX 16

extern const unsigned int gdb_reg_count;

/* How many bytes register `n` has; 0: there is none. */
unsigned int gdb_reg_size(unsigned int n);

/* Register `n`, little-endian, into gdb_reg_size(n) bytes. */
void gdb_reg_get(const struct x86_state *state, unsigned int n, void *value);

/*
 * Changes register `n`, but for bits that the processor could not hold. False:
 * it is one that a debugger cannot write (segment selectors; CR0, CR4, CR8,
 * EFER, for what hangs on them).
 */
bool gdb_reg_set(struct x86_state *state, unsigned int n, const void *value);

extern const char gdb_target_xml[];

#endif
