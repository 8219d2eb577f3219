/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042 keyboard controller with a port for a mouse (IBM PS/2 hardware
 * interface technical reference, keyboard controller; ISA bus commands as
 * every PC has them). Ports may stay empty: commands are answered all the
 * same. The A20 gate is always open.
 */
#ifndef LODGE_CHIP_I8042_H
#define LODGE_CHIP_I8042_H

#include "chip/ps2.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define I8042_DATA_PORT	   0x60
#define I8042_COMMAND_PORT 0x64
#define I8042_IRQ_KEYBOARD 1
#define I8042_IRQ_MOUSE	   12

struct i8042 {
	struct vm *vm;
	struct irq irq_keyboard, irq_mouse;
	struct ps2_device *keyboard, *mouse; /* NULL: nothing is connected */
	uint8_t command_byte, output_port;
	uint8_t pending;      /* command that waits for its byte, or 0 */
	uint8_t data, status; /* ports 0x60 and 0x64 as read */
	bool release;	      /* translation: F0 was seen */
};

extern const struct device_class i8042_class;

/* Claims ports 0x60 and 0x64. */
int i8042_init(struct i8042 *ctl, struct vm *vm, const struct irq *keyboard,
	       const struct irq *mouse);

/* Plugs a device in, before the machine starts. */
void i8042_connect_keyboard(struct i8042 *ctl, struct ps2_device *device);
void i8042_connect_mouse(struct i8042 *ctl, struct ps2_device *device);

#endif
