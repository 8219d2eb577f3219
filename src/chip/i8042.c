/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042; see i8042.h. Every command that has an answer gives it at once; a
 * byte for a device that is not there is answered by "timeout". A device's
 * bytes wait in its own queue until the output buffer is free.
 */
#include "chip/i8042.h"

#include "vm/bytes.h"

/* Status */
#define OUTPUT_FULL 0x01
#define SYSTEM_FLAG 0x04
#define COMMAND	    0x08 /* the last write was a command */
#define UNLOCKED    0x10
#define FROM_MOUSE  0x20
#define TIMEOUT	    0x40

/* Command byte */
#define INT_KEYBOARD  0x01
#define INT_MOUSE     0x02
#define OFF_KEYBOARD  0x10 /* clock held */
#define OFF_MOUSE     0x20
#define TRANSLATE     0x40

/* Commands */
#define CMD_READ_BYTE	  0x20 /* .. 0x3f: RAM; 0x20 is the command byte */
#define CMD_WRITE_BYTE	  0x60
#define CMD_MOUSE_OFF	  0xa7
#define CMD_MOUSE_ON	  0xa8
#define CMD_MOUSE_TEST	  0xa9
#define CMD_SELF_TEST	  0xaa
#define CMD_KEYBOARD_TEST 0xab
#define CMD_KEYBOARD_OFF  0xad
#define CMD_KEYBOARD_ON	  0xae
#define CMD_READ_INPUT	  0xc0
#define CMD_READ_OUTPUT	  0xd0
#define CMD_WRITE_OUTPUT  0xd1
#define CMD_LOOP_KEYBOARD 0xd2
#define CMD_LOOP_MOUSE	  0xd3
#define CMD_TO_MOUSE	  0xd4
#define CMD_PULSE	  0xf0 /* .. 0xff: bits that are 0 go low */

#define SELF_TEST_PASSED 0x55
#define LINE_GOOD	 0x00
#define LINE_STUCK	 0x01 /* nothing is connected */
#define NO_ANSWER	 0xfe
#define OUTPUT_RESET	 0x01 /* output port: 0 resets */
#define OUTPUT_IDLE	 0xcf
#define INPUT_PORT	 0x80
#define SET2_RELEASE	 0xf0
#define SET1_RELEASE	 0x80

/* Scan code set 1 of a code of set 2, in hexadecimal order. */
static const uint8_t set1[0x88] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58,
	0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a,
	0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c,
	0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e,
	0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60,
	0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e,
	0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b,
	0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
	0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
	0x00, 0x00, 0x00, 0x41, 0x54, 0x85, 0x86, 0x87,
};

static void update_lines(struct i8042 *ctl)
{
	bool full = ctl->status & OUTPUT_FULL;
	bool mouse = ctl->status & FROM_MOUSE;

	irq_set(&ctl->irq_keyboard,
		full && !mouse && (ctl->command_byte & INT_KEYBOARD));
	irq_set(&ctl->irq_mouse,
		full && mouse && (ctl->command_byte & INT_MOUSE));
}

/* Fills the output buffer; `status`: FROM_MOUSE, TIMEOUT or 0. */
static void put(struct i8042 *ctl, uint8_t data, uint8_t status)
{
	ctl->data = data;
	ctl->status &= (uint8_t)~(FROM_MOUSE | TIMEOUT);
	ctl->status |= OUTPUT_FULL | status;
	update_lines(ctl);
}

/* A byte of the keyboard as the system sees it; -1: it waits for the next. */
static int translate(struct i8042 *ctl, uint8_t byte)
{
	bool release = ctl->release;

	if (!(ctl->command_byte & TRANSLATE))
		return byte;
	ctl->release = byte == SET2_RELEASE;
	if (ctl->release)
		return -1;
	if (byte < sizeof(set1) && set1[byte])
		byte = set1[byte];
	return release ? byte | SET1_RELEASE : byte;
}

