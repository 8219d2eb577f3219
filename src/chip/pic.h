/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two cascaded 8259A interrupt controllers (Intel 8259A datasheet, order
 * 231468) with the ELCR (ports 0x4d0, 0x4d1). Every function here is called
 * with the VM's device lock held.
 */
#ifndef LODGE_CHIP_PIC_H
#define LODGE_CHIP_PIC_H

#include "vm/irq.h"
#include "vm/vm.h"

struct pic_half {
	uint8_t irr, isr, imr, elcr;
	uint8_t lines; /* present level of each input */
	uint8_t base;  /* vector of input 0 (ICW2) */
	uint8_t icw4;
	uint8_t init_step; /* the ICW expected next, 0: initialised */
	uint8_t read_isr, poll, rotate_on_aeoi, special_mask;
	uint8_t lowest; /* input of the lowest priority, 7 at reset */
	uint8_t special_nested, expect_icw4, aeoi;
	uint8_t single, level_mode; /* ICW1 SNGL, LTIM */
};

struct pic {
	struct vm *vm;
	struct pic_half half[2]; /* master, slave */
	struct irq out;		 /* INTR */
};

extern const struct device_class pic_class;

/* Claims ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
int pic_init(struct pic *pic, struct vm *vm, const struct irq *out);

/* Handler for struct irq: lines 0-15. */
void pic_set_line(void *object, unsigned int line, bool level);

/* Whether INTR is raised now. */
bool pic_output(const struct pic *pic);

/* INTA cycle: the vector (spurious 7 or 15 when there is none). */
uint8_t pic_acknowledge(struct pic *pic);

#endif
