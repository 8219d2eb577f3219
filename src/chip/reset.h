/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's ways to reset: reset control register 0xcf9 (ICH9 datasheet
 * 13.7.5), port 0x92 (fast A20 and INIT), and as much of an i8042 as answers
 * every command at once: a controller with neither keyboard nor mouse.
 * The A20 gate is always open.
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
	uint8_t command_byte, output_port; /* i8042 */
	uint8_t pending;	/* command that waits for its byte, or 0 */
	uint8_t data, status;	/* ports 0x60 and 0x64 as read */
};

extern const struct device_class reset_class;

/* Claims ports 0x60, 0x64, 0x92 and 0xcf9. */
int reset_init(struct reset *reset, struct vm *vm);

#endif
