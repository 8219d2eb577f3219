/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine's lists and requests; see vm.h.
 */
#include "vm/vm.h"

#include "vm/bytes.h"
#include "vm/error.h"

void vm_init(struct vm *vm, const char *name)
{
	memset(vm, 0, sizeof(*vm));
	vm->name = name;
	bus_init(&vm->pio, &vm->device_lock);
	bus_init(&vm->mmio, &vm->device_lock);
	clock_init(&vm->clock, &vm->device_lock);
}

void vm_quiesce_devices(struct vm *vm)
{
	if (vm->worker)
		host_worker_wait(vm->worker);
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->quiesce)
			vm->device[i].class->quiesce(vm->device[i].object);
	/* The ends of the last requests may have left some more. */
	if (vm->worker)
		host_worker_wait(vm->worker);
}

void vm_part_devices(struct vm *vm)
{
	vm_quiesce_devices(vm);
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->part)
			vm->device[i].class->part(vm->device[i].object);
}

void vm_resume_devices(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->resume)
			vm->device[i].class->resume(vm->device[i].object);
}

void vm_rest_begin(struct vm *vm)
{
	atomic_fetch_add(&vm->resting, 1);
	atomic_fetch_add(&vm->rests, 1);
	if (!atomic_load(&vm->rest_awaited) ||
	    !atomic_exchange(&vm->rest_awaited, false))
		return;
	host_lock(&vm->device_lock);
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->rested)
			vm->device[i].class->rested(vm->device[i].object);
	host_unlock(&vm->device_lock);
}

void vm_rest_end(struct vm *vm)
{
	atomic_fetch_sub(&vm->resting, 1);
}

void vm_fini(struct vm *vm)
{
	vm_part_devices(vm);
	host_worker_destroy(vm->worker);
	vm->worker = NULL;
	while (vm->device_count) {
		struct device *d = &vm->device[--vm->device_count];

		if (d->class->fini)
			d->class->fini(d->object);
	}
	memory_fini(&vm->memory);
}

/* The lowest that is free: units come and go. */
static unsigned int free_instance(const struct vm *vm,
				  const struct device_class *class)
{
	unsigned int instance = 0, i = 0;

	while (i < vm->device_count) {
		const struct device *d = &vm->device[i++];

		if (d->class != class || d->instance != instance)
			continue;
		instance++;
		i = 0;
	}
	return instance;
}

int vm_add_device(struct vm *vm, const struct device_class *class, void *object)
{
	if (vm->device_count == VM_DEVICES_MAX)
		return -VM_ENOSPC;
	vm->device[vm->device_count] = (struct device){
		.class = class,
		.object = object,
		.instance = free_instance(vm, class),
		.unit = vm->unit,
	};
	vm->device_count++;
	return 0;
}

unsigned int vm_begin_unit(struct vm *vm)
{
	vm->unit = ++vm->units;
	return vm->unit;
}

void vm_end_unit(struct vm *vm)
{
	vm->unit = 0;
}

static void part_unit(struct vm *vm, unsigned int unit)
{
	if (vm->worker)
		host_worker_wait(vm->worker);
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].unit == unit && vm->device[i].class->quiesce)
			vm->device[i].class->quiesce(vm->device[i].object);
	if (vm->worker)
		host_worker_wait(vm->worker);
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].unit == unit && vm->device[i].class->part)
			vm->device[i].class->part(vm->device[i].object);
}

/* Takes the last device of a unit off the list; false: there is none. */
static bool take_last(struct vm *vm, unsigned int unit, struct device *device)
{
	unsigned int i = vm->device_count;

	while (i && vm->device[i - 1].unit != unit)
		i--;
	if (!i)
		return false;
	*device = vm->device[i - 1];
	vm->device_count--;
	memmove(&vm->device[i - 1], &vm->device[i],
		(vm->device_count - (i - 1)) * sizeof(vm->device[0]));
	return true;
}

void vm_remove_unit(struct vm *vm, unsigned int unit)
{
	struct device device;
	bool found;

	part_unit(vm, unit);
	do {
		host_lock(&vm->device_lock);
		found = take_last(vm, unit, &device);
		host_unlock(&vm->device_lock);
		if (found && device.class->fini)
			device.class->fini(device.object);
	} while (found);
}

void vm_reset_devices(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->reset)
			vm->device[i].class->reset(vm->device[i].object);
}

void vm_ask(struct vm *vm, enum vm_request request)
{
	uint32_t before = VM_RUN;

	if (!atomic_compare_exchange_strong(&vm->request, &before, request) &&
	    before != request)
		return;
	if (vm->asked)
		vm->asked(vm->asked_ctx, request);
}
