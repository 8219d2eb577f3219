/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge inspect: a running machine's sandbox, devices, PCI functions, interrupt
 * routes and memory map.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "vmm/machine.h"

#define PATIENCE 30 /* seconds for an answer */
#define COLUMNS	 78

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static unsigned long long number_of(const json_t *object, const char *name)
{
	return (unsigned long long)json_integer_value(
		json_object_get(object, name));
}

static void print_state(const json_t *result)
{
	const char *reason =
		json_string_value(json_object_get(result, "reason"));

	if (reason)
		printf("paused: %s\n\n", reason);
}

static void print_sandbox(const json_t *sandbox)
{
	const char *why = text_of(sandbox, "why");

	if (!json_is_true(json_object_get(sandbox, "active"))) {
		printf("sandbox: off\n\n");
		return;
	}
	printf("sandbox: system calls, ");
	if (number_of(sandbox, "landlock"))
		printf("Landlock %llu", number_of(sandbox, "landlock"));
	else
		printf("no Landlock");
	if (json_is_true(json_object_get(sandbox, "own_user")))
		printf(", a user of its own");
	printf("%s%s\n\n", *why ? "; no namespaces: " : ", namespaces", why);
}

static void print_memory(const json_t *list)
{
	const json_t *region;
	size_t i;

	printf("memory:\n");
	json_array_foreach(list, i, region) {
		unsigned long long base = number_of(region, "base");
		unsigned long long size = number_of(region, "size");

		printf("  %012llx-%012llx %s %s\n", base, base + size - 1,
		       text_of(region, "kind"), text_of(region, "name"));
	}
}

static void print_pci(const json_t *list)
{
	const json_t *line;
	size_t i;

	printf("\npci:\n");
	json_array_foreach(list, i, line)
		printf("  %s\n", json_string_value(line));
}

static void print_routes(const json_t *list)
{
	const json_t *route;
	size_t i;

	printf("\ninterrupts (I/O APIC):\n");
	if (!json_is_array(list))
		printf("  in the engine's own controller\n");
	json_array_foreach(list, i, route)
		printf("  %2llu: vector %02llx %s %s %s %llu%s%s\n",
		       number_of(route, "line"), number_of(route, "vector"),
		       text_of(route, "mode"), text_of(route, "trigger"),
		       text_of(route, "destination_mode"),
		       number_of(route, "destination"),
		       json_is_true(json_object_get(route, "masked")) ?
			       " masked" : "",
		       json_is_true(json_object_get(route, "asserted")) ?
			       " asserted" : "");
}

static void print_attached(const json_t *list)
{
	const json_t *disk;
	size_t i;

	if (json_array_size(list))
		printf("\nattached:\n");
	json_array_foreach(list, i, disk)
		printf("  %s: %s %s, %s, in slot %llu%s\n",
		       text_of(disk, "name"), text_of(disk, "device"),
		       text_of(disk, "path"), text_of(disk, "bus"),
		       number_of(disk, "slot"),
		       json_is_true(json_object_get(disk, "leaving")) ?
			       ", to be let go" : "");
}

static void print_drives(const json_t *list)
{
	if (json_array_size(list))
		printf("\ndrives:\n");
	target_print_drives(list, "  ");
}

static void print_nets(const json_t *list)
{
	if (json_array_size(list))
		printf("\nnetwork cards:\n");
	target_print_nets(list, "  ");
}

static void print_shares(const json_t *list)
{
	if (json_array_size(list))
		printf("\nshared folders:\n");
	target_print_shares(list, "  ");
}

/* Numbers in hexadecimal, as registers are read. */
static void format_value(const json_t *value, char *text, size_t size)
{
	const json_t *element;
	size_t i, used = 0;

	if (json_is_integer(value))
		snprintf(text, size, "%llx",
			 (unsigned long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(text, size, "%s",
			 json_is_true(value) ? "yes" : "no");
	else if (json_is_string(value))
		snprintf(text, size, "%s", json_string_value(value));
	else if (json_is_null(value))
		snprintf(text, size, "never");
	json_array_foreach(value, i, element) {
		if (used + 24 > size)
			break;
		if (i)
			text[used++] = ',';
		format_value(element, text + used, size - used);
		used += strlen(text + used);
	}
}

static void print_device(const json_t *device)
{
	json_t *state = json_object_get(device, "state");
	const char *name;
	json_t *value;
	size_t column = COLUMNS;

	printf("  %s %llu", text_of(device, "device"),
	       number_of(device, "instance"));
	json_object_foreach(state, name, value) {
		char text[2048] = "";
		size_t length;

		format_value(value, text, sizeof(text));
		length = strlen(name) + strlen(text) + 2;
		if (column + length > COLUMNS) {
			printf("\n   ");
			column = 3;
		}
		printf(" %s=%s", name, text);
		column += length;
	}
	printf("\n");
}

static void print_devices(const json_t *list)
{
	const json_t *device;
	size_t i;

	printf("\ndevices (numbers in hexadecimal):\n");
	json_array_foreach(list, i, device)
		print_device(device);
}

static int run_inspect(const struct command_context *context, int argc,
		       char **argv)
{
	struct target target;
	int status;
	json_t *result;

	if (target_take(&target, &command_inspect, argc, argv, &status))
		return status;
	result = target_call(&target, "inspect", NULL, PATIENCE, NULL);
	target_close(&target);
	if (!result)
		return MACHINE_FAILED;
	if (target.json) {
		target_print_json(result);
	} else {
		print_state(result);
		print_sandbox(json_object_get(result, "sandbox"));
		print_memory(json_object_get(result, "memory"));
		print_pci(json_object_get(result, "pci"));
		print_routes(json_object_get(result, "interrupts"));
		print_attached(json_object_get(result, "attached"));
		print_drives(json_object_get(result, "drives"));
		print_nets(json_object_get(result, "nets"));
		print_shares(json_object_get(result, "shares"));
		print_devices(json_object_get(result, "devices"));
	}
	json_decref(result);
	return MACHINE_OK;
}

const struct command command_inspect = {
	.name = "inspect",
	.summary = "show a machine's devices, PCI, interrupts, memory map",
	.run = run_inspect,
	.synopsis = "[--json] NAME",
	.about = "Shows what a running machine's sandbox consists of, its memory map, PCI\n"
		 "functions, interrupt routes, and the registers of its devices.",
	.examples = "lodge inspect web\n"
		    "lodge inspect --json web",
	.options = target_json_option,
	.option_count = 1,
	.words = "running",
	.words_min = 1,
	.words_max = 1,
	.missing = "a machine's name",
};
