/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction handlers of the less frequent kind, by the file that defines
 * them. Most are slow: x86_bind() puts them behind x86_run_slow(), so that
 * they see canonical rip and rflags, set cpu->next_rip to branch, and return
 * X86_NEXT, X86_FAULT or X86_STOP. Those that need neither rip nor arithmetic
 * flags and leave the mode as it is are called directly.
 */
#ifndef LODGE_X86_HANDLERS_H
#define LODGE_X86_HANDLERS_H

#include "x86/insn.h"

/* far.c: control transfers between segments and privilege levels */
x86_handler x86_far_jump;	 /* EA; FF /5 (memory) */
x86_handler x86_far_call;	 /* 9A; FF /3 (memory) */
x86_handler x86_int;		 /* CC, CD, CE, F1 */

/* return.c */
x86_handler x86_far_return;	 /* CA, CB */
x86_handler x86_iret;		 /* CF: also out of tasks, to VM86 */

/* syscall.c */
x86_handler x86_syscall;	 /* 0F 05 */
x86_handler x86_sysret;		 /* 0F 07 */
x86_handler x86_sysenter;	 /* 0F 34 */
x86_handler x86_sysexit;	 /* 0F 35 */

/* segment_insn.c: loading and reading segment registers */
x86_handler x86_mov_to_seg;	 /* 8E */
x86_handler x86_mov_from_seg;	 /* 8C */
x86_handler x86_push_seg;	 /* 06 0E 16 1E, 0F A0, 0F A8 */
x86_handler x86_pop_seg;	 /* 07 17 1F, 0F A1, 0F A9 */
x86_handler x86_load_far;	 /* C4 C5 0F B2 B4 B5: LES LDS LSS LFS LGS */
x86_handler x86_group_0f00;	 /* SLDT STR LLDT LTR VERR VERW */
x86_handler x86_lar;		 /* 0F 02 */
x86_handler x86_lsl;		 /* 0F 03 */
x86_handler x86_arpl;		 /* 63 outside 64-bit mode */
x86_handler x86_swapgs;		 /* 0F 01 F8 */
x86_handler x86_fsgsbase;	 /* F3 0F AE /0../3 register forms */

/* system.c: privileged and processor-control instructions */
x86_handler x86_mov_cr;		 /* 0F 20, 0F 22 */
x86_handler x86_mov_dr;		 /* 0F 21, 0F 23 */
x86_handler x86_group_0f01;	 /* SGDT SIDT LGDT LIDT SMSW LMSW INVLPG and
				  * the register forms XGETBV XSETBV CLAC STAC
				  * SWAPGS RDTSCP MONITOR MWAIT VMCALL ... */
x86_handler x86_clts;		 /* 0F 06 */
x86_handler x86_invd;		 /* 0F 08, 0F 09: INVD WBINVD */
x86_handler x86_wrmsr;		 /* 0F 30 */
x86_handler x86_rdtsc;		 /* 0F 31 */
x86_handler x86_rdmsr;		 /* 0F 32 */
x86_handler x86_rdpmc;		 /* 0F 33 */
x86_handler x86_cpuid;		 /* 0F A2 */
x86_handler x86_rdpid;		 /* F3 0F C7 /7 */
x86_handler x86_invpcid;	 /* 66 0F 38 82 */
x86_handler x86_rdrand;		 /* 0F C7 /6 /7 registers: RDRAND RDSEED */
x86_handler x86_hlt;		 /* F4 */
x86_handler x86_cli;		 /* FA */
x86_handler x86_sti;		 /* FB */
x86_handler x86_pushf;		 /* 9C */
x86_handler x86_popf;		 /* 9D */
x86_handler x86_in;		 /* E4 E5 EC ED */
x86_handler x86_out;		 /* E6 E7 EE EF */
x86_handler x86_ins;		 /* 6C 6D, with REP: one iteration a call */
x86_handler x86_outs;		 /* 6E 6F, likewise */

/* xsave.c: saving and restoring the extended state; called directly, they
 * need neither rip nor flags */
x86_handler x86_group_0fae;	 /* memory forms: FXSAVE FXRSTOR LDMXCSR STMXCSR
				  * XSAVE XRSTOR XSAVEOPT CLFLUSH CLFLUSHOPT
				  * CLWB; register forms: fences */
x86_handler x86_group_0fc7;	 /* XSAVEC XSAVES XRSTORS (memory /3 /4 /5) */
x86_handler x86_fwait;		 /* 9B */
x86_handler x86_vzero;		 /* VEX 0F 77: VZEROUPPER VZEROALL */
x86_handler x86_emms;		 /* 0F 77 */

#endif
