/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bench for local APICs: processors that only record what is asked of them.
 * x86_cpu_request() and x86_tsc() here stand in for the x86 room's; the TSC
 * runs at 2 GHz of VM time.
 */
#ifndef LODGE_TEST_CHIP_LAPIC_RIG_H
#define LODGE_TEST_CHIP_LAPIC_RIG_H

#include "chip/ioapic.h"
#include "chip/lapic.h"
#include "chip/lapic_reg.h"
#include "chip/pic.h"
#include "rig.h"

#define LAPIC_CPUS 18
#define TSC_HZ	   2000000000ull

struct lapic_rig {
	struct rig rig;
	struct x86_cpu *cpu[LAPIC_CPUS];
	struct lapic lapic[LAPIC_CPUS];
	struct lapic_set set;
	struct ioapic ioapic;
	struct pic pic;
};

extern struct lapic_rig bench;

int lapic_rig_setup(void **state);
int lapic_rig_teardown(void **state);

/* Registers of processor `n`: xAPIC page, and x2APIC MSRs. */
uint32_t xget(unsigned int n, unsigned int reg);
void xput(unsigned int n, unsigned int reg, uint32_t value);
bool mget(unsigned int n, uint32_t msr, uint64_t *value);
bool mput(unsigned int n, uint32_t msr, uint64_t value);

/* Requests since the last call. */
uint32_t requests(unsigned int n);
int accept_vector(unsigned int n);
bool is_pending(unsigned int n);
void use_x2apic(unsigned int n);

/* Software-enables processor n's APIC with spurious vector 0xff. */
void enable(unsigned int n);

#endif
