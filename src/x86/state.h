/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical architectural state of one x86-64 processor: what every
 * engine gives and takes, what snapshots save. Sources: AMD64 APM vol. 2,
 * Intel SDM vol. 3.
 */
#ifndef LODGE_X86_STATE_H
#define LODGE_X86_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/state.h"

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

enum x86_seg {
	X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS,
};

/* Segment attributes, packed as in the SVM save area (APM vol. 2, 15.5.1). */
#define X86_ATTR_TYPE	  0x00f
#define X86_ATTR_S	  0x010 /* code or data, not system */
#define X86_ATTR_DPL	  0x060
#define X86_ATTR_DPL_SHIFT 5
#define X86_ATTR_P	  0x080
#define X86_ATTR_AVL	  0x100
#define X86_ATTR_L	  0x200
#define X86_ATTR_DB	  0x400
#define X86_ATTR_G	  0x800
/* type bits of code and data segments */
#define X86_TYPE_ACCESSED 0x1
#define X86_TYPE_WRITE	  0x2 /* data: writable; code: readable */
#define X86_TYPE_EXPAND	  0x4 /* data: expand-down; code: conforming */
#define X86_TYPE_CODE	  0x8

struct x86_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint16_t selector;
	uint16_t attr; /* 0: null (unusable) */
};

struct x86_table {
	uint64_t base;
	uint32_t limit;
};

/* What the processor does between instructions. */
enum x86_activity {
	X86_RUNNING,
	X86_HALTED,	/* HLT; an interrupt wakes it */
	X86_WAIT_SIPI,	/* after INIT; a start-up IPI wakes it */
	X86_SHUTDOWN,	/* triple fault */
};

/*
 * What the instruction just executed holds back until the next one is done:
 * STI interrupts, MOV SS and POP SS debug traps as well.
 */
#define X86_SHADOW_STI 1
#define X86_SHADOW_SS  2

#define X86_XSAVE_SIZE	       2696
/*
 * Layout of the XSAVE area, standard format, as the guest's CPUID leaf 0xd
 * gives it on every engine that lets us choose: the AMD one.
 */
#define X86_XSAVE_HEADER       512
#define X86_XSAVE_YMM	       576  /* component 2: 16 x 16 bytes */
#define X86_XSAVE_OPMASK       832  /* component 5: 8 x 8 */
#define X86_XSAVE_ZMM_HI256    896  /* component 6: 16 x 32 */
#define X86_XSAVE_HI16_ZMM     1408 /* component 7: 16 x 64 */
#define X86_XSAVE_PKRU	       2432 /* component 9: 4 bytes of 8 */
#define X86_XSAVE_END	       2440

#define X86_MTRR_VARIABLE 8

struct x86_state {
	uint64_t gpr[16]; /* enum x86_gpr */
	uint64_t rip;
	uint64_t rflags;
	struct x86_segment seg[6]; /* enum x86_seg; FS/GS base live here */
	struct x86_segment ldtr;
	struct x86_segment tr;
	struct x86_table gdtr;
	struct x86_table idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0, efer;
	uint64_t dr[8]; /* 4 and 5 unused */

	/* MSRs that are more than storage have their effect elsewhere too. */
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */
	uint64_t tsc_adjust, tsc_aux;
	uint64_t apic_base; /* IA32_APIC_BASE */
	uint64_t pat, misc_enable, spec_ctrl, xss, debugctl, pkrs;
	uint64_t mtrr_def_type;
	uint64_t mtrr_fixed[11];
	uint64_t mtrr_base[X86_MTRR_VARIABLE], mtrr_mask[X86_MTRR_VARIABLE];
	uint64_t mcg_status, syscfg;
	uint64_t kvmclock_system, kvmclock_wall; /* paravirtual clock MSRs */

	/* Events. */
	uint32_t activity; /* enum x86_activity */
	uint8_t int_shadow; /* X86_SHADOW_*; 0: none */
	uint8_t nmi_blocked; /* until IRET */
	uint8_t nmi_pending; /* how many, at most 2 */
	uint8_t sipi_vector;
	/* An exception raised but not yet delivered (restore, engine switch). */
	uint8_t fault_pending;
	uint8_t fault_vector;
	uint8_t fault_has_error;
	uint32_t fault_error;

	/*
	 * x87, SSE, AVX ... state in the XSAVE standard format; XSTATE_BV in
	 * the header is kept with every component in use.
	 */
	_Alignas(64) uint8_t xsave[X86_XSAVE_SIZE];
};

/* Power-on (INIT keeps the FPU, MTRRs and caches). Bootstrap: `bsp`. */
void x86_state_reset(struct x86_state *state, bool bsp);
void x86_state_init(struct x86_state *state, bool bsp);

extern const struct state_class x86_state_class;

/* Prints the registers, a line each group, through `line`. */
void x86_state_print(const struct x86_state *state,
		     void (*line)(void *ctx, const char *text), void *ctx);

#endif
