/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: what lodged knows, for Prometheus (text format 0.0.4; names
 * as its conventions ask). The kernel and the machines' processes are asked when
 * somebody looks, and at no other time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/process_use.h"
#include "manage/api/impl.h"
#include "manage/figures.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"

#define TYPE	    "text/plain; version=0.0.4; charset=utf-8"
#define DEFAULT_RAM (512u << 20) /* as lodge run; images have twice that */

/* --- reading ---------------------------------------------------------------------- */

static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The number behind `name`; 0 when it is not there. */
static unsigned long long number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* --- writing ---------------------------------------------------------------------- */

static void head(FILE *to, const char *name, const char *type,
		 const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *to, const char *name, const char *type,
		const char *help, double value)
{
	head(to, name, type, help);
	fprintf(to, "%s %.17g\n", name, value);
}

static void write_daemon(FILE *to, const struct api *api)
{
	const struct manager *manager = api->manager;
	unsigned int active = 0;

	head(to, "lodge_build_info", "gauge", "The version of lodged.");
	fprintf(to, "lodge_build_info{version=\"%s\"} 1\n", LODGE_VERSION);
	one(to, "lodge_start_time_seconds", "gauge",
	    "When lodged began, in Unix time.", (double)api->began);
	head(to, "lodge_api_answers_total", "counter",
	     "Answers of the API, by the hundreds of their status.");
	for (int i = 2; i < 6; i++)
		fprintf(to, "lodge_api_answers_total{class=\"%dxx\"} %llu\n",
			i, (unsigned long long)api->answers[i]);
	one(to, "lodge_api_clients", "gauge", "Clients that are connected.",
	    api->clients);
	one(to, "lodge_events_total", "counter",
	    "Events since the registry was made.",
	    (double)registry_last_event(manager->registry));
	for (unsigned int i = 0; i < JOBS_KEPT; i++)
		active += manager->jobs.job[i].state == JOB_ACTIVE;
	one(to, "lodge_jobs_active", "gauge", "Jobs that are under way.",
	    active);
}

static void write_host(FILE *to)
{
	static const char *const modes[] = { "user", "nice", "system", "idle",
					     "iowait", "irq", "softirq",
					     "steal" };
	char text[4096];
	char *at;

	one(to, "lodge_host_cpus", "gauge", "Processors of the host.",
	    (double)sysconf(_SC_NPROCESSORS_ONLN));
	read_file("/proc/meminfo", text, sizeof(text));
	one(to, "lodge_host_memory_bytes", "gauge", "Memory of the host.",
	    1024.0 * (double)number_after(text, "MemTotal:"));
	one(to, "lodge_host_memory_available_bytes", "gauge",
	    "Memory of the host that programs could have.",
	    1024.0 * (double)number_after(text, "MemAvailable:"));
	if (!read_file("/proc/stat", text, sizeof(text)) ||
	    strncmp(text, "cpu ", 4))
		return;
	head(to, "lodge_host_cpu_seconds_total", "counter",
	     "What the host's processors did.");
	at = text + 4;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		fprintf(to, "lodge_host_cpu_seconds_total{mode=\"%s\"} %.2f\n",
			modes[i], (double)strtoull(at, &at, 10) /
					  (double)sysconf(_SC_CLK_TCK));
}

static void write_states(FILE *to, const struct api_call *call)
{
	const struct manager *manager = call->api->manager;
	unsigned int count[VM_STATES] = { 0 };

	for (size_t i = 0; i < manager->count; i++)
		count[manager->vm[i]->state]++;
	head(to, "lodge_vms", "gauge", "Machines by their state.");
	for (unsigned int i = 0; i < VM_STATES; i++)
		fprintf(to, "lodge_vms{state=\"%s\"} %u\n",
			lifecycle_state_name((enum vm_state)i), count[i]);
}

static double cpus_of(const struct vm *vm, const struct process_use *use)
{
	json_int_t cpus = json_integer_value(
		json_object_get(vm->config, "cpus"));

	return cpus ? (double)cpus : 1;
}

