/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data instructions (SIMD, x87, bit manipulation ...) executed on the host
 * processor: the instruction itself, with its register and memory operands
 * renamed, in a small stub of host code. One context a vCPU; insn->native
 * stays valid until native_close().
 */
#ifndef LODGE_ENGINE_SOFT_NATIVE_H
#define LODGE_ENGINE_SOFT_NATIVE_H

#include "x86/cpu.h"
#include "x86/insn.h"

struct native;

/*
 * Makes a context for `cpu` and sets cpu->native and cpu->native_ctx.
 * -ENOMEM, or what host_code_create() gives.
 */
int native_open(struct x86_cpu *cpu);
void native_close(struct x86_cpu *cpu);

#endif
