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

void vm_resume_devices(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class->resume)
			vm->device[i].class->resume(vm->device[i].object);
}

void vm_fini(struct vm *vm)
{
	vm_quiesce_devices(vm);
	host_worker_destroy(vm->worker);
	vm->worker = NULL;
	while (vm->device_count) {
		struct device *d = &vm->device[--vm->device_count];

		if (d->class->fini)
			d->class->fini(d->object);
	}
	memory_fini(&vm->memory);
}

int vm_add_device(struct vm *vm, const struct device_class *class, void *object)
{
	unsigned int i, instance = 0;

	if (vm->device_count == VM_DEVICES_MAX)
		return -VM_ENOSPC;
	for (i = 0; i < vm->device_count; i++)
		if (vm->device[i].class == class)
			instance++;
	vm->device[vm->device_count++] = (struct device){
		.class = class,
		.object = object,
		.instance = instance,
	};
	return 0;
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
