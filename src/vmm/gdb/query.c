/* SPDX-License-Identifier: Apache-2.0 */
/*
 * General queries of the GDB protocol: what the stub can, the processors as
 * threads, the register description, commands of the user.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/gdb/impl.h"
#include "vmm/gdb/regs.h"

#define MONITOR_MAX 256

bool gdb_thread(const struct gdb *gdb, const char **text, unsigned int *cpu)
{
	uint64_t id;

	if (!gdb_number(text, &id) || !id || id > gdb->vm->cpu_count)
		return false;
	*cpu = (unsigned int)id - 1;
	return true;
}

static void supported(struct gdb *gdb, const char *text)
{
	gdb->tells_swbreak = strstr(text, "swbreak+");
	gdb_put_format(&gdb->answer,
		       "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;"
		       "vContSupported+;swbreak+;hwbreak+", GDB_PACKET_MAX);
}

/* "OFFSET,LENGTH" of target.xml. */
static void features(struct gdb *gdb, const char *text)
{
	char xml[GDB_XML_MAX];
	uint64_t offset, size;
	size_t total;

	gdb_target_xml(gdb_cpu(gdb)->cpuid->xcr0, xml);
	total = strlen(xml);
	if (!gdb_number(&text, &offset) || !gdb_skip(&text, ',') ||
	    !gdb_number(&text, &size) || *text || offset > total) {
		gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
		return;
	}
	/* At worst each character is escaped. */
	if (size > GDB_PACKET_MAX / 2)
		size = GDB_PACKET_MAX / 2;
	gdb_put(&gdb->answer, size < total - offset ? "m" : "l");
	if (size > total - offset)
		size = total - offset;
	gdb_put_binary(&gdb->answer, xml + offset, size);
}

static void threads(struct gdb *gdb, const char *text)
{
	for (unsigned int i = 0; i < gdb->vm->cpu_count; i++)
		gdb_put_format(&gdb->answer, "%c%x", i ? ',' : 'm', i + 1);
}

static void no_more_threads(struct gdb *gdb, const char *text)
{
	gdb_put(&gdb->answer, "l");
}

static void thread_info(struct gdb *gdb, const char *text)
{
	static const char *const activities[] = {
		[X86_RUNNING] = "running",
		[X86_HALTED] = "halted",
		[X86_WAIT_SIPI] = "not started",
		[X86_SHUTDOWN] = "shut down",
	};
	unsigned int cpu;
	char line[64];

	if (!gdb_thread(gdb, &text, &cpu)) {
		gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
		return;
	}
	snprintf(line, sizeof(line), "processor %u, %s", cpu,
		 activities[gdb->vm->cpu[cpu]->state.activity & 3]);
	gdb_put_hex(&gdb->answer, line, strlen(line));
}

static void current_thread(struct gdb *gdb, const char *text)
{
	gdb_put_format(&gdb->answer, "QC%x", gdb->cpu + 1);
}

static void attached(struct gdb *gdb, const char *text)
{
	gdb_put(&gdb->answer, "1");
}

static void command(struct gdb *gdb, const char *text)
{
	char line[MONITOR_MAX] = "";
	size_t size = strlen(text) / 2;

	if (size >= sizeof(line) || !gdb_bytes(&text, line, size) || *text)
		gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
	else
		gdb_monitor(gdb, line);
}

static void start_no_ack(struct gdb *gdb, const char *text)
{
	gdb->no_ack = true;
	gdb_put(&gdb->answer, "OK");
}

static void thread_alive(struct gdb *gdb, const char *text)
{
	unsigned int cpu;

	gdb_put(&gdb->answer, gdb_thread(gdb, &text, &cpu) && !*text ?
				      "OK" : GDB_BAD_ARGUMENT);
}

static const struct query {
	const char *name;
	bool whole; /* the name is all there may be */
	void (*answer)(struct gdb *gdb, const char *text);
} queries[] = {
	{ "qSupported", false, supported },
	{ "qXfer:features:read:target.xml:", false, features },
	{ "qfThreadInfo", true, threads },
	{ "qsThreadInfo", true, no_more_threads },
	{ "qThreadExtraInfo,", false, thread_info },
	{ "qC", true, current_thread },
	{ "qAttached", false, attached },
	{ "qRcmd,", false, command },
	{ "QStartNoAckMode", true, start_no_ack },
	{ "T", false, thread_alive },
};

void gdb_query(struct gdb *gdb, const char *text)
{
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		const struct query *q = &queries[i];
		size_t length = strlen(q->name);

		if (!strncmp(text, q->name, length) &&
		    !(q->whole && text[length])) {
			q->answer(gdb, text + length);
			return;
		}
	}
}
