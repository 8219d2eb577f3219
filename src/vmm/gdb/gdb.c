/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GDB session: packets to actions, stops to packets. "Debugging with
 * GDB", appendix E. All-stop mode; left out: non-stop mode, range stepping,
 * reverse execution, conditions evaluated here.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/gdb/impl.h"
#include "vmm/gdb/regs.h"

#define GO_ALL VM_CPUS_MAX

void gdb_send_answer(struct gdb *gdb)
{
	gdb_end(&gdb->answer);
	gdb->send.bytes(gdb->send.ctx, gdb->answer.data, gdb->answer.size);
}

/* --- stops ----------------------------------------------------------------- */

void gdb_stopped(struct gdb *gdb, unsigned int cpu,
		 const struct engine_exit *exit)
{
	pthread_mutex_lock(&gdb->lock);
	gdb->stop[cpu] = (struct gdb_stop){
		.pending = true,
		.why = exit->stop,
		.address = exit->address,
	};
	pthread_mutex_unlock(&gdb->lock);
	pause_ask(gdb->pause);
}

/* No processor runs: their state into x86_cpu.state. */
static void come_to_rest(struct gdb *gdb)
{
	pause_all(gdb->pause);
	gdb->running = false;
	for (unsigned int i = 0; i < gdb->vm->cpu_count; i++)
		gdb->engine->get_state(gdb->vm->cpu[i]);
}

static void put_stop(struct gdb *gdb, unsigned int signal,
		     const struct gdb_stop *stop)
{
	static const char *const names[] = {
		[0] = "swbreak", [1] = "hwbreak",
		[2] = "watch",	 [3] = "rwatch",  [4] = "awatch",
	};
	char type = stop ? gdb_type_of(gdb, stop) : 0;

	gdb_put_format(&gdb->answer, "T%02xthread:%x;", signal, gdb->cpu + 1);
	if (type >= '2')
		gdb_put_format(&gdb->answer, "%s:%llx;", names[type - '0'],
			       (unsigned long long)stop->address);
	else if (type && gdb->tells_swbreak)
		gdb_put_format(&gdb->answer, "%s:;", names[type - '0']);
}

/* A processor that has stopped, of those with a bit in `cpus`. */
static bool take_stop(struct gdb *gdb, uint64_t cpus, struct gdb_stop *stop)
{
	bool found = false;

	pthread_mutex_lock(&gdb->lock);
	for (unsigned int i = 0; i < gdb->vm->cpu_count && !found; i++) {
		if (!gdb->stop[i].pending || !(cpus >> i & 1))
			continue;
		*stop = gdb->stop[i];
		gdb->stop[i].pending = false;
		gdb->cpu = i;
		found = true;
	}
	pthread_mutex_unlock(&gdb->lock);
	return found;
}

static void forget_stops(struct gdb *gdb)
{
	pthread_mutex_lock(&gdb->lock);
	memset(gdb->stop, 0, sizeof(gdb->stop));
	pthread_mutex_unlock(&gdb->lock);
}

void gdb_woken(struct gdb *gdb)
{
	struct gdb_stop stop;

	if (!gdb->running || !take_stop(gdb, UINT64_MAX, &stop))
		return;
	come_to_rest(gdb);
	gdb_begin(&gdb->answer);
	put_stop(gdb, GDB_SIGTRAP, &stop);
	gdb_send_answer(gdb);
}

/* Ctrl-C. */
static void interrupt(struct gdb *gdb)
{
	struct gdb_stop stop;
	bool stopped;

	if (!gdb->running)
		return;
	come_to_rest(gdb);
	stopped = take_stop(gdb, UINT64_MAX, &stop);
	gdb_begin(&gdb->answer);
	if (stopped)
		put_stop(gdb, GDB_SIGTRAP, &stop);
	else
		put_stop(gdb, GDB_SIGINT, NULL);
	gdb_send_answer(gdb);
}

/* --- going on --------------------------------------------------------------- */

