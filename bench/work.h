/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compute tests of the benchmark program: each does its work `n` times.
 */
#ifndef LODGE_BENCH_WORK_H
#define LODGE_BENCH_WORK_H

#include <stdint.h>

typedef void work_fn(uint64_t n);

work_fn work_integer;	   /* xorshift, one dependent chain */
work_fn work_muldiv;	   /* 64-bit multiply and divide */
work_fn work_calls;	   /* recursive calls and returns */
work_fn work_indirect;	   /* calls through a table, random order */
work_fn work_bytecode;	   /* a small interpreter's dispatch loop */
work_fn work_loads;	   /* independent loads from 16 KiB */
work_fn work_stores;	   /* the same, stores */
work_fn work_chase_small;  /* dependent loads in 16 KiB */
work_fn work_chase_large;  /* dependent random loads in 64 MiB */
work_fn work_memcpy_small; /* memcpy() of 16 KiB */
work_fn work_memcpy_alias; /* the same, between pages 1 GiB apart */
work_fn work_memcpy_large; /* memcpy() of 16 MiB */
work_fn work_repmovsb;	   /* REP MOVSB of 64 KiB */
work_fn work_repmovsb_alias;
work_fn work_double;	   /* Mandelbrot points, double precision */
work_fn work_libm;	   /* sin() and exp() */
work_fn work_x87;	   /* long double arithmetic */
work_fn work_sse_copy;	   /* 16 KiB by 16-byte vectors */
work_fn work_sse_copy_alias;
work_fn work_avx2_copy;	   /* 16 KiB by 32-byte vectors */
work_fn work_avx2_copy_alias;
work_fn work_avx2_fma;	   /* fused multiply-add of 8 floats */
work_fn work_strlen;	   /* of a 16 KiB string */
work_fn work_sort;	   /* qsort() of 100 000 integers */
work_fn work_sha256;	   /* of 64 KiB */
work_fn work_patch_code;   /* change an instruction, call it */
work_fn work_fresh_code;   /* write 256 KiB of code, run it once */

#endif
