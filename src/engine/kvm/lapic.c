/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor's in-kernel local APIC to and from chip/lapic's struct, which
 * holds the saved fields. KVM_GET_LAPIC gives the registers at their offsets
 * in the xAPIC page (Intel SDM vol. 3, table 11-1), in x2APIC mode too, with
 * the id in bits 24-31 as we do not ask for KVM_CAP_X2APIC_API.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chip/lapic.h"
#include "chip/lapic_reg.h"
#include "x86/msr.h"
#include "x86/reg.h"

/* The register of each LVT entry. */
static unsigned int lvt_reg(enum lapic_lvt entry)
{
	if (entry == LAPIC_LVT_CMCI)
		return LAPIC_CMCI;
	return LAPIC_LVT_FIRST + entry - LAPIC_LVT_TIMER;
}

static uint32_t get_reg(const struct kvm_lapic_state *k, unsigned int reg)
{
	uint32_t v;

	memcpy(&v, k->regs + 16 * reg, sizeof(v));
	return v;
}

static void set_reg(struct kvm_lapic_state *k, unsigned int reg, uint32_t v)
{
	memcpy(k->regs + 16 * reg, &v, sizeof(v));
}

static void fill_registers(struct lapic *lapic, struct kvm_lapic_state *k)
{
	set_reg(k, LAPIC_ID, lapic->id << 24);
	set_reg(k, LAPIC_TPR, lapic->tpr);
	set_reg(k, LAPIC_LDR, lapic->ldr);
	set_reg(k, LAPIC_DFR, lapic->dfr);
	set_reg(k, LAPIC_SVR, lapic->svr);
	for (unsigned int i = 0; i < 8; i++) {
		set_reg(k, LAPIC_ISR + i, lapic->isr[i]);
		set_reg(k, LAPIC_TMR + i, lapic->tmr[i]);
		set_reg(k, LAPIC_IRR + i, lapic->irr[i]);
	}
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		set_reg(k, lvt_reg(i), lapic->lvt[i]);
	set_reg(k, LAPIC_ESR, lapic->esr);
	set_reg(k, LAPIC_ICR, (uint32_t)lapic->icr);
	set_reg(k, LAPIC_ICR_HIGH, (uint32_t)(lapic->icr >> 32));
	set_reg(k, LAPIC_TIMER_INITIAL, lapic->timer_initial);
	set_reg(k, LAPIC_TIMER_DIVIDE, lapic->timer_divide);
	set_reg(k, LAPIC_TIMER_CURRENT,
		lapic_ops.read(lapic, 16 * LAPIC_TIMER_CURRENT));
}

int kvm_put_lapic(struct kvm_cpu *own)
{
	struct lapic *lapic = own->cpu->apic.object;
	struct kvm_lapic_state k;

	if (!lapic)
		return 0;
	/* Version and what else the kernel fixes stays as it is. */
	if (ioctl(own->fd, KVM_GET_LAPIC, &k))
		return -errno;
	fill_registers(lapic, &k);
	if (ioctl(own->fd, KVM_SET_LAPIC, &k))
		return -errno;
	kvm_put_msr(own, X86_MSR_TSC_DEADLINE, lapic->tsc_deadline);
	/* KVM's timer counts from here on. */
	timer_cancel(&own->kvm->vm->clock, &lapic->timer);
	return 0;
}

/* --- from KVM ------------------------------------------------------------- */

/* Nanoseconds of one timer count (the bus: 1 GHz; SDM vol. 3, 11.5.4). */
static uint64_t count_ns(uint32_t divide)
{
	unsigned int code = (divide & 3) | (divide >> 1 & 4);

	return code == 7 ? 1 : 2ull << code;
}

/* When the TSC will read `tsc`, in VM time. */
static uint64_t time_of_tsc(struct kvm_cpu *own, uint64_t tsc)
{
	uint64_t now = clock_now(&own->kvm->vm->clock);
	uint64_t have = x86_tsc(own->cpu);

	if (tsc <= have)
		return now;
	return now + (uint64_t)((unsigned __int128)(tsc - have) * 1000000000u /
				own->kvm->cpuid->tsc_hz);
}

static void get_timer(struct kvm_cpu *own, const struct kvm_lapic_state *k)
{
	struct lapic *lapic = own->cpu->apic.object;
	uint32_t left = get_reg(k, LAPIC_TIMER_CURRENT);
	uint32_t lvt = lapic->lvt[LAPIC_LVT_TIMER];
	uint64_t now = clock_now(&own->kvm->vm->clock), one;

	lapic->timer_initial = get_reg(k, LAPIC_TIMER_INITIAL);
	lapic->timer_divide = get_reg(k, LAPIC_TIMER_DIVIDE) & 0xb;
	lapic->tsc_deadline = 0;
	lapic->timer_due = TIMER_NEVER;
	lapic->timer_running = left != 0;
	one = count_ns(lapic->timer_divide);
	lapic->timer_start = now - (lapic->timer_initial - left) * one;
	if (LAPIC_LVT_TIMER_MODE(lvt) == LAPIC_TIMER_DEADLINE) {
		lapic->timer_running = false;
		kvm_get_msr(own, X86_MSR_TSC_DEADLINE, &lapic->tsc_deadline);
		if (lapic->tsc_deadline)
			lapic->timer_due =
				time_of_tsc(own, lapic->tsc_deadline);
	} else if (left && !(lvt & LAPIC_LVT_MASKED)) {
		lapic->timer_due = now + left * one;
	}
	/* Saved, and armed by whoever loads it. */
	lapic->timer.deadline = lapic->timer_due;
}

/* An interrupt on its way in waits again. */
static void give_back(struct lapic *lapic, int vector)
{
	uint32_t bit;

	if (vector < 0)
		return;
	bit = 1u << (vector & 31);
	if (!(lapic->isr[vector / 32] & bit))
		return; /* came from the PIC */
	lapic->isr[vector / 32] &= ~bit;
	lapic->irr[vector / 32] |= bit;
}

int kvm_get_lapic(struct kvm_cpu *own)
{
	struct lapic *lapic = own->cpu->apic.object;
	struct kvm_lapic_state k;

	if (!lapic)
		return 0;
	if (ioctl(own->fd, KVM_GET_LAPIC, &k))
		return -errno;
	lapic->base = own->cpu->state.apic_base;
	lapic->id = own->cpu->id;
	lapic->tpr = get_reg(&k, LAPIC_TPR);
	lapic->ldr = get_reg(&k, LAPIC_LDR);
	lapic->dfr = get_reg(&k, LAPIC_DFR);
	lapic->svr = get_reg(&k, LAPIC_SVR);
	for (unsigned int i = 0; i < 8; i++) {
		lapic->isr[i] = get_reg(&k, LAPIC_ISR + i);
		lapic->tmr[i] = get_reg(&k, LAPIC_TMR + i);
		lapic->irr[i] = get_reg(&k, LAPIC_IRR + i);
	}
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		lapic->lvt[i] = get_reg(&k, lvt_reg(i));
	lapic->esr = get_reg(&k, LAPIC_ESR);
	lapic->icr = get_reg(&k, LAPIC_ICR) |
		     (uint64_t)get_reg(&k, LAPIC_ICR_HIGH) << 32;
	get_timer(own, &k);
	give_back(lapic, own->taken);
	return 0;
}