/*
 * A breakpoint that another processor stopped at is found again when that
 * goes on; a watchpoint would not be, and is told of before.
 */
static bool left_over(struct gdb *gdb, uint64_t cpus)
{
	struct gdb_stop stop;

	while (take_stop(gdb, cpus, &stop)) {
		if (stop.why != ENGINE_STOP_WATCH)
			continue;
		put_stop(gdb, GDB_SIGTRAP, &stop);
		return true;
	}
	return false;
}

/* True when there is no answer yet. */
static bool go_on(struct gdb *gdb, uint64_t cpus, uint64_t step)
{
	if (left_over(gdb, cpus))
		return false;
	forget_stops(gdb);
	for (unsigned int i = 0; i < gdb->vm->cpu_count; i++)
		gdb->engine->debug(gdb->vm->cpu[i], &gdb->debug, step >> i & 1);
	gdb->running = true;
	pause_end(gdb->pause, cpus);
	return true;
}

static uint64_t every_cpu(const struct gdb *gdb)
{
	return UINT64_MAX >> (64 - gdb->vm->cpu_count);
}

/* The processors an action of vCont is for; 0: it makes no sense. */
static uint64_t action_cpus(struct gdb *gdb, const char **text)
{
	unsigned int cpu;

	if (!gdb_skip(text, ':'))
		return every_cpu(gdb);
	if (gdb_skip(text, '-'))
		return gdb_skip(text, '1') ? every_cpu(gdb) : 0;
	return gdb_thread(gdb, text, &cpu) ? (uint64_t)1 << cpu : 0;
}

/* ";ACTION[:THREAD]...": the first that names a processor is for it. */
static bool resume_each(struct gdb *gdb, const char *text)
{
	uint64_t told = 0, run = 0, step = 0, cpus, signal;

	while (gdb_skip(&text, ';')) {
		char action = *text;

		if (!action || !strchr("cCsS", action))
			goto bad;
		text++;
		if ((action == 'C' || action == 'S') &&
		    !gdb_number(&text, &signal))
			goto bad;
		cpus = action_cpus(gdb, &text);
		if (!cpus)
			goto bad;
		cpus &= ~told;
		told |= cpus;
		run |= cpus;
		if (action == 's' || action == 'S')
			step |= cpus;
	}
	if (!*text && run)
		return go_on(gdb, run, step);
bad:
	gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
	return false;
}

/* c, s, C and S: signals mean nothing to a machine. */
static bool resume(struct gdb *gdb, const char *text)
{
	bool step = *text == 's' || *text == 'S';
	bool signals = *text == 'C' || *text == 'S';
	unsigned int cpu = gdb->go == GO_ALL ? gdb->cpu : gdb->go;
	uint64_t address;

	text++;
	if (signals && !gdb_number(&text, &address))
		goto bad;
	if (signals && *text)
		gdb_skip(&text, ';');
	if (*text) {
		if (!gdb_number(&text, &address) || *text)
			goto bad;
		gdb->vm->cpu[cpu]->state.rip = address;
		gdb->engine->put_state(gdb->vm->cpu[cpu]);
	}
	return go_on(gdb, step ? (uint64_t)1 << cpu : every_cpu(gdb),
		     step ? (uint64_t)1 << cpu : 0);
bad:
	gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
	return false;
}

/* --- registers -------------------------------------------------------------- */

static bool find_reg(const struct gdb *gdb, uint64_t n, struct gdb_reg *reg)
{
	return n <= UINT32_MAX &&
	       gdb_reg_find(gdb_cpu(gdb)->cpuid->xcr0, (unsigned int)n, reg);
}

static void read_all(struct gdb *gdb)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_reg reg;

	for (unsigned int n = 0; find_reg(gdb, n, &reg); n++) {
		gdb_reg_get(&gdb_cpu(gdb)->state, &reg, value);
		gdb_put_hex(&gdb->answer, value, reg.size);
	}
}

