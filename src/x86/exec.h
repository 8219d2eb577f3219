/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter's own instructions. A pick function looks at a decoded
 * instruction and gives the handler made for its operand size and kind, or
 * NULL where the encoding is invalid (#UD).
 */
#ifndef LODGE_X86_EXEC_H
#define LODGE_X86_EXEC_H

#include "x86/insn.h"

typedef x86_handler *x86_pick(const struct x86_insn *insn);

/* alu.c */
x86_pick x86_pick_alu;	       /* 00-3D */
x86_pick x86_pick_alu_group;   /* 80-83 */
x86_pick x86_pick_test;	       /* 84 85 A8 A9 */
x86_pick x86_pick_inc_dec;     /* 40-4F */
x86_pick x86_pick_group3;      /* F6 F7 */
x86_pick x86_pick_group4;      /* FE */

/* move.c */
x86_pick x86_pick_mov;	     /* 88-8B, C6 C7, B0-BF, A0-A3 */
x86_pick x86_pick_extend;    /* 0F B6 B7 BE BF, 63 in 64-bit code */
x86_pick x86_pick_lea;
x86_pick x86_pick_cmov;
x86_pick x86_pick_setcc;
x86_pick x86_pick_push_pop;  /* 50-5F, 68 6A, 8F */
x86_pick x86_pick_convert;   /* 98 99 */
x86_pick x86_pick_bswap;

/* shift.c, muldiv.c, bits.c */
x86_pick x86_pick_shift;     /* C0 C1 D0-D3 */
x86_pick x86_pick_shift_double; /* 0F A4 A5 AC AD */
x86_pick x86_pick_imul;	     /* 69 6B, 0F AF */
x86_pick x86_pick_bit_test;  /* 0F A3 AB B3 BB BA */
x86_pick x86_pick_bit_scan;  /* 0F BC BD, F3: TZCNT LZCNT; F3 0F B8 */
x86_handler x86_mul, x86_imul_one, x86_div, x86_idiv;

/* branch.c */
x86_pick x86_pick_jcc;	     /* 70-7F, 0F 80-8F */
x86_pick x86_pick_branch;    /* E8 E9 EB, C2 C3, E0-E3 */
x86_pick x86_pick_group5;    /* FF */

/* string.c */
x86_pick x86_pick_string;    /* A4-A7, AA-AF */

/* atomic.c: LOCK forms, and what always is one */
x86_pick x86_pick_locked;    /* any lockable instruction with LOCK */
x86_pick x86_pick_exchange;  /* 86 87 90-97 */
x86_pick x86_pick_cmpxchg;   /* 0F B0 B1 */
x86_pick x86_pick_xadd;	     /* 0F C0 C1 */
x86_handler x86_cmpxchg_wide; /* 0F C7 /1 */

/* legacy.c */
x86_handler x86_nop;
x86_handler x86_prefetchw;
x86_handler x86_flag_op;     /* F5 F8 F9 FC FD, 9E 9F */
x86_handler x86_pusha, x86_popa, x86_bound, x86_enter, x86_leave;
x86_handler x86_bcd;	     /* 27 2F 37 3F D4 D5 */
x86_handler x86_salc, x86_xlat;

#endif
