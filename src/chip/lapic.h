/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC, xAPIC and x2APIC, with its timer (one-shot, periodic,
 * TSC-deadline). Intel SDM vol. 3, chapter 11; AMD64 APM vol. 2, chapter 16.
 * The timer counts at LAPIC_TIMER_HZ before its divider.
 *
 * Threads. lapic_ops are called on the vCPU's own thread WITHOUT the VM's
 * device lock; two of them take it for a moment: accept() when the PIC is to
 * be acknowledged, and an EOI of a level-triggered vector, to tell the
 * IOAPIC. Deliveries (lapic_set_send(), lapic_set_extint(), IPIs) come from
 * any thread, with or without the device lock, and take no lock. The
 * _Atomic members are what those look at or change; the timer's members are
 * guarded by timer_lock; the rest is the vCPU thread's alone.
 * Lock order: device lock, timer_lock, clock.lock.
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

#define LAPIC_BASE     0xfee00000u
#define LAPIC_TIMER_HZ 1000000000u

struct pic;
struct ioapic;

enum lapic_lvt {
	LAPIC_LVT_CMCI,
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PMC,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_LVTS,
};

struct lapic {
	struct vm *vm;
	struct x86_cpu *cpu;
	struct lapic_set *set;
	_Atomic uint64_t base; /* IA32_APIC_BASE */
	uint32_t id;	       /* xAPIC ID register >> 24, or x2APIC id */
	_Atomic uint32_t tpr, ldr, dfr, svr;
	uint32_t esr;
	_Atomic uint32_t esr_pending;
	uint32_t isr[8];
	_Atomic uint32_t tmr[8];
	_Atomic uint32_t irr[8];
	uint64_t icr;
	_Atomic uint32_t lvt[LAPIC_LVTS];

	struct host_lock timer_lock;
	uint32_t timer_initial, timer_divide; /* registers as written */
	uint64_t timer_start;  /* VM ns when the present count began */
	uint64_t timer_due;    /* VM ns of the next interrupt, or never */
	bool timer_running;    /* counting; a one-shot stops at zero */
	uint64_t tsc_deadline; /* guest TSC; 0: not armed */
	struct timer timer;

	_Atomic bool extint; /* level of the PIC's INTR on LINT0 (BSP) */
};

/* All LAPICs of a VM, for routing messages and IPIs. */
struct lapic_set {
	struct lapic *lapic[VM_CPUS_MAX];
	unsigned int count;
	struct pic *pic;       /* ExtINT vectors come from here */
	struct ioapic *ioapic; /* told of level EOIs */
	_Atomic unsigned int last_lowest; /* last choice by lowest priority */
};

extern const struct device_class lapic_class;
extern const struct x86_apic_ops lapic_ops;

/* Binds to cpu->apic, adds to `set` and to the VM's devices. */
int lapic_init(struct lapic *lapic, struct vm *vm, struct x86_cpu *cpu,
	       struct lapic_set *set);

/*
 * Delivers a message to the LAPICs it names; send() of vm->msi with the set
 * as its object. Any thread, device lock held or not.
 */
void lapic_set_send(void *set, const struct msi *msi);

/*
 * INTR of the PIC, to the LINT0 of the bootstrap processor; set() of a
 * struct irq. Any thread, device lock held or not.
 */
void lapic_set_extint(void *set, unsigned int line, bool level);

/* Clears every IRR, ISR and the rest to power-on state; vCPU not running. */
void lapic_reset(struct lapic *lapic);

#endif