static const char *write_all(struct gdb *gdb, const char *text)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	const char *end = text;
	struct gdb_reg reg;
	unsigned int n;

	for (n = 0; find_reg(gdb, n, &reg); n++)
		if (!gdb_bytes(&end, value, reg.size))
			return GDB_BAD_ARGUMENT;
	if (*end)
		return GDB_BAD_ARGUMENT;
	for (n = 0; find_reg(gdb, n, &reg); n++) {
		gdb_bytes(&text, value, reg.size);
		gdb_reg_set(&gdb_cpu(gdb)->state, &reg, value);
	}
	gdb->engine->put_state(gdb_cpu(gdb));
	return "OK";
}

static void read_one(struct gdb *gdb, const char *text)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_reg reg;
	uint64_t n;

	if (!gdb_number(&text, &n) || *text || !find_reg(gdb, n, &reg)) {
		gdb_put(&gdb->answer, GDB_BAD_ARGUMENT);
		return;
	}
	gdb_reg_get(&gdb_cpu(gdb)->state, &reg, value);
	gdb_put_hex(&gdb->answer, value, reg.size);
}

static const char *write_one(struct gdb *gdb, const char *text)
{
	uint8_t value[GDB_REG_SIZE_MAX];
	struct gdb_reg reg;
	uint64_t n;

	if (!gdb_number(&text, &n) || !find_reg(gdb, n, &reg) ||
	    !gdb_skip(&text, '=') || !gdb_bytes(&text, value, reg.size) ||
	    *text || !gdb_reg_set(&gdb_cpu(gdb)->state, &reg, value))
		return GDB_BAD_ARGUMENT;
	gdb->engine->put_state(gdb_cpu(gdb));
	return "OK";
}

/* --- packets ---------------------------------------------------------------- */

/* Hg and Hc: 0 is any, -1 all. */
static const char *set_thread(struct gdb *gdb, const char *text)
{
	char what = *text;
	unsigned int cpu = gdb->cpu;
	bool all = false;

	if (what != 'g' && what != 'c')
		return GDB_BAD_ARGUMENT;
	text++;
	if (!strcmp(text, "-1") || !strcmp(text, "0"))
		all = true;
	else if (!gdb_thread(gdb, &text, &cpu) || *text)
		return GDB_BAD_ARGUMENT;
	if (what == 'g')
		gdb->cpu = cpu;
	else
		gdb->go = all ? GO_ALL : cpu;
	return "OK";
}

static void leave(struct gdb *gdb)
{
	gdb->detach = true;
	gdb->send.close(gdb->send.ctx);
}

static void kill_machine(struct gdb *gdb)
{
	vm_ask(gdb->vm, VM_STOP);
	leave(gdb);
}

/* v packets; false: no answer now. */
static bool verbose(struct gdb *gdb, const char *text)
{
	if (!strcmp(text, "vCont?")) {
		gdb_put(&gdb->answer, "vCont;c;C;s;S");
	} else if (!strncmp(text, "vCont;", 6)) {
		return !resume_each(gdb, text + 5);
	} else if (!strncmp(text, "vKill", 5)) {
		gdb_put(&gdb->answer, "OK");
		kill_machine(gdb);
	}
	return true;
}

/* What a packet asks for; true: the answer is to be sent. */
static bool obey(struct gdb *gdb, const char *text)
{
	switch (*text) {
	case '?':
		put_stop(gdb, GDB_SIGTRAP, NULL);
		return true;
	case 'g':
		read_all(gdb);
		return true;
	case 'G':
		gdb_put(&gdb->answer, write_all(gdb, text + 1));
		return true;
	case 'p':
		read_one(gdb, text + 1);
		return true;
	case 'P':
		gdb_put(&gdb->answer, write_one(gdb, text + 1));
		return true;
	case 'm':
		gdb_read_memory(gdb, text + 1);
		return true;
	case 'M':
		gdb_write_memory(gdb, text + 1);
		return true;
	case 'z':
	case 'Z':
		gdb_put(&gdb->answer,
			gdb_set_point(gdb, text + 1, *text == 'Z'));
		return true;
	case 'H':
		gdb_put(&gdb->answer, set_thread(gdb, text + 1));
		return true;
	case 'c':
	case 'C':
	case 's':
	case 'S':
		return !resume(gdb, text);
	case 'v':
		return verbose(gdb, text);
	case 'D':
		gdb_put(&gdb->answer, "OK");
		leave(gdb);
		return true;
	case 'k':
		kill_machine(gdb);
		return false;
	default: /* an empty answer when it knows none */
		gdb_query(gdb, text);
		return true;
	}
}

