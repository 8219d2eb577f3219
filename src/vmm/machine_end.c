/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a machine's run ended: what is told, the report, the exit status.
 */
#include "vmm/machine_own.h"

#include <stdio.h>
#include <string.h>

#include "vmm/report.h"

#define NS_PER_S 1e9

/* How a run that ended by each request is told. */
static const struct ending {
	const char *reason;
	enum machine_status status;
} endings[] = {
	[VM_RUN] = { "failed", MACHINE_FAILED },
	[VM_POWER_OFF] = { "power-off", MACHINE_OK },
	[VM_RESET] = { "reset", MACHINE_OK },
	[VM_CRASH] = { "crash", MACHINE_CRASHED },
	[VM_STOP] = { "stopped", MACHINE_OK },
	[VM_FAIL] = { "failed", MACHINE_FAILED },
};

static void print_line(void *ctx, const char *text)
{
	fprintf(stderr, "  %s\n", text);
}

static void tell_crash(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->vm->cpu_count; i++) {
		struct x86_cpu *cpu = machine->vm->cpu[i];

		if (machine->cpu[i].exit.reason != ENGINE_CRASHED)
			continue;
		if (machine->engine->get_state(cpu))
			continue;
		fprintf(stderr, "lodge: processor %u at its triple fault:\n",
			i);
		x86_state_print(&cpu->state, print_line, NULL);
	}
	vmm_error_set(machine->error,
		      "%s crashed: triple fault (state above)",
		      machine->name);
}

static void tell_failure(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->vm->cpu_count; i++) {
		const struct engine_exit *exit = &machine->cpu[i].exit;

		if (exit->reason != ENGINE_FAILED || machine->error->text[0])
			continue;
		vmm_error_set(machine->error,
			      "engine %s failed on processor %u: %s%s%s",
			      machine->engine->name, i,
			      exit->what ? exit->what : "",
			      exit->what && exit->error ? ": " : "",
			      exit->error ? strerror(-exit->error) : "");
	}
}

static double seconds_since_start(const struct machine *machine, uint64_t ns)
{
	if (!ns)
		return -1;
	return (double)(ns - machine->config->process_start) / NS_PER_S;
}

static int write_report(struct machine *machine, const char *exit_reason)
{
	struct vm *vm = machine->vm;
	struct vmm_error other;
	struct report report = {
		.engine = machine->engine->name,
		.engine_reason = machine->engine_reason,
		.exit_reason = exit_reason,
		.seconds_to_first_instruction =
			seconds_since_start(machine, machine->first_run),
		.seconds = seconds_since_start(machine, host_monotonic_ns()),
		.guest_memory_touched = report_touched(&vm->memory.ram),
	};

	for (unsigned int i = 0; i < vm->cpu_count; i++) {
		struct engine_stats stats = { 0 };

		machine->engine->stats(vm->cpu[i], &stats);
		report_add_stats(&report.exits, &stats);
	}
	/* What ended it says more than that this cannot be told. */
	return report_write(&report, &machine->report,
			    *machine->error->text ? &other : machine->error);
}

int machine_finish(struct machine *machine, enum vm_request request)
{
	const char *reason = endings[request].reason;
	int status = endings[request].status;
	uint32_t code = atomic_load(&machine->vm->exit_code);

	/* Devices write to consoles from a thread of their own. */
	vm_quiesce_devices(machine->vm);
	if (request == VM_CRASH)
		consoles_tell_last(machine->consoles);
	/* Our lines come after the guest's, on a terminal given back. */
	consoles_close(machine->consoles);
	machine->consoles = NULL;
	if (request == VM_CRASH)
		tell_crash(machine);
	if (machine->gdb)
		gdb_ended(gdb_socket_gdb(machine->gdb), request == VM_CRASH,
			  status);
	if (request == VM_FAIL)
		tell_failure(machine);
	if (request == VM_POWER_OFF && machine->config->testdev && code) {
		reason = "debug-exit";
		status = (int)(code & 0xff);
	}
	if (machine->config->report && write_report(machine, reason) &&
	    !status)
		status = MACHINE_FAILED;
	if (profile_write(&machine->profile, machine->error) && !status)
		status = MACHINE_FAILED;
	return status;
}
