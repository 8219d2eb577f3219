/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's run. Threads: the caller's runs the event loop (console,
 * timers, signals), and one more for each processor, which ends with each
 * request to the machine as a whole; a guest's reset starts them anew.
 */
#include "vmm/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine_own.h"

/* Nobody goes on before the debugger has been told. */
static void stop_for_gdb(struct machine_cpu *own)
{
	struct machine *machine = own->machine;

	gdb_stopped(gdb_socket_gdb(machine->gdb), own->cpu->id, &own->exit);
	loop_wake(machine->loop);
}

static void cpu_thread(void *ctx)
{
	struct machine_cpu *own = ctx;
	struct machine *machine = own->machine;
	struct vm *vm = machine->vm;

	if (!own->cpu->id && !machine->first_run)
		machine->first_run = host_monotonic_ns();
	profile_enter(&machine->profile, &own->sampler, own->cpu);
	while (atomic_load(&vm->request) == VM_RUN) {
		if (!pause_enter(&machine->pause, own->cpu->id))
			break;
		machine->engine->run(own->cpu, &own->exit);
		if (own->exit.reason == ENGINE_DEBUG)
			stop_for_gdb(own);
		pause_leave(&machine->pause, own->cpu->id);
		if (own->exit.reason == ENGINE_CRASHED)
			vm_ask(vm, VM_CRASH);
		if (own->exit.reason == ENGINE_FAILED)
			vm_ask(vm, VM_FAIL);
		/* Before `request` is read again: no kick is lost. */
		atomic_fetch_and(&own->cpu->request, ~X86_REQ_KICK);
		consoles_wait_room(machine->consoles);
	}
	profile_leave(&machine->profile, &own->sampler);
}

static int start_cpus(struct machine *machine)
{
	int rc = 0;

	for (unsigned int i = 0; i < machine->vm->cpu_count && !rc; i++) {
		struct machine_cpu *own = &machine->cpu[i];
		char name[16];

		own->machine = machine;
		own->cpu = machine->vm->cpu[i];
		snprintf(name, sizeof(name), "vcpu-%u", i);
		rc = thread_start(&own->thread, name, cpu_thread, own);
	}
	return rc;
}

static void join_cpus(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->vm->cpu_count; i++)
		thread_join(&machine->cpu[i].thread);
}

/* From a start or reset to the next request. */
static enum vm_request run_once(struct machine *machine)
{
	struct vm *vm = machine->vm;
	int rc;

	pause_begin(&machine->pause, vm, machine->engine);
	stall_begin(&machine->stall);
	vm_resume_devices(vm);
	rc = start_cpus(machine);
	if (!rc)
		rc = loop_run(machine->loop);
	if (rc) {
		vmm_error_set(machine->error, "cannot run processors: %s",
			      strerror(-rc));
		vm_ask(vm, VM_FAIL);
	}
	stall_end(&machine->stall);
	join_cpus(machine);
	pause_finish(&machine->pause);
	return atomic_load(&vm->request);
}

static int restart(struct machine *machine)
{
	if (media_check(&machine->media, machine->error))
		return -1;
	atomic_store(&machine->vm->request, VM_RUN);
	atomic_store(&machine->vm->exit_code, 0);
	consoles_hold(machine->consoles);
	board_reset(machine->board);
	return machine_load(machine);
}

static enum vm_request run(struct machine *machine)
{
	enum vm_request request;

	for (;;) {
		request = run_once(machine);
		if (request != VM_RESET || !machine->config->reboot)
			return request;
		if (restart(machine))
			return VM_FAIL;
	}
}

int machine_run(const struct machine_config *config, struct vmm_error *error)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	int status = MACHINE_FAILED;

	error->text[0] = '\0';
	if (!machine) {
		vmm_error_set(error, "out of memory");
		return status;
	}
	machine->config = config;
	machine->error = error;
	machine->signals = -1;
	machine->hotplug = hotplug_create();
	pause_init(&machine->pause);
	if (!machine->hotplug) {
		vmm_error_set(error, "out of memory");
	} else if (!isolate_begin(&machine->isolate, config, error) &&
		   !machine_set_up(machine) &&
		   !machine_isolate(machine)) {
		consoles_greet(machine->consoles);
		status = machine_finish(machine, run(machine));
	}
	machine_tear_down(machine);
	return status;
}