static double memory_of(const struct vm *vm, const struct process_use *use)
{
	json_int_t bytes = json_integer_value(
		json_object_get(vm->config, "memory"));

	if (bytes)
		return (double)bytes;
	return json_object_get(vm->config, "image") ? 2.0 * DEFAULT_RAM :
						      DEFAULT_RAM;
}

static double runs(const struct vm *vm, const struct process_use *use)
{
	return vm->state == VM_RUNNING;
}

static double restarts_of(const struct vm *vm, const struct process_use *use)
{
	return (double)vm->row.restarts;
}

static double started(const struct vm *vm, const struct process_use *use)
{
	return use->processes ? (double)vm->row.started : -1;
}

static double cpu_used(const struct vm *vm, const struct process_use *use)
{
	return use->processes ? (double)use->cpu_ns / 1e9 : -1;
}

static double resident(const struct vm *vm, const struct process_use *use)
{
	return use->processes ? (double)use->memory : -1;
}

static double bytes_read(const struct vm *vm, const struct process_use *use)
{
	return use->has_io ? (double)use->read : -1;
}

static double bytes_written(const struct vm *vm, const struct process_use *use)
{
	return use->has_io ? (double)use->written : -1;
}

/* One line a machine; a negative value is none. */
static const struct {
	const char *name, *type, *help;
	double (*value)(const struct vm *vm, const struct process_use *use);
} of_machine[] = {
	{ "lodge_vm_running", "gauge", "Whether the machine's guest runs.",
	  runs },
	{ "lodge_vm_cpus", "gauge", "Processors that the machine has.",
	  cpus_of },
	{ "lodge_vm_memory_bytes", "gauge", "Memory that the machine has.",
	  memory_of },
	{ "lodge_vm_restarts", "gauge",
	  "How often it was started again by its policy.", restarts_of },
	{ "lodge_vm_start_time_seconds", "gauge",
	  "When its run began, in Unix time.", started },
	{ "lodge_vm_cpu_seconds_total", "counter",
	  "Processor time of its process and its helpers.", cpu_used },
	{ "lodge_vm_resident_memory_bytes", "gauge",
	  "Memory of the host that its process and its helpers have.",
	  resident },
	{ "lodge_vm_read_bytes_total", "counter",
	  "Bytes that they had from disks of the host.", bytes_read },
	{ "lodge_vm_written_bytes_total", "counter",
	  "Bytes that they gave to disks of the host.", bytes_written },
};

static void write_machines(FILE *to, const struct api_call *call,
			   const struct process_use *use)
{
	const struct manager *manager = call->api->manager;

	for (size_t m = 0; m < sizeof(of_machine) / sizeof(of_machine[0]);
	     m++) {
		head(to, of_machine[m].name, of_machine[m].type,
		     of_machine[m].help);
		for (size_t i = 0; i < manager->count; i++) {
			const struct vm *vm = manager->vm[i];
			double value = of_machine[m].value(vm, &use[i]);

			if (value >= 0)
				fprintf(to, "%s{vm=\"%s\",id=\"%s\"} %.17g\n",
					of_machine[m].name, vm->row.name,
					vm->row.id, value);
		}
	}
}

/* --- disks and cards ---------------------------------------------------------------- */

/* A line for each disk or card: a number of what its machine has told. */
struct part {
	const char *name, *help;
	const char *path[2]; /* to the number; the second NULL: none */
};

static const struct part of_disk[] = {
	{ "reads_total", "Requests to read.", { "read", "requests" } },
	{ "read_bytes_total", "Bytes that the guest has read.",
	  { "read", "bytes" } },
	{ "writes_total", "Requests to write.", { "written", "requests" } },
	{ "written_bytes_total", "Bytes that the guest has written.",
	  { "written", "bytes" } },
	{ "discards_total", "Requests to discard.",
	  { "discarded", "requests" } },
	{ "discarded_bytes_total", "Bytes that the guest has discarded.",
	  { "discarded", "bytes" } },
	{ "flushes_total", "Requests to make durable what was written.",
	  { "flushes" } },
	{ 0 },
};

