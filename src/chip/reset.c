/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reset ports and the i8042 without devices; see reset.h. Every i8042
 * command that has an answer gives it at once; a byte for the absent
 * keyboard or mouse is answered by "timeout" (IBM PS/2 technical reference,
 * keyboard controller).
 */
#include "chip/reset.h"

#include "vm/bytes.h"

/* 0xcf9 lies in the four bytes of PCI's 0xcf8: only a byte access is ours. */
#define RESET_RANGE	  0xcf8
#define RESET_RANGE_SIZE  4
#define RESET_CONTROL_AT  (RESET_CONTROL_PORT - RESET_RANGE)
#define RESET_CONTROL_CPU 0x04
#define RESET_CONTROL_BITS 0x0e

#define PORT92_RESET 0x01
#define PORT92_A20   0x02

/* i8042 status */
#define I8042_OUTPUT_FULL 0x01
#define I8042_SYSTEM	  0x04
#define I8042_COMMAND	  0x08 /* the last write was a command */
#define I8042_UNLOCKED	  0x10
#define I8042_TIMEOUT	  0x40

/* i8042 commands */
#define I8042_READ_BYTE	    0x20
#define I8042_WRITE_BYTE    0x60
#define I8042_AUX_OFF	    0xa7
#define I8042_AUX_ON	    0xa8
#define I8042_AUX_TEST	    0xa9
#define I8042_SELF_TEST	    0xaa
#define I8042_KEYBOARD_TEST 0xab
#define I8042_KEYBOARD_OFF  0xad
#define I8042_KEYBOARD_ON   0xae
#define I8042_READ_INPUT    0xc0
#define I8042_READ_OUTPUT   0xd0
#define I8042_WRITE_OUTPUT  0xd1
#define I8042_LOOP_KEYBOARD 0xd2
#define I8042_LOOP_AUX	    0xd3
#define I8042_TO_AUX	    0xd4
#define I8042_PULSE	    0xf0 /* .. 0xff: bits that are 0 go low */

#define I8042_TEST_PASSED   0x55
#define I8042_LINE_STUCK    0x01 /* nothing is connected */
#define I8042_NO_ANSWER	    0xfe
#define I8042_KEYBOARD_GATE 0x10 /* command byte: clock off */
#define I8042_AUX_GATE	    0x20
#define I8042_OUTPUT_RESET  0x01 /* output port: 0 resets */
#define I8042_OUTPUT_IDLE   0xcf
#define I8042_INPUT_PORT    0x80

static void i8042_answer(struct reset *reset, uint8_t data, uint8_t status)
{
	reset->data = data;
	reset->status |= I8042_OUTPUT_FULL | status;
}

static void i8042_command(struct reset *reset, uint8_t command)
{
	reset->pending = 0;
	reset->status |= I8042_COMMAND;
	switch (command) {
	case I8042_READ_BYTE:
		i8042_answer(reset, reset->command_byte, 0);
		break;
	case I8042_WRITE_BYTE:
	case I8042_WRITE_OUTPUT:
	case I8042_LOOP_KEYBOARD:
	case I8042_LOOP_AUX:
	case I8042_TO_AUX:
		reset->pending = command;
		break;
	case I8042_AUX_OFF:
		reset->command_byte |= I8042_AUX_GATE;
		break;
	case I8042_AUX_ON:
		reset->command_byte &= (uint8_t)~I8042_AUX_GATE;
		break;
	case I8042_SELF_TEST:
		reset->status |= I8042_SYSTEM;
		i8042_answer(reset, I8042_TEST_PASSED, 0);
		break;
	case I8042_AUX_TEST:
	case I8042_KEYBOARD_TEST:
		i8042_answer(reset, I8042_LINE_STUCK, 0);
		break;
	case I8042_KEYBOARD_OFF:
		reset->command_byte |= I8042_KEYBOARD_GATE;
		break;
	case I8042_KEYBOARD_ON:
		reset->command_byte &= (uint8_t)~I8042_KEYBOARD_GATE;
		break;
	case I8042_READ_INPUT:
		i8042_answer(reset, I8042_INPUT_PORT, 0);
		break;
	case I8042_READ_OUTPUT:
		i8042_answer(reset, reset->output_port, 0);
		break;
	}
	if (command >= I8042_PULSE && !(command & I8042_OUTPUT_RESET))
		vm_ask(reset->vm, VM_RESET);
}

/* A byte at port 0x60: for the command before it, or for a device. */
static void i8042_data(struct reset *reset, uint8_t value)
{
	uint8_t command = reset->pending;

	reset->pending = 0;
	reset->status &= (uint8_t)~I8042_COMMAND;
	switch (command) {
	case I8042_WRITE_BYTE:
		reset->command_byte = value;
		break;
	case I8042_WRITE_OUTPUT:
		reset->output_port = value;
		if (!(value & I8042_OUTPUT_RESET))
			vm_ask(reset->vm, VM_RESET);
		break;
	case I8042_LOOP_KEYBOARD:
	case I8042_LOOP_AUX: /* not marked as the mouse's: there is none */
		i8042_answer(reset, value, 0);
		break;
	default:
		i8042_answer(reset, I8042_NO_ANSWER, I8042_TIMEOUT);
		break;
	}
}

