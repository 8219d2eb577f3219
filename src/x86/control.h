/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of control registers with every rule of the architecture, for the
 * instructions that do them (control.c, system.c). #GP(0) when refused, with
 * nothing changed. The caller recomputes the mode.
 */
#ifndef LODGE_X86_CONTROL_H
#define LODGE_X86_CONTROL_H

#include "x86/cpu.h"

enum x86_result x86_set_cr0(struct x86_cpu *cpu, uint64_t value);
enum x86_result x86_set_xcr0(struct x86_cpu *cpu, uint64_t value);

#endif