static void take_packet(struct gdb *gdb)
{
	const char *text = gdb->packet.data;

	/* While the machine runs only its end makes sense. */
	if (gdb->running && *text != 'k' && *text != 'D')
		return;
	gdb_begin(&gdb->answer);
	if (obey(gdb, text))
		gdb_send_answer(gdb);
}

static void acknowledge(struct gdb *gdb, const char *sign)
{
	if (!gdb->no_ack)
		gdb->send.bytes(gdb->send.ctx, sign, 1);
}

bool gdb_may_receive(const struct gdb *gdb)
{
	return atomic_load(&gdb->vm->request) == VM_RUN;
}

void gdb_receive(struct gdb *gdb, const char *data, size_t size)
{
	for (size_t i = 0; i < size && !gdb->detach; i++) {
		switch (gdb_packet_take(&gdb->packet, (uint8_t)data[i])) {
		case GDB_PACKET:
			acknowledge(gdb, "+");
			take_packet(gdb);
			break;
		case GDB_BROKEN:
			acknowledge(gdb, "-");
			break;
		case GDB_NAK:
			if (!gdb->no_ack && !gdb->running && gdb->answer.size)
				gdb->send.bytes(gdb->send.ctx,
						gdb->answer.data,
						gdb->answer.size);
			break;
		case GDB_INTERRUPT:
			interrupt(gdb);
			break;
		case GDB_NOTHING:
			break;
		}
	}
}

/* --- the session ------------------------------------------------------------ */

void gdb_connected(struct gdb *gdb)
{
	gdb->packet.at = GDB_IDLE;
	gdb->answer.size = 0;
	gdb->no_ack = false;
	gdb->tells_swbreak = false;
	gdb->physical = false;
	gdb->detach = false;
	gdb->cpu = 0;
	gdb->go = GO_ALL;
	gdb->debug.breaks = gdb->debug.watches = 0;
	gdb->connected = true;
	come_to_rest(gdb);
}

void gdb_disconnected(struct gdb *gdb)
{
	pause_all(gdb->pause);
	gdb->connected = false;
	gdb->running = false;
	forget_stops(gdb);
	for (unsigned int i = 0; i < gdb->vm->cpu_count; i++)
		gdb->engine->debug(gdb->vm->cpu[i], NULL, false);
	pause_end(gdb->pause, PAUSE_NONE);
}

void gdb_ended(struct gdb *gdb, bool crashed, int status)
{
	if (!gdb->connected)
		return;
	gdb_begin(&gdb->answer);
	if (crashed)
		gdb_put(&gdb->answer, "X06");
	else
		gdb_put_format(&gdb->answer, "W%02x", status & 0xff);
	gdb_send_answer(gdb);
	gdb->connected = false;
}

struct gdb *gdb_create(const struct gdb_send *send)
{
	struct gdb *gdb = calloc(1, sizeof(*gdb));

	if (!gdb)
		return NULL;
	gdb->send = *send;
	pthread_mutex_init(&gdb->lock, NULL);
	return gdb;
}

void gdb_destroy(struct gdb *gdb)
{
	if (!gdb)
		return;
	pthread_mutex_destroy(&gdb->lock);
	free(gdb);
}

void gdb_set_machine(struct gdb *gdb, struct vm *vm,
		     const struct engine *engine, struct pause *pause)
{
	gdb->vm = vm;
	gdb->engine = engine;
	gdb->pause = pause;
}
