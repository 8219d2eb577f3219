/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the local APIC. Intel SDM vol. 3, table 11-1 (xAPIC offsets)
 * and table 11-6 (x2APIC MSRs): register n is at offset 16 * n of the page
 * and at MSR 0x800 + n.
 */
#ifndef LODGE_CHIP_LAPIC_REG_H
#define LODGE_CHIP_LAPIC_REG_H

enum lapic_reg {
	LAPIC_ID = 0x02,
	LAPIC_VERSION = 0x03,
	LAPIC_TPR = 0x08,
	LAPIC_APR = 0x09,
	LAPIC_PPR = 0x0a,
	LAPIC_EOI = 0x0b,
	LAPIC_RRD = 0x0c,
	LAPIC_LDR = 0x0d,
	LAPIC_DFR = 0x0e,
	LAPIC_SVR = 0x0f,
	LAPIC_ISR = 0x10, /* eight registers each */
	LAPIC_TMR = 0x18,
	LAPIC_IRR = 0x20,
	LAPIC_ESR = 0x28,
	LAPIC_CMCI = 0x2f,
	LAPIC_ICR = 0x30,
	LAPIC_ICR_HIGH = 0x31,
	LAPIC_LVT_FIRST = 0x32, /* timer, then as enum lapic_lvt */
	LAPIC_LVT_LAST = 0x37,
	LAPIC_TIMER_INITIAL = 0x38,
	LAPIC_TIMER_CURRENT = 0x39,
	LAPIC_TIMER_DIVIDE = 0x3e,
	LAPIC_SELF_IPI = 0x3f,
	LAPIC_REGS = 0x40,
};

#define LAPIC_MSR_FIRST	       0x800
#define LAPIC_MSR_TSC_DEADLINE 0x6e0

/* IA32_APIC_BASE, SDM 11.4.4 and 11.12.1 */
#define LAPIC_BASE_BSP	  0x100u
#define LAPIC_BASE_X2APIC 0x400u
#define LAPIC_BASE_ENABLE 0x800u

/* Version: 7 LVT entries, EOI broadcast can be suppressed; SDM 11.4.8 */
#define LAPIC_VERSION_VALUE 0x01060014u

/* Spurious-interrupt vector register, SDM 11.9 */
#define LAPIC_SVR_ENABLE      0x100u
#define LAPIC_SVR_NO_EOI_CAST 0x1000u
#define LAPIC_SVR_BITS	      0x13ffu

/* Error status register, SDM 11.5.3 */
#define LAPIC_ESR_SEND_VECTOR	 0x20u
#define LAPIC_ESR_RECEIVE_VECTOR 0x40u
#define LAPIC_ESR_REGISTER	 0x80u

/* Local vector table, SDM 11.5.1 */
#define LAPIC_LVT_MASKED      0x10000u
#define LAPIC_LVT_MODE(v)     (((v) >> 8) & 7)
#define LAPIC_LVT_TIMER_MODE(v) (((v) >> 17) & 3)
#define LAPIC_LVT_EXTINT      0x700u

enum lapic_timer_mode {
	LAPIC_TIMER_ONE_SHOT,
	LAPIC_TIMER_PERIODIC,
	LAPIC_TIMER_DEADLINE,
};

/* Delivery modes, SDM 11.5.1 and 11.6.1 */
enum lapic_mode {
	LAPIC_FIXED,
	LAPIC_LOWEST,
	LAPIC_SMI,
	LAPIC_REMOTE_READ,
	LAPIC_NMI,
	LAPIC_INIT,
	LAPIC_SIPI,
	LAPIC_EXTINT,
};

/* Interrupt command register, SDM 11.6.1 and 11.12.9 */
#define LAPIC_ICR_LOGICAL      0x800u
#define LAPIC_ICR_STATUS       0x1000u
#define LAPIC_ICR_ASSERT       0x4000u
#define LAPIC_ICR_LEVEL	       0x8000u
#define LAPIC_ICR_BITS	       0x000ccfffu
#define LAPIC_ICR_X2_BITS      0xffffffff000cdfffull
#define LAPIC_ICR_SHORTHAND(v) (((v) >> 18) & 3)

enum lapic_shorthand {
	LAPIC_TO_DEST,
	LAPIC_TO_SELF,
	LAPIC_TO_ALL,
	LAPIC_TO_OTHERS,
};

#endif
