/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's inside as JSON, while it runs: the saved fields of its devices
 * by their state tables, the functions on PCI, the I/O APIC's routes (82093AA
 * 3.2.4) and the memory map. Each device is read under the device lock; what
 * processors change without it (their LAPICs) may be a moment apart.
 */
#include <string.h>

#include "board/board.h"
#include "chip/ioapic.h"
#include "chip/pci_dump.h"
#include "vm/clock.h"
#include "vmm/control/impl.h"
#include "vmm/drives.h"
#include "vmm/nets.h"
#include "vmm/sandbox/isolate.h"
#include "vmm/shares.h"
#include "vmm/stall.h"

#define ELEMENTS_MAX 64 /* of an array that is shown */

static const struct {
	const char *name;
	uint32_t size;
} types[] = {
	[FIELD_U8] = { "u8", 1 },
	[FIELD_U16] = { "u16", 2 },
	[FIELD_U32] = { "u32", 4 },
	[FIELD_U64] = { "u64", 8 },
	[FIELD_BOOL] = { "bool", sizeof(bool) },
	[FIELD_TIMER] = { "timer", sizeof(struct timer) },
};

/* JSON has no unsigned 64-bit number: large ones are text. */
static json_t *number(uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	return json_string(text);
}

static json_t *element(const struct field *field, const uint8_t *at)
{
	uint64_t value = 0;

	if (field->type == FIELD_BOOL)
		return json_boolean(*(const bool *)at);
	if (field->type == FIELD_TIMER) {
		value = ((const struct timer *)at)->deadline;
		return value == TIMER_NEVER ? json_null() : number(value);
	}
	memcpy(&value, at, types[field->type].size);
	return number(value);
}

static json_t *field_value(const struct field *field, const uint8_t *object)
{
	const uint8_t *at = object + field->offset;
	json_t *list;

	if (field->count == 1)
		return element(field, at);
	if (field->count > ELEMENTS_MAX)
		return json_sprintf("%u of %s", field->count,
				    types[field->type].name);
	list = json_array();
	for (uint32_t i = 0; i < field->count; i++)
		json_array_append_new(
			list, element(field,
				      at + i * types[field->type].size));
	return list;
}

static json_t *device_state(const struct device *device)
{
	const struct state_class *state = device->class->state;
	json_t *fields = json_object();

	for (unsigned int i = 0; state && i < state->field_count; i++)
		json_object_set_new(fields, state->fields[i].name,
				    field_value(&state->fields[i],
						device->object));
	return json_pack("{sssiso}", "device", device->class->name, "instance",
			 (int)device->instance, "state", fields);
}

static void *find(struct vm *vm, const struct device_class *class)
{
	for (unsigned int i = 0; i < vm->device_count; i++)
		if (vm->device[i].class == class)
			return vm->device[i].object;
	return NULL;
}

static json_t *devices(struct vm *vm)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < vm->device_count; i++) {
		host_lock(&vm->device_lock);
		json_array_append_new(list, device_state(&vm->device[i]));
		host_unlock(&vm->device_lock);
	}
	return list;
}

static void add_line(void *list, const char *text)
{
	json_array_append_new(list, json_string(text));
}

static json_t *pci(struct vm *vm)
{
	struct pci_host *host = find(vm, &pci_host_class);
	json_t *list = json_array();

	host_lock(&vm->device_lock);
	if (host)
		pci_dump(host, add_line, list);
	host_unlock(&vm->device_lock);
	return list;
}

static json_t *route(unsigned int line, uint64_t entry, bool level)
{
	static const char *const modes[] = {
		"fixed", "lowest", "smi", "3", "nmi", "init", "6", "extint",
	};

	return json_pack("{sisisssisssssbsb}", "line", (int)line, "vector",
			 (int)(entry & 0xff), "mode", modes[entry >> 8 & 7],
			 "destination", (int)(entry >> 56), "destination_mode",
			 entry & 1 << 11 ? "logical" : "physical", "trigger",
			 entry & 1 << 15 ? "level" : "edge", "masked",
			 (int)(entry >> 16 & 1), "asserted", (int)level);
}

/* null: the engine has the controller, out of our sight. */
static json_t *routes(struct vm *vm)
{
	const struct ioapic *ioapic = find(vm, &ioapic_class);
	json_t *list;

	if (!ioapic)
		return json_null();
	list = json_array();
	host_lock(&vm->device_lock);
	for (unsigned int i = 0; i < IOAPIC_LINES; i++)
		json_array_append_new(list,
				      route(i, ioapic->redirection[i],
					    ioapic->level >> i & 1));
	host_unlock(&vm->device_lock);
	return list;
}

static json_t *region(const struct memory_region *r, const char *kind)
{
	return json_pack("{sIsIssss}", "base", (json_int_t)r->base, "size",
			 (json_int_t)r->size, "kind", kind, "name", r->name);
}

static json_t *memory(struct vm *vm)
{
	const struct memory *mem = &vm->memory;
	json_t *list = json_array();

	host_lock(&vm->device_lock);
	for (unsigned int i = 0; i < mem->region_count; i++) {
		const struct memory_region *r = memory_seen(&mem->region[i]);

		json_array_append_new(
			list,
			region(r, r->kind == MEMORY_ROM ? "rom" : "ram"));
	}
	for (unsigned int i = 0; i < mem->view_count; i++) {
		const struct memory_region *r = atomic_load(&mem->view[i]);

		if (r)
			json_array_append_new(list, region(r, "device"));
	}
	host_unlock(&vm->device_lock);
	return list;
}

json_t *control_inspect(const struct control_target *target)
{
	const char *reason = stall_reason(target->stall);
	struct vm *vm = board_vm(target->board);

	return json_pack("{ssss*sososososososososo}", "state",
			 reason ? "paused" : "running", "reason", reason,
			 "memory", memory(vm), "pci", pci(vm),
			 "interrupts", routes(vm), "attached",
			 hotplug_inspect(target->hotplug), "drives",
			 drives_inspect(target->drives), "nets",
			 nets_inspect(target->nets, target->board), "shares",
			 control_shares(target), "sandbox", isolate_json(),
			 "devices", devices(vm));
}
