/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC with 24 inputs (82093AA; Intel ICH9 datasheet 13.5, version 0x20
 * with the EOI register). MMIO at 0xfec00000. Interrupts leave as messages
 * through vm->msi. Every function here is called with the VM's device lock
 * held.
 */
#ifndef LODGE_CHIP_IOAPIC_H
#define LODGE_CHIP_IOAPIC_H

#include "vm/irq.h"
#include "vm/vm.h"

#define IOAPIC_LINES 24
#define IOAPIC_BASE  0xfec00000u

struct ioapic {
	struct vm *vm;
	uint32_t id, select;
	uint32_t level; /* current level of each input, a bit each */
	uint64_t redirection[IOAPIC_LINES];
};

extern const struct device_class ioapic_class;

/* Claims one page at IOAPIC_BASE. */
int ioapic_init(struct ioapic *ioapic, struct vm *vm);

/* Handler for struct irq: `object` is the ioapic. */
void ioapic_set_line(void *object, unsigned int line, bool level);

/* A LAPIC's EOI of a level-triggered vector. Held: the device lock. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
