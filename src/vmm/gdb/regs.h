/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor's registers as the GDB stub tells them, and their description
 * for the debugger (target.xml). `xcr0` is what its CPUID offers: AVX, AVX-512
 * and PKRU are there with their components.
 */
#ifndef LODGE_VMM_GDB_REGS_H
#define LODGE_VMM_GDB_REGS_H

#include "x86/state.h"

#define GDB_REG_SIZE_MAX 32
#define GDB_XML_MAX	 0x3000u

struct gdb_reg {
	uint8_t kind; /* regs.c */
	uint8_t size; /* bytes, at most GDB_REG_SIZE_MAX */
	uint16_t at;  /* offset in struct x86_state */
};

/* From 0 on. False: there is none of that number. */
bool gdb_reg_find(uint64_t xcr0, unsigned int n, struct gdb_reg *reg);

/* Little-endian, into reg->size bytes. */
void gdb_reg_get(const struct x86_state *state, const struct gdb_reg *reg,
		 void *value);

/*
 * Changes the register, but for bits that the processor could not hold. False:
 * it is one that a debugger cannot write (segment selectors; CR0, CR4, CR8,
 * EFER, for what hangs on them).
 */
bool gdb_reg_set(struct x86_state *state, const struct gdb_reg *reg,
		 const void *value);

/* At most GDB_XML_MAX characters with the NUL. */
void gdb_target_xml(uint64_t xcr0, char *text);

#endif