static int take(struct ps2_device *device)
{
	if (!device || !device->queue->count)
		return -1;
	return ps2_queue_take(device->queue);
}

/* Moves a device's byte into the output buffer when that is free. */
static void pump(void *object)
{
	struct i8042 *ctl = object;
	int byte;

	while (!(ctl->status & OUTPUT_FULL) &&
	       !(ctl->command_byte & OFF_KEYBOARD)) {
		byte = take(ctl->keyboard);
		if (byte < 0)
			break;
		byte = translate(ctl, (uint8_t)byte);
		if (byte >= 0)
			put(ctl, (uint8_t)byte, 0);
	}
	if ((ctl->status & OUTPUT_FULL) || (ctl->command_byte & OFF_MOUSE))
		return;
	byte = take(ctl->mouse);
	if (byte < 0)
		return;
	put(ctl, (uint8_t)byte, FROM_MOUSE);
	if (!ctl->mouse->queue->count && ctl->mouse->drained)
		ctl->mouse->drained(ctl->mouse->object);
}

/* A byte for a device; its clock starts again with that. */
static void send(struct i8042 *ctl, struct ps2_device *device, uint8_t off,
		 uint8_t byte)
{
	if (!device) {
		put(ctl, NO_ANSWER,
		    TIMEOUT | (off == OFF_MOUSE ? FROM_MOUSE : 0));
		return;
	}
	ctl->command_byte &= (uint8_t)~off;
	device->write(device->object, byte);
}

/* Commands that hold or free a device's clock. */
static bool set_clock(struct i8042 *ctl, uint8_t command)
{
	switch (command) {
	case CMD_MOUSE_OFF:
		ctl->command_byte |= OFF_MOUSE;
		return true;
	case CMD_MOUSE_ON:
		ctl->command_byte &= (uint8_t)~OFF_MOUSE;
		return true;
	case CMD_KEYBOARD_OFF:
		ctl->command_byte |= OFF_KEYBOARD;
		return true;
	case CMD_KEYBOARD_ON:
		ctl->command_byte &= (uint8_t)~OFF_KEYBOARD;
		return true;
	default:
		return false;
	}
}

static void command(struct i8042 *ctl, uint8_t command)
{
	ctl->pending = 0;
	ctl->status |= COMMAND;
	if (set_clock(ctl, command)) {
		pump(ctl);
		return;
	}
	switch (command) {
	case CMD_READ_BYTE:
		put(ctl, ctl->command_byte, 0);
		break;
	case CMD_WRITE_BYTE:
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_MOUSE:
	case CMD_TO_MOUSE:
		ctl->pending = command;
		break;
	case CMD_SELF_TEST:
		ctl->status |= SYSTEM_FLAG;
		put(ctl, SELF_TEST_PASSED, 0);
		break;
	case CMD_MOUSE_TEST:
		put(ctl, ctl->mouse ? LINE_GOOD : LINE_STUCK, 0);
		break;
	case CMD_KEYBOARD_TEST:
		put(ctl, ctl->keyboard ? LINE_GOOD : LINE_STUCK, 0);
		break;
	case CMD_READ_INPUT:
		put(ctl, INPUT_PORT, 0);
		break;
	case CMD_READ_OUTPUT:
		put(ctl, ctl->output_port, 0);
		break;
	}
	if (command >= CMD_PULSE && !(command & OUTPUT_RESET))
		vm_ask(ctl->vm, VM_RESET);
}

static void write_output(struct i8042 *ctl, uint8_t value)
{
	ctl->output_port = value;
	if (!(value & OUTPUT_RESET))
		vm_ask(ctl->vm, VM_RESET);
}

