/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC, xAPIC and x2APIC, with its timer (one-shot, periodic,
 * TSC-deadline). Intel SDM vol. 3, chapter 11; AMD64 APM vol. 2, chapter 16.
 *
 * IRR is written by any thread (atomic); everything else by the vCPU's own
 * thread, or under the device lock by timers.
 */
#ifndef LODGE_CHIP_LAPIC_H
#define LODGE_CHIP_LAPIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"
#include "x86/cpu.h"

struct pic;
struct ioapic;

struct lapic {
	struct vm *vm;
	struct x86_cpu *cpu;
	struct lapic_set *set;
	uint64_t base;	/* IA32_APIC_BASE */
	uint32_t id;	/* xAPIC ID register >> 24, or x2APIC id */
	uint32_t version, tpr, ldr, dfr, svr, esr, esr_pending;
	uint32_t isr[8], tmr[8];
	_Atomic uint32_t irr[8];
	uint64_t icr;
	uint32_t lvt[7]; /* CMCI, timer, thermal, PMC, LINT0, LINT1, error */
	uint32_t timer_initial, timer_divide;
	uint64_t timer_start;	 /* VM ns when the count began */
	uint64_t tsc_deadline;
	struct timer timer;
	_Atomic bool extint; /* level of the PIC's INTR on LINT0 (BSP) */
	/* copy of irr for saving */
	uint32_t irr_saved[8];
};

/* All LAPICs of a VM, for routing messages and IPIs. */
struct lapic_set {
	struct lapic *lapic[VM_CPUS_MAX];
	unsigned int count;
	struct pic *pic;       /* ExtINT vectors come from here */
	struct ioapic *ioapic; /* told of level EOIs */
};

extern const struct device_class lapic_class;
extern const struct x86_apic_ops lapic_ops;

/* Binds to cpu->apic, adds to `set` and to the VM's devices. */
int lapic_init(struct lapic *lapic, struct vm *vm, struct x86_cpu *cpu,
	       struct lapic_set *set);

/* Delivers a message to the LAPICs it names; object of vm->msi. */
void lapic_set_send(void *set, const struct msi *msi);

/* INTR of the PIC, to the LINT0 of the bootstrap processor. */
void lapic_set_extint(void *set, unsigned int line, bool level);

#endif
