/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that GDB's user gives with "monitor": what the protocol has no
 * packets for.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/gdb/impl.h"
#include "x86/access.h"

/* Text for the user, as a packet of its own; the answer's end is "OK". */
static void say(struct gdb *gdb, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct gdb *gdb, const char *format, ...)
{
	char line[256];
	va_list list;

	va_start(list, format);
	vsnprintf(line, sizeof(line) - 1, format, list);
	va_end(list);
	strcat(line, "\n");
	gdb_begin(&gdb->answer);
	gdb_put(&gdb->answer, "O");
	gdb_put_hex(&gdb->answer, line, strlen(line));
	gdb_send_answer(gdb);
}

static void print_line(void *ctx, const char *text)
{
	say(ctx, "%s", text);
}

static void info_registers(struct gdb *gdb, const char *rest)
{
	say(gdb, "processor %u", gdb->cpu);
	x86_state_print(&gdb_cpu(gdb)->state, print_line, gdb);
}

static void info_mem(struct gdb *gdb, const char *rest)
{
	const struct memory *memory = &gdb->vm->memory;

	for (unsigned int i = 0; i < memory->region_count; i++) {
		const struct memory_region *r =
			memory_seen(&memory->region[i]);

		say(gdb, "%016" PRIx64 "-%016" PRIx64 " %s %s", r->base,
		    r->base + r->size - 1,
		    r->kind == MEMORY_RAM ? "ram" : "rom", r->name);
	}
}

static void info_tlb(struct gdb *gdb, const char *rest)
{
	const char *text = rest;
	const struct memory_region *r;
	uint64_t linear;
	gpa_t at;

	if (!strncmp(text, "0x", 2))
		text += 2;
	if (!gdb_number(&text, &linear) || *text) {
		say(gdb, "info tlb ADDRESS: give a linear address in hex");
		return;
	}
	if (!x86_translate(gdb_cpu(gdb), (gva_t){ linear }, &at)) {
		say(gdb, "%016" PRIx64 " is not mapped", linear);
		return;
	}
	r = memory_find(&gdb->vm->memory, at);
	say(gdb, "%016" PRIx64 " -> %016" PRIx64 " %s", linear, at.v,
	    r ? r->name : "(no memory)");
}

static void phys(struct gdb *gdb, const char *rest)
{
	if (!strcmp(rest, "on"))
		gdb->physical = true;
	else if (!strcmp(rest, "off"))
		gdb->physical = false;
	else if (*rest)
		say(gdb, "phys: give on or off");
	say(gdb, "addresses of memory are %s",
	    gdb->physical ? "guest-physical" : "linear");
}

static void reset(struct gdb *gdb, const char *rest)
{
	vm_ask(gdb->vm, VM_RESET);
}

static void quit(struct gdb *gdb, const char *rest)
{
	vm_ask(gdb->vm, VM_STOP);
}

static void help(struct gdb *gdb, const char *rest);

static const struct monitor_command {
	const char *name, *help;
	void (*run)(struct gdb *gdb, const char *rest);
} commands[] = {
	{ "info registers", "every register of the processor",
	  info_registers },
	{ "info mem", "the machine's RAM and ROM", info_mem },
	{ "info tlb", "ADDRESS: where a linear address leads", info_tlb },
	{ "phys", "on or off: read and write guest-physical memory", phys },
	{ "reset", "reset the machine", reset },
	{ "quit", "stop the machine", quit },
	{ "help", "this list", help },
};

static void help(struct gdb *gdb, const char *rest)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		say(gdb, "%-15s %s", commands[i].name, commands[i].help);
}

void gdb_monitor(struct gdb *gdb, const char *command)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t length = strlen(commands[i].name);

		if (strncmp(command, commands[i].name, length))
			continue;
		if (command[length] && command[length] != ' ')
			continue;
		command += length;
		command += strspn(command, " ");
		commands[i].run(gdb, command);
		break;
	}
	if (i == sizeof(commands) / sizeof(commands[0]))
		say(gdb, "no such command; monitor help lists them");
	gdb_begin(&gdb->answer);
	gdb_put(&gdb->answer, "OK");
}
