/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers of the canonical state, shared by the software
 * CPU's RDMSR/WRMSR and by engines that move state. Intel SDM vol. 4;
 * AMD64 APM vol. 2, appendix A.
 */
#ifndef LODGE_X86_MSR_H
#define LODGE_X86_MSR_H

#include "x86/cpu.h"

/* False: the register does not exist or the value is refused (#GP). */
bool x86_msr_read(struct x86_cpu *cpu, uint32_t index, uint64_t *value);
bool x86_msr_write(struct x86_cpu *cpu, uint32_t index, uint64_t value);

/* The guest's time-stamp counter now. */
uint64_t x86_tsc(const struct x86_cpu *cpu);

/*
 * Writes the paravirtual clock's page anew, where the guest has one: after a
 * restore and whenever VM time was stopped (kvmclock.c).
 */
void x86_kvmclock_update(struct x86_cpu *cpu);

/* The wall clock at VM time 0, to guest-physical `at`. */
void x86_kvmclock_wall(struct x86_cpu *cpu, uint64_t at);

/*
 * The MSRs that hold state, for engines to copy one by one. Without EFER,
 * APIC_BASE, FS_BASE and GS_BASE (they travel with the segments and control
 * registers), and without TSC and TSC_ADJUST, whose writes move each other:
 * those are state.tsc_offset and state.tsc_adjust.
 */
extern const uint32_t x86_msr_list[];
extern const unsigned int x86_msr_count;

#endif
