/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing host instructions into code memory: the few forms that the
 * rewriter needs. Intel SDM vol. 2, chapter 2 (encoding).
 */
#ifndef LODGE_ENGINE_SOFT_EMIT_H
#define LODGE_ENGINE_SOFT_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/bytes.h"

/* Host general registers by number. */
enum host_reg {
	HOST_RAX, HOST_RCX, HOST_RDX, HOST_RBX, HOST_RSP, HOST_RBP, HOST_RSI,
	HOST_RDI, HOST_R8, HOST_R9, HOST_R10, HOST_R11, HOST_R12, HOST_R13,
	HOST_R14, HOST_R15,
	HOST_NONE = 0xff,
};

/* Where bytes go: `p` is written, runs at p + to_exec. */
struct emit {
	uint8_t *p, *end;
	intptr_t to_exec;
	bool full; /* something did not fit: discard all */
	uint16_t touched; /* registers that may have been changed, a bit each */
};

/* A memory operand: base + index * 2^scale + disp, or gs:disp. */
struct emit_mem {
	uint8_t base, index; /* enum host_reg */
	uint8_t scale;
	bool gs; /* relative to the processor's struct x86_cpu */
	int32_t disp;
};

static inline void emit_bytes(struct emit *e, const void *bytes,
			      unsigned int count)
{
	if ((uintptr_t)(e->end - e->p) < count) {
		e->full = true;
		return;
	}
	memcpy(e->p, bytes, count);
	e->p += count;
}

static inline void emit_8(struct emit *e, unsigned int v)
{
	uint8_t byte = (uint8_t)v;

	emit_bytes(e, &byte, 1);
}

static inline void emit_32(struct emit *e, uint32_t v)
{
	emit_bytes(e, &v, 4);
}

static inline void emit_64(struct emit *e, uint64_t v)
{
	emit_bytes(e, &v, 8);
}

/* Address at which the next byte will run. */
static inline uint64_t emit_here(const struct emit *e)
{
	return (uint64_t)((intptr_t)e->p + e->to_exec);
}

/* gs:offset of struct x86_cpu. */
static inline struct emit_mem emit_gs(size_t offset)
{
	return (struct emit_mem){ .base = HOST_NONE, .index = HOST_NONE,
				  .gs = true, .disp = (int32_t)offset };
}

/* gs:[index * 2^scale + offset]; shorter with a base alone. */
static inline struct emit_mem emit_gs_index(unsigned int index,
					    unsigned int scale, size_t offset)
{
	if (!scale)
		return (struct emit_mem){ .base = (uint8_t)index,
					  .index = HOST_NONE, .gs = true,
					  .disp = (int32_t)offset };
	return (struct emit_mem){ .base = HOST_NONE, .index = (uint8_t)index,
				  .scale = (uint8_t)scale, .gs = true,
				  .disp = (int32_t)offset };
}

static inline struct emit_mem emit_at(unsigned int base, int32_t disp)
{
	return (struct emit_mem){ .base = (uint8_t)base, .index = HOST_NONE,
				  .disp = disp };
}

/*
 * opcode: up to three bytes, the last written byte in the low eight bits
 * (0x0fb6 is 0F B6). `prefix`: 0, or 66, F2, F3, f0 bytes packed likewise.
 */
void emit_rm_mem(struct emit *e, uint32_t prefix, bool wide, uint32_t opcode,
		 unsigned int reg, const struct emit_mem *m);
void emit_rm_reg(struct emit *e, uint32_t prefix, bool wide, bool rex,
		 uint32_t opcode, unsigned int reg, unsigned int rm);

/* ModRM, SIB and displacement of a memory operand alone. */
void emit_modrm(struct emit *e, unsigned int reg, const struct emit_mem *m);

/* The same for EVEX, whose disp8 counts in units of `unit` bytes. */
void emit_modrm_evex(struct emit *e, unsigned int reg,
		     const struct emit_mem *m, unsigned int unit);

/* 64-bit moves and address computations. */
void emit_mov(struct emit *e, unsigned int to, unsigned int from);
void emit_load(struct emit *e, unsigned int to, const struct emit_mem *m);
void emit_store(struct emit *e, unsigned int from, const struct emit_mem *m);
void emit_lea(struct emit *e, bool wide, unsigned int to,
	      const struct emit_mem *m);

/* The shortest MOV of a constant; flags stay. */
void emit_const(struct emit *e, unsigned int to, uint64_t value);

/* MOV of a constant in eight bytes that may be patched: where they are. */
uint8_t *emit_const_64(struct emit *e, unsigned int to, uint64_t value);

/* PEXT to, from, gs:[offset] (VEX.F2.0F38.W1 F5): flags stay. */
void emit_pext_gs(struct emit *e, unsigned int to, unsigned int from,
		  size_t offset);

/* RORX to, from, count (VEX.F2.0F3A.W1 F0): flags stay. */
void emit_rorx(struct emit *e, unsigned int to, unsigned int from,
	       unsigned int count);

/* SHRX to, from, count (VEX.F2.0F38.W1 F7): flags stay. */
void emit_shrx(struct emit *e, unsigned int to, unsigned int from,
	       unsigned int count);

/* JMP and Jcc rel32 to a host address; with 0 the place is patched later.
 * Gives where the four bytes of the displacement are (writable). */
uint8_t *emit_jmp(struct emit *e, uint64_t to);
uint8_t *emit_jcc(struct emit *e, unsigned int cc, uint64_t to);
uint8_t *emit_call(struct emit *e, uint64_t to);

/* JRCXZ, Jcc and JMP rel8 to be patched; gives where the byte is. */
uint8_t *emit_jrcxz(struct emit *e);
uint8_t *emit_jcc_8(struct emit *e, unsigned int cc);
uint8_t *emit_jmp_8(struct emit *e);

/* Lets the jump whose displacement is at `at` lead here. */
void emit_land_32(struct emit *e, uint8_t *at);
void emit_land_8(struct emit *e, uint8_t *at);

#endif
