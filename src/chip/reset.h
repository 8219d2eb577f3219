/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two of the PC's ways to reset: reset control register 0xcf9 (ICH9
 * datasheet 13.7.5) and port 0x92 (fast A20 and INIT; the A20 gate is always
 * open). The keyboard controller's is in i8042.h.
 */
#ifndef LODGE_CHIP_RESET_H
#define LODGE_CHIP_RESET_H

#include "vm/vm.h"

#define RESET_CONTROL_PORT  0xcf9
#define RESET_CONTROL_VALUE 0x06 /* hard reset, for the FADT */

struct reset {
	struct vm *vm;
	uint8_t control; /* 0xcf9 */
	uint8_t port92;
};

extern const struct device_class reset_class;

/* Claims port 0x92. */
int reset_init(struct reset *reset, struct vm *vm);

/*
 * Byte accesses to 0xcf9, which lies in the four bytes of PCI's 0xcf8:
 * pci_host.c claims them.
 */
uint8_t reset_control_read(const struct reset *reset);
void reset_control_write(struct reset *reset, uint8_t value);

#endif
