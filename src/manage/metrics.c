/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: what lodged knows, for Prometheus (text format 0.0.4; names
 * as its conventions ask). The kernel is asked about processes when somebody
 * looks, and at no other time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/api_impl.h"
#include "manage/spec.h"
#include "manage/vm.h"

#define TYPE	    "text/plain; version=0.0.4; charset=utf-8"
#define DEFAULT_RAM (512u << 20) /* as lodge run; images have twice that */

/* What the kernel tells of a machine's process. */
struct usage {
	bool there, has_io;
	double cpu;
	unsigned long long resident, read, written;
};

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

static void read_usage(const struct vm *vm, struct usage *usage)
{
	unsigned long long user, kernel, pages;
	char path[64], text[1024];
	const char *rest;

	*usage = (struct usage){ 0 };
	if (vm->process.pidfd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)vm->process.pid);
	/* Behind the name, which may have anything in it: proc(5). */
	rest = read_file(path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
			    "%*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u "
			    "%llu", &user, &kernel, &pages) != 3)
		return;
	usage->there = true;
	usage->cpu = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
	usage->resident = pages * (unsigned long long)sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof(path), "/proc/%d/io", (int)vm->process.pid);
	usage->has_io = read_file(path, text, sizeof(text));
	usage->read = number_after(text, "\nread_bytes: ");
	usage->written = number_after(text, "\nwrite_bytes: ");
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

static double cpus_of(const struct vm *vm, const struct usage *usage)
{
	json_int_t cpus = json_integer_value(
		json_object_get(vm->config, "cpus"));

	return cpus ? (double)cpus : 1;
}

static double memory_of(const struct vm *vm, const struct usage *usage)
{
	json_int_t bytes = json_integer_value(
		json_object_get(vm->config, "memory"));

	if (bytes)
		return (double)bytes;
	return json_object_get(vm->config, "image") ? 2.0 * DEFAULT_RAM :
						      DEFAULT_RAM;
}

static double runs(const struct vm *vm, const struct usage *usage)
{
	return vm->state == VM_RUNNING;
}

static double restarts_of(const struct vm *vm, const struct usage *usage)
{
	return (double)vm->row.restarts;
}

static double started(const struct vm *vm, const struct usage *usage)
{
	return usage->there ? (double)vm->row.started : -1;
}

static double cpu_used(const struct vm *vm, const struct usage *usage)
{
	return usage->there ? usage->cpu : -1;
}

static double resident(const struct vm *vm, const struct usage *usage)
{
	return usage->there ? (double)usage->resident : -1;
}

static double bytes_read(const struct vm *vm, const struct usage *usage)
{
	return usage->has_io ? (double)usage->read : -1;
}

static double bytes_written(const struct vm *vm, const struct usage *usage)
{
	return usage->has_io ? (double)usage->written : -1;
}

/* One line a machine; a negative value is none. */
static const struct {
	const char *name, *type, *help;
	double (*value)(const struct vm *vm, const struct usage *usage);
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
	  "Processor time of its process.", cpu_used },
	{ "lodge_vm_resident_memory_bytes", "gauge",
	  "Memory of the host that its process has.", resident },
	{ "lodge_vm_read_bytes_total", "counter",
	  "Bytes that its process had from disks of the host.", bytes_read },
	{ "lodge_vm_written_bytes_total", "counter",
	  "Bytes that its process gave to disks of the host.",
	  bytes_written },
};

static void write_machines(FILE *to, const struct api_call *call,
			   const struct usage *usage)
{
	const struct manager *manager = call->api->manager;

	for (size_t m = 0; m < sizeof(of_machine) / sizeof(of_machine[0]);
	     m++) {
		head(to, of_machine[m].name, of_machine[m].type,
		     of_machine[m].help);
		for (size_t i = 0; i < manager->count; i++) {
			const struct vm *vm = manager->vm[i];
			double value = of_machine[m].value(vm, &usage[i]);

			if (value >= 0)
				fprintf(to, "%s{vm=\"%s\",id=\"%s\"} %.17g\n",
					of_machine[m].name, vm->row.name,
					vm->row.id, value);
		}
	}
}

static void get_metrics(struct api_call *call)
{
	const struct manager *manager = call->api->manager;
	struct usage *usage = calloc(manager->count + 1, sizeof(*usage));
	struct problem problem;
	char *text = NULL;
	size_t size;
	FILE *to = usage ? open_memstream(&text, &size) : NULL;

	if (!to) {
		free(usage);
		problem_set(&problem, 500, "no-memory", "out of memory");
		api_refuse(call, &problem);
		return;
	}
	for (size_t i = 0; i < manager->count; i++)
		read_usage(manager->vm[i], &usage[i]);
	write_daemon(to, call->api);
	write_host(to);
	write_states(to, call);
	write_machines(to, call, usage);
	fclose(to);
	free(usage);
	api_answer_text(call, TYPE, text);
}

const struct api_route api_metrics_routes[] = {
	{ "GET", "/metrics", ROLE_VIEWER, get_metrics },
	{ 0 },
};