static uint64_t i8042_read_data(void *device, uint64_t offset,
				unsigned int size)
{
	struct reset *reset = device;

	reset->status &= (uint8_t)~(I8042_OUTPUT_FULL | I8042_TIMEOUT);
	return reset->data;
}

static void i8042_write_data(void *device, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	i8042_data(device, (uint8_t)value);
}

static uint64_t i8042_read_status(void *device, uint64_t offset,
				  unsigned int size)
{
	const struct reset *reset = device;

	return reset->status;
}

static void i8042_write_command(void *device, uint64_t offset,
				unsigned int size, uint64_t value)
{
	i8042_command(device, (uint8_t)value);
}

static uint64_t reset_read_port92(void *device, uint64_t offset,
				  unsigned int size)
{
	const struct reset *reset = device;

	return reset->port92 | PORT92_A20;
}

static void reset_write_port92(void *device, uint64_t offset,
			       unsigned int size, uint64_t value)
{
	struct reset *reset = device;

	if (value & ~reset->port92 & PORT92_RESET)
		vm_ask(reset->vm, VM_RESET);
	reset->port92 = (uint8_t)value;
}

static uint64_t reset_read_control(void *device, uint64_t offset,
				   unsigned int size)
{
	const struct reset *reset = device;

	if (size != 1 || offset != RESET_CONTROL_AT)
		return UINT64_MAX;
	return reset->control;
}

static void reset_write_control(void *device, uint64_t offset,
				unsigned int size, uint64_t value)
{
	struct reset *reset = device;

	if (size != 1 || offset != RESET_CONTROL_AT)
		return;
	if (value & ~reset->control & RESET_CONTROL_CPU)
		vm_ask(reset->vm, VM_RESET);
	reset->control = value & RESET_CONTROL_BITS;
}

static void reset_reset(void *device)
{
	struct reset *reset = device;

	reset->control = 0;
	reset->port92 = PORT92_A20;
	reset->command_byte = I8042_KEYBOARD_GATE | I8042_AUX_GATE;
	reset->output_port = I8042_OUTPUT_IDLE;
	reset->pending = 0;
	reset->data = 0;
	reset->status = I8042_SYSTEM | I8042_UNLOCKED;
}

static const struct field reset_fields[] = {
	FIELD(struct reset, FIELD_U8, control),
	FIELD(struct reset, FIELD_U8, port92),
	FIELD(struct reset, FIELD_U8, command_byte),
	FIELD(struct reset, FIELD_U8, output_port),
	FIELD(struct reset, FIELD_U8, pending),
	FIELD(struct reset, FIELD_U8, data),
	FIELD(struct reset, FIELD_U8, status),
};

static const struct state_class reset_state = {
	.name = "reset",
	.version = 1,
	.size = sizeof(struct reset),
	.fields = reset_fields,
	.field_count = sizeof(reset_fields) / sizeof(reset_fields[0]),
};

const struct device_class reset_class = {
	.name = "reset",
	.reset = reset_reset,
	.state = &reset_state,
};

static const struct bus_ops i8042_data_ops = {
	.read = i8042_read_data,
	.write = i8042_write_data,
	.max_size = 1,
};

static const struct bus_ops i8042_command_ops = {
	.read = i8042_read_status,
	.write = i8042_write_command,
	.max_size = 1,
};

static const struct bus_ops reset_port92_ops = {
	.read = reset_read_port92,
	.write = reset_write_port92,
	.max_size = 1,
};

static const struct bus_ops reset_control_ops = {
	.read = reset_read_control,
	.write = reset_write_control,
	.max_size = 4,
};

int reset_init(struct reset *reset, struct vm *vm)
{
	int err;

	memset(reset, 0, sizeof(*reset));
	reset->vm = vm;
	reset_reset(reset);
	err = bus_add(&vm->pio, 0x60, 1, "i8042", &i8042_data_ops, reset);
	if (!err)
		err = bus_add(&vm->pio, 0x64, 1, "i8042", &i8042_command_ops,
			      reset);
	if (!err)
		err = bus_add(&vm->pio, 0x92, 1, "port92", &reset_port92_ops,
			      reset);
	if (!err)
		err = bus_add(&vm->pio, RESET_RANGE, RESET_RANGE_SIZE,
			      "reset-control", &reset_control_ops, reset);
	if (err)
		return err;
	return vm_add_device(vm, &reset_class, reset);
}