static const struct part of_card[] = {
	{ "receive_packets_total", "Packets to the guest.",
	  { "received", "frames" } },
	{ "receive_bytes_total", "Bytes to the guest.",
	  { "received", "bytes" } },
	{ "receive_drops_total", "Packets to the guest that were lost.",
	  { "received", "dropped" } },
	{ "receive_refused_total", "Packets that may not be sent to it.",
	  { "received", "refused" } },
	{ "transmit_packets_total", "Packets from the guest.",
	  { "sent", "frames" } },
	{ "transmit_bytes_total", "Bytes from the guest.",
	  { "sent", "bytes" } },
	{ "transmit_drops_total", "Packets from the guest that were lost.",
	  { "sent", "dropped" } },
	{ "transmit_refused_total", "Packets that it may not send.",
	  { "sent", "refused" } },
	{ 0 },
};

/* What there is of one kind, and how one is told from another. */
static const struct kind {
	const char *member, *prefix, *label;
	const struct part *parts;
} kinds[] = {
	{ "disks", "lodge_vm_disk", "path", of_disk },
	{ "nets", "lodge_vm_network", "mac", of_card },
};

/* Of a label, as the format has it. */
static void write_value(FILE *to, const char *text)
{
	for (; text && *text; text++)
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
}

static void write_part(FILE *to, const struct api_call *call,
		       const struct kind *kind, const struct part *part)
{
	const struct manager *manager = call->api->manager;

	fprintf(to, "# HELP %s_%s %s\n# TYPE %s_%s counter\n", kind->prefix,
		part->name, part->help, kind->prefix, part->name);
	for (size_t i = 0; i < manager->count; i++) {
		const struct vm *vm = manager->vm[i];
		const json_t *list = json_object_get(
			figures_of(call->figures, vm), kind->member);
		const json_t *one, *number;
		size_t n;

		json_array_foreach(list, n, one) {
			number = json_object_get(one, part->path[0]);
			if (part->path[1])
				number = json_object_get(number,
							 part->path[1]);
			fprintf(to, "%s_%s{vm=\"%s\",id=\"%s\","
				"number=\"%zu\",%s=\"", kind->prefix,
				part->name, vm->row.name, vm->row.id, n,
				kind->label);
			write_value(to, json_string_value(json_object_get(
						one, kind->label)));
			fprintf(to, "\"} %lld\n",
				(long long)json_integer_value(number));
		}
	}
}

static void write_parts(FILE *to, const struct api_call *call)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (const struct part *part = kinds[k].parts; part->name;
		     part++)
			write_part(to, call, &kinds[k], part);
}

/* --- all of it ------------------------------------------------------------------------ */

static void tell(struct api_call *call)
{
	const struct manager *manager = call->api->manager;
	struct process_use *use = calloc(manager->count + 1, sizeof(*use));
	struct problem problem;
	char *text = NULL;
	size_t size;
	FILE *to = use ? open_memstream(&text, &size) : NULL;

	if (!to) {
		free(use);
		problem_set(&problem, 500, "no-memory", "out of memory");
		api_refuse(call, &problem);
		return;
	}
	for (size_t i = 0; i < manager->count; i++)
		if (manager->vm[i]->process.pidfd >= 0)
			process_use(manager->vm[i]->process.pid, &use[i]);
	write_daemon(to, call->api);
	write_host(to);
	write_states(to, call);
	write_machines(to, call, use);
	write_parts(to, call);
	fclose(to);
	free(use);
	api_answer_text(call, TYPE, text);
}

static void get_metrics(struct api_call *call)
{
	api_wait_figures(call, NULL, tell);
}

const struct api_route api_metrics_routes[] = {
	{ "GET", "/metrics", ROLE_VIEWER, get_metrics },
	{ 0 },
};
