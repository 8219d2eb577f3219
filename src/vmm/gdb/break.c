/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breakpoints and watchpoints of a GDB session. What becomes of them is the
 * engine's: those "in software" are where it may mark the guest's code, if
 * it has to.
 */
#include <string.h>

#include "vmm/gdb/impl.h"
#include "x86/access.h"

/* No longer watched range makes sense; and pages times ranges stay few. */
#define WATCH_SIZE_MAX 4096

/*
 * The RAM that is code at `linear`: as the processor that is looked at sees
 * it, else as any does. False: there is none.
 */
static bool find_code(struct gdb *gdb, uint64_t linear, gpa_t *address)
{
	const unsigned int count = gdb->vm->cpu_count;
	const struct memory_region *region;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int cpu = (gdb->cpu + i) % count;

		if (!x86_translate(gdb->vm->cpu[cpu], (gva_t){ linear },
				   address))
			continue;
		region = memory_find(&gdb->vm->memory, *address);
		if (region && region->kind == MEMORY_RAM)
			return true;
	}
	return false;
}

static const char *set_break(struct gdb *gdb, uint64_t at, char type,
			     bool insert)
{
	struct x86_debug *debug = &gdb->debug;
	unsigned int i;

	for (i = 0; i < debug->breaks; i++)
		if (debug->at[i].linear == at &&
		    gdb->break_type[i] == (uint8_t)type)
			break;
	if (insert && i == debug->breaks) {
		if (i == X86_BREAKS_MAX)
			return GDB_BAD_ARGUMENT;
		debug->at[i] = (struct x86_break){ .linear = at };
		debug->at[i].mark = type == '0' &&
				    find_code(gdb, at, &debug->at[i].memory);
		gdb->break_type[i] = (uint8_t)type;
		debug->breaks++;
	} else if (!insert && i < debug->breaks) {
		debug->breaks--;
		debug->at[i] = debug->at[debug->breaks];
		gdb->break_type[i] = gdb->break_type[debug->breaks];
	}
	return "OK";
}

static const char *set_watch(struct gdb *gdb, uint64_t at, uint64_t size,
			     char type, bool insert)
{
	struct x86_debug *debug = &gdb->debug;
	unsigned int i;

	if (!size || size > WATCH_SIZE_MAX || at + (size - 1) < at)
		return GDB_BAD_ARGUMENT;
	for (i = 0; i < debug->watches; i++)
		if (debug->watch[i].first == at &&
		    debug->watch[i].size == size &&
		    gdb->watch_type[i] == (uint8_t)type)
			break;
	if (insert && i == debug->watches) {
		if (i == X86_WATCHES_MAX)
			return GDB_BAD_ARGUMENT;
		debug->watch[i] = (struct x86_watch){
			.first = at,
			.size = size,
			.read = type != '2',
			.write = type != '3',
		};
		gdb->watch_type[i] = (uint8_t)type;
		debug->watches++;
	} else if (!insert && i < debug->watches) {
		debug->watches--;
		debug->watch[i] = debug->watch[debug->watches];
		gdb->watch_type[i] = gdb->watch_type[debug->watches];
	}
	return "OK";
}

static const char *set_point(struct gdb *gdb, uint64_t at, uint64_t size,
			     char type, bool insert)
{
	return type < '2' ? set_break(gdb, at, type, insert) :
			    set_watch(gdb, at, size, type, insert);
}

/* False: the engine cannot do what the session wants. */
static bool engine_can(struct gdb *gdb)
{
	char why[120];

	if (!gdb->engine->debug_check ||
	    !gdb->engine->debug_check(gdb_cpu(gdb), &gdb->debug, why,
				      sizeof(why)))
		return true;
	host_log(HOST_LOG_WARN, "gdb: %s", why);
	return false;
}

const char *gdb_set_point(struct gdb *gdb, const char *text, bool insert)
{
	const char *answer;
	uint64_t at, size;
	char type = *text;
	unsigned int had;

	if (type < '0' || type > '4')
		return "";
	text++;
	if (!gdb_skip(&text, ',') || !gdb_number(&text, &at) ||
	    !gdb_skip(&text, ',') || !gdb_number(&text, &size))
		return GDB_BAD_ARGUMENT;
	/* Conditions and commands (";...") are never announced. */
	if (*text)
		return GDB_BAD_ARGUMENT;
	had = gdb->debug.breaks + gdb->debug.watches;
	answer = set_point(gdb, at, size, type, insert);
	if (gdb->debug.breaks + gdb->debug.watches > had && !engine_can(gdb)) {
		set_point(gdb, at, size, type, false);
		answer = GDB_BAD_ARGUMENT;
	}
	return answer;
}

char gdb_type_of(const struct gdb *gdb, const struct gdb_stop *stop)
{
	const struct x86_debug *debug = &gdb->debug;

	if (stop->why == ENGINE_STOP_BREAK)
		for (unsigned int i = 0; i < debug->breaks; i++)
			if (debug->at[i].linear == stop->address)
				return (char)gdb->break_type[i];
	if (stop->why == ENGINE_STOP_WATCH)
		for (unsigned int i = 0; i < debug->watches; i++)
			if (debug->watch[i].first == stop->address)
				return (char)gdb->watch_type[i];
	return 0;
}
