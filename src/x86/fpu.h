/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x87 and SSE part of the XSAVE area (its first 512 bytes, the FXSAVE64
 * image of Intel SDM vol. 1, 10.5.1 and 13.4.1) by name. The instruction and
 * data pointers are kept as 64-bit offsets; FPU CS and DS read as 0, which
 * CPUID announces as deprecated.
 */
#ifndef LODGE_X86_FPU_H
#define LODGE_X86_FPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/bytes.h"
#include "x86/cpu.h"

/* Byte offsets in x86_state.xsave. */
#define FPU_FCW	       0
#define FPU_FSW	       2
#define FPU_FTW	       4 /* abridged: a bit each, set when in use */
#define FPU_FOP	       6
#define FPU_FIP	       8
#define FPU_FDP	       16
#define FPU_MXCSR      24
#define FPU_MXCSR_MASK 28
#define FPU_ST	       32 /* ST0 .. ST7 (or MM0 .. 7), 16 bytes each */
#define FPU_XMM	       160

#define FPU_FCW_INIT  0x037f
#define FPU_FCW_USED  0x1f3f /* writable; bit 6 reads as 1, others as 0 */
#define FPU_FCW_ONE   0x0040
#define FPU_EXCEPT    0x003f /* the same six bits in FCW, FSW and MXCSR */
#define FPU_UE	      0x0010 /* underflow */
#define FPU_FSW_ES    0x0080 /* an unmasked exception is pending */
#define FPU_FSW_B     0x8000 /* mirrors ES */
#define FPU_FSW_TOP   0x3800
#define FPU_TOP_SHIFT 11
#define FPU_FOP_USED  0x07ff

#define FPU_MXCSR_INIT	      0x1f80u
#define FPU_MXCSR_USED	      0xffffu /* what MXCSR_MASK says; the rest: #GP */
#define FPU_MXCSR_MASKS	      0x1f80u
#define FPU_MXCSR_MASKS_SHIFT 7
#define FPU_MXCSR_FTZ	      0x8000u

static inline uint16_t fpu_get16(const struct x86_state *state,
				 unsigned int offset)
{
	uint16_t v;

	memcpy(&v, state->xsave + offset, sizeof(v));
	return v;
}

static inline void fpu_set16(struct x86_state *state, unsigned int offset,
			     uint16_t v)
{
	memcpy(state->xsave + offset, &v, sizeof(v));
}

static inline uint32_t fpu_get32(const struct x86_state *state,
				 unsigned int offset)
{
	uint32_t v;

	memcpy(&v, state->xsave + offset, sizeof(v));
	return v;
}

static inline void fpu_set32(struct x86_state *state, unsigned int offset,
			     uint32_t v)
{
	memcpy(state->xsave + offset, &v, sizeof(v));
}

static inline uint64_t fpu_get64(const struct x86_state *state,
				 unsigned int offset)
{
	uint64_t v;

	memcpy(&v, state->xsave + offset, sizeof(v));
	return v;
}

static inline void fpu_set64(struct x86_state *state, unsigned int offset,
			     uint64_t v)
{
	memcpy(state->xsave + offset, &v, sizeof(v));
}

/* True when an x87 exception waits for the next waiting instruction. */
static inline bool fpu_pending(const struct x86_state *state)
{
	return fpu_get16(state, FPU_FSW) & ~fpu_get16(state, FPU_FCW) &
	       FPU_EXCEPT;
}

/* Forces the fixed bits of FCW and derives ES and B, as the hardware does. */
static inline void fpu_normalise(struct x86_state *state)
{
	uint16_t fcw = (fpu_get16(state, FPU_FCW) & FPU_FCW_USED) | FPU_FCW_ONE;
	uint16_t fsw = fpu_get16(state, FPU_FSW) &
		       (uint16_t) ~(FPU_FSW_ES | FPU_FSW_B);

	if (fsw & ~fcw & FPU_EXCEPT)
		fsw |= FPU_FSW_ES | FPU_FSW_B;
	fpu_set16(state, FPU_FCW, fcw);
	fpu_set16(state, FPU_FSW, fsw);
}

/*
 * Changes TOP, and no physical register: the area holds them by their place
 * in the stack, so they move there.
 */
static inline void fpu_set_top(struct x86_state *state, unsigned int top)
{
	uint16_t fsw = fpu_get16(state, FPU_FSW);
	unsigned int shift = (top - (fsw >> FPU_TOP_SHIFT)) & 7;
	uint8_t st[128];
	unsigned int i;

	if (!shift)
		return;
	memcpy(st, state->xsave + FPU_ST, sizeof(st));
	for (i = 0; i < 8; i++)
		memcpy(state->xsave + FPU_ST + 16 * i,
		       st + 16 * ((i + shift) & 7), 16);
	fsw &= (uint16_t)~FPU_FSW_TOP;
	fpu_set16(state, FPU_FSW, fsw | (uint16_t)(top << FPU_TOP_SHIFT));
}

/* FNINIT: control, status, tags and pointers; the registers keep theirs. */
static inline void fpu_init(struct x86_state *state)
{
	fpu_set_top(state, 0);
	memset(state->xsave, 0, FPU_MXCSR);
	fpu_set16(state, FPU_FCW, FPU_FCW_INIT);
}

/*
 * Before an x87 or MMX instruction that waits: #MF when an exception is
 * pending. With CR0.NE clear the error would go to IRQ 13, which the board
 * does not wire; the instruction then runs as if IGNNE# were asserted.
 */
static inline enum x86_result fpu_check_pending(struct x86_cpu *cpu)
{
	if (fpu_pending(&cpu->state) && cpu->state.cr0 & X86_CR0_NE)
		return x86_raise(cpu, X86_MF);
	return X86_NEXT;
}

#endif
