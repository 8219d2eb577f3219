/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests of a few instructions for the KVM engine's tests: 64-bit code, flat
 * images loaded at GUEST_ENTRY with 4 GiB mapped one to one. They leave what
 * they see in the words below.
 */
#ifndef KVM_GUESTS_H
#define KVM_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_ENTRY   0x200000u
#define GUEST_VECTOR  0x40u    /* interrupts that guests take */
#define GUEST_COUNT   0x302000u /* steps of the main loop */
#define GUEST_TICKS   0x302008u /* interrupts taken */
#define GUEST_VECTORS 0x302010u /* the count, through XMM0 */
#define GUEST_WRONG   0x302018u /* registers and memory disagreed */
#define GUEST_DONE    0x302020u
#define GUEST_BREAKS  0x302028u /* INT3 of its own */
#define GUEST_DR6     0x302030u /* at the last trap of its own */
#define GUEST_TRAPS   0x302038u
#define GUEST_RESULT  0x302040u /* 16 bytes */
#define GUEST_PAGES   0x400000u /* guest_writes: the first and fourth page */
#define GUEST_PORT    0x510
#define GUEST_ABSENT  0xfed80000u /* MMIO where nothing answers */

struct kvm_guest {
	const uint8_t *begin, *end;
};

/* Counts for ever, and takes periodic timer interrupts. */
extern const struct kvm_guest guest_counts;
/* The same with the TSC deadline timer. */
extern const struct kvm_guest guest_deadline;
/* Counts, interrupts on, no timer. */
extern const struct kvm_guest guest_waits;
/* HLT with interrupts on; counts how often it woke. */
extern const struct kvm_guest guest_sleeps;
/* Writes GUEST_PORT and GUEST_ABSENT, counting. */
extern const struct kvm_guest guest_signals;
/* Writes two pages, counting. */
extern const struct kvm_guest guest_writes;
/* Executes CMPXCHG16B, XRSTOR and PADDD from MMIO, once each. */
extern const struct kvm_guest guest_odd;
/* HLT with interrupts off. */
extern const struct kvm_guest guest_halts;
/*
 * Leaves the addresses of four instructions at GUEST_RESULT: counts in RBX;
 * stores that in GUEST_COUNT; OUT; PUSHF, with the flags in RCX two
 * instructions later; and so on for ever.
 */
extern const struct kvm_guest guest_steps;
/* Executes INT3, and with GUEST_DONE 0 sets TF; its handlers count. */
extern const struct kvm_guest guest_traps;
/* Faults without a table of handlers. */
extern const struct kvm_guest guest_crashes;

#endif
