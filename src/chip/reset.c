/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reset ports; see reset.h.
 */
#include "chip/reset.h"

#include "vm/bytes.h"

#define RESET_CONTROL_CPU 0x04
#define RESET_CONTROL_BITS 0x0e

#define PORT92_RESET 0x01
#define PORT92_A20   0x02

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

uint8_t reset_control_read(const struct reset *reset)
{
	return reset->control;
}

void reset_control_write(struct reset *reset, uint8_t value)
{
	if (value & ~reset->control & RESET_CONTROL_CPU)
		vm_ask(reset->vm, VM_RESET);
	reset->control = value & RESET_CONTROL_BITS;
}

static void reset_reset(void *device)
{
	struct reset *reset = device;

	reset->control = 0;
	reset->port92 = PORT92_A20;
}

static const struct field reset_fields[] = {
	FIELD(struct reset, FIELD_U8, control),
	FIELD(struct reset, FIELD_U8, port92),
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

static const struct bus_ops reset_port92_ops = {
	.read = reset_read_port92,
	.write = reset_write_port92,
	.max_size = 1,
};

int reset_init(struct reset *reset, struct vm *vm)
{
	int err;

	memset(reset, 0, sizeof(*reset));
	reset->vm = vm;
	reset_reset(reset);
	err = bus_add(&vm->pio, 0x92, 1, "port92", &reset_port92_ops, reset);
	if (err)
		return err;
	return vm_add_device(vm, &reset_class, reset);
}