/* A byte at port 0x60: for the command before it, or for the keyboard. */
static void data(struct i8042 *ctl, uint8_t value)
{
	uint8_t command = ctl->pending;

	ctl->pending = 0;
	ctl->status &= (uint8_t)~COMMAND;
	switch (command) {
	case CMD_WRITE_BYTE:
		ctl->command_byte = value;
		ctl->status &= (uint8_t)~SYSTEM_FLAG;
		ctl->status |= value & SYSTEM_FLAG;
		update_lines(ctl);
		pump(ctl);
		break;
	case CMD_WRITE_OUTPUT:
		write_output(ctl, value);
		break;
	case CMD_LOOP_KEYBOARD:
		put(ctl, value, 0);
		break;
	case CMD_LOOP_MOUSE: /* unmarked when there is no mouse port in use */
		put(ctl, value, ctl->mouse ? FROM_MOUSE : 0);
		break;
	case CMD_TO_MOUSE:
		send(ctl, ctl->mouse, OFF_MOUSE, value);
		break;
	default:
		send(ctl, ctl->keyboard, OFF_KEYBOARD, value);
		break;
	}
}

static uint64_t read_data(void *device, uint64_t offset, unsigned int size)
{
	struct i8042 *ctl = device;
	uint8_t value = ctl->data;

	ctl->status &= (uint8_t)~(OUTPUT_FULL | FROM_MOUSE | TIMEOUT);
	update_lines(ctl);
	pump(ctl);
	return value;
}

static void write_data(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	data(device, (uint8_t)value);
}

static uint64_t read_status(void *device, uint64_t offset, unsigned int size)
{
	const struct i8042 *ctl = device;

	return ctl->status;
}

static void write_command(void *device, uint64_t offset, unsigned int size,
			  uint64_t value)
{
	command(device, (uint8_t)value);
}

static const struct bus_ops data_ops = {
	.read = read_data,
	.write = write_data,
	.max_size = 1,
};

static const struct bus_ops command_ops = {
	.read = read_status,
	.write = write_command,
	.max_size = 1,
};

void i8042_connect_keyboard(struct i8042 *ctl, struct ps2_device *device)
{
	device->ready = pump;
	device->controller = ctl;
	ctl->keyboard = device;
}

void i8042_connect_mouse(struct i8042 *ctl, struct ps2_device *device)
{
	device->ready = pump;
	device->controller = ctl;
	ctl->mouse = device;
}

static void i8042_reset(void *device)
{
	struct i8042 *ctl = device;

	ctl->command_byte = OFF_KEYBOARD | OFF_MOUSE;
	ctl->output_port = OUTPUT_IDLE;
	ctl->pending = 0;
	ctl->data = 0;
	ctl->status = SYSTEM_FLAG | UNLOCKED;
	ctl->release = false;
	update_lines(ctl);
}

static const struct field i8042_fields[] = {
	FIELD(struct i8042, FIELD_U8, command_byte),
	FIELD(struct i8042, FIELD_U8, output_port),
	FIELD(struct i8042, FIELD_U8, pending),
	FIELD(struct i8042, FIELD_U8, data),
	FIELD(struct i8042, FIELD_U8, status),
	FIELD(struct i8042, FIELD_BOOL, release),
};

static const struct state_class i8042_state = {
	.name = "i8042",
	.version = 1,
	.size = sizeof(struct i8042),
	.fields = i8042_fields,
	.field_count = sizeof(i8042_fields) / sizeof(i8042_fields[0]),
};

const struct device_class i8042_class = {
	.name = "i8042",
	.reset = i8042_reset,
	.state = &i8042_state,
};

int i8042_init(struct i8042 *ctl, struct vm *vm, const struct irq *keyboard,
	       const struct irq *mouse)
{
	int err;

	memset(ctl, 0, sizeof(*ctl));
	ctl->vm = vm;
	ctl->irq_keyboard = *keyboard;
	ctl->irq_mouse = *mouse;
	i8042_reset(ctl);
	err = bus_add(&vm->pio, I8042_DATA_PORT, 1, "i8042", &data_ops, ctl);
	if (!err)
		err = bus_add(&vm->pio, I8042_COMMAND_PORT, 1, "i8042",
			      &command_ops, ctl);
	if (err)
		return err;
	return vm_add_device(vm, &i8042_class, ctl);
}
