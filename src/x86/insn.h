/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoded instruction. decode.c fills it from bytes; handlers execute it.
 */
#ifndef LODGE_X86_INSN_H
#define LODGE_X86_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "x86/cpu.h"

#define X86_INSN_MAX 15 /* bytes; a longer one raises #GP */

struct x86_insn;

typedef enum x86_result x86_handler(struct x86_cpu *cpu,
				    const struct x86_insn *insn);

/* Opcode maps. VEX and EVEX instructions carry the map that they name. */
enum x86_map {
	X86_MAP_ONE,  /* one-byte opcodes */
	X86_MAP_0F,
	X86_MAP_0F38,
	X86_MAP_0F3A,
	X86_MAP_OTHER, /* XOP, EVEX maps 5 and 6: unsupported */
};

/* x86_insn.prefix */
#define X86_PFX_LOCK   0x01u
#define X86_PFX_REP    0x02u /* F3 */
#define X86_PFX_REPNE  0x04u /* F2 */
#define X86_PFX_OPSIZE 0x08u /* 66 */
#define X86_PFX_ADSIZE 0x10u /* 67 */
#define X86_PFX_REX    0x20u
#define X86_PFX_REXW   0x40u /* REX.W, VEX.W or EVEX.W */
#define X86_PFX_SEG    0x80u /* an explicit segment override */

enum x86_encoding {
	X86_LEGACY,
	X86_VEX,
	X86_EVEX,
};

#define X86_NO_REG 0xff /* base or index: none */

struct x86_insn {
	x86_handler *handler; /* what the run loop calls */
	union {
		/* As in guest memory, until x86_bind() has put one of the
		 * others in their place. */
		uint8_t bytes[X86_INSN_MAX + 1];
		struct {
			x86_handler *slow; /* of x86_run_slow(), see below */
			void *native; /* of x86_native_ops.prepare() */
		};
	};
	uint64_t imm;	 /* sign-extended; moffs; far: offset */
	int32_t disp;
	uint16_t selector; /* far pointer; ENTER's second operand */
	uint16_t rex;	 /* raw REX byte, or 0; VEX/EVEX: R X B bits likewise */
	uint8_t length;
	uint8_t offset;	 /* from the start of its block, bytes (blocks are
			  * shorter than 256 bytes) */
	uint8_t opcode;
	uint8_t map;	 /* enum x86_map */
	uint8_t encoding; /* enum x86_encoding */
	uint8_t prefix;	 /* X86_PFX_* */
	uint8_t opsize;	 /* operand size in bytes: 2, 4, 8 (1 for byte forms) */
	uint8_t adsize;	 /* address size in bytes: 2, 4, 8 */
	uint8_t modrm;	 /* raw byte */
	/*
	 * With EVEX five bits, of which only vectors use the highest: R', X
	 * and V'.
	 */
	uint8_t reg;	 /* ModRM.reg with REX.R */
	uint8_t rm;	 /* ModRM.rm with REX.B; opcode's register likewise */
	uint8_t vvvv;	 /* VEX/EVEX, decoded (not inverted) */
	bool has_modrm;
	bool mem;	 /* the ModRM operand is memory */
	bool rip_relative;
	uint8_t seg;	 /* enum x86_seg of the memory operand */
	uint8_t base;	 /* GPR or X86_NO_REG */
	uint8_t index;	 /* GPR or X86_NO_REG */
	uint8_t scale;	 /* shift: 0..3 */
	uint8_t vector_length; /* VEX.L / EVEX.L'L: 0, 1, 2 */
	uint8_t disp_size; /* encoded bytes; EVEX disp8 is scaled by who knows
			    * the opcode: x86_native_ops.prepare() */
	uint8_t imm_size; /* encoded bytes of `imm` (and of far selector) */
	uint8_t evex;	 /* EVEX: z L'L b V' aaa as encoded; else 0 */
};

/* insn.evex */
#define X86_EVEX_MASK 0x07u /* opmask register; 0: none */
#define X86_EVEX_B    0x10u /* broadcast, rounding or SAE */
#define X86_EVEX_Z    0x80u /* zeroing */

_Static_assert(sizeof(struct x86_insn) == 64, "a row is a cache line");

/*
 * Decodes the instruction at `bytes`, of which `size` (up to 15) may be read.
 * `mode` is x86_cpu.mode. Fills everything but handler, slow, offset and
 * native. Gives its length; 0 when `size` ends before the instruction does;
 * -1 when it is longer than 15 bytes (#GP); -2 when it cannot be one (#UD).
 * Only lengths and operands are found: whether the opcode exists is up to
 * x86_bind().
 */
int x86_decode(struct x86_insn *insn, const uint8_t *bytes, unsigned int size,
	       uint32_t mode);

/* Finds the instruction's handler(s); unknown ones raise #UD. */
void x86_bind(struct x86_cpu *cpu, struct x86_insn *insn);

/* True when a block must end behind this instruction. */
bool x86_ends_block(const struct x86_insn *insn);

/* A conditional jump of 64-bit code: X86_NEXT when it is not taken. */
bool x86_is_jcc_64(const struct x86_insn *insn);

/*
 * The handler of instructions that are not worth speed: brings state.rip and
 * state.rflags up to date, sets cpu->next_rip, calls insn->slow, and on
 * success sets rip to cpu->next_rip, recomputes the mode and gives
 * X86_BRANCH. So `slow` handlers see and may change canonical state at will,
 * and return X86_NEXT, X86_FAULT or X86_STOP.
 */
x86_handler x86_run_slow;

/*
 * Executes data instructions that the interpreter has no handler of its own
 * for (SIMD, x87, bit manipulation ...) on the host processor.
 */
struct x86_native_ops {
	/*
	 * Looks at a decoded instruction whose opcode the interpreter does
	 * not know. When it can be run: sets insn->native and insn->handler
	 * (a handler of its own) and returns true. False: #UD.
	 */
	bool (*prepare)(void *ctx, struct x86_cpu *cpu, struct x86_insn *insn);
};

#endif
