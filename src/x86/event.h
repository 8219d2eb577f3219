/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions, interrupts and processor events. Intel SDM vol. 3, chapter 6;
 * AMD64 APM vol. 2, chapter 8.
 */
#ifndef LODGE_X86_EVENT_H
#define LODGE_X86_EVENT_H

#include "x86/cpu.h"

/*
 * Delivers cpu->fault through the IDT (all modes), with the double- and
 * triple-fault rules; state.rip is the faulting instruction's. X86_BRANCH;
 * X86_STOP after a triple fault (activity X86_SHUTDOWN, vm_ask(VM_CRASH)).
 */
enum x86_result x86_deliver_fault(struct x86_cpu *cpu);

/*
 * INT n, INT3, INTO: software interrupt, from a slow handler; next_rip is the
 * return and becomes the target. X86_NEXT or X86_FAULT.
 */
enum x86_result x86_software_interrupt(struct x86_cpu *cpu, uint8_t vector,
				       bool int3_or_into);

/* INT1: a debug trap that asks nobody's permission and leaves DR6 alone. */
enum x86_result x86_int1(struct x86_cpu *cpu);

/*
 * Handles what X86_REQ_* and the state ask for, in architectural priority:
 * INIT, SIPI, NMI, interrupts. Wakes a halted processor. Needs canonical
 * rip and flags. X86_NEXT when nothing was delivered, X86_BRANCH when rip
 * changed, X86_STOP when the run must end or the processor is not running.
 */
enum x86_result x86_take_events(struct x86_cpu *cpu);

/* True when a halted processor should wake. */
bool x86_can_wake(struct x86_cpu *cpu);

#endif
