/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to a machine while it runs: wake-ups and deadlines of its event
 * loop, signals, keys of its console, the watchdog's bite.
 */
#include "vmm/machine_own.h"

#include <errno.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/linux/signals.h"
#include "vmm/runtime.h"
#include "vmm/sandbox/broker.h"

static void kick_all(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->vm->cpu_count; i++)
		machine->engine->kick(machine->vm->cpu[i]);
}

/* Any thread, perhaps with the device lock held. */
static void machine_asked(void *ctx, enum vm_request request)
{
	struct machine *machine = ctx;

	kick_all(machine);
	pause_release(&machine->pause);
	consoles_release(machine->consoles);
	loop_wake(machine->loop);
}

static void clock_rearm(void *ctx, uint64_t host_deadline_ns)
{
	struct machine *machine = ctx;

	loop_set_deadline(machine->loop, host_deadline_ns);
}

static void deadline_passed(void *ctx)
{
	struct machine *machine = ctx;

	clock_run(&machine->vm->clock);
}

void machine_watchdog_bites(void *ctx)
{
	static const char *const words[] = {
		[WATCHDOG_RESET] = "is reset",
		[WATCHDOG_POWER_OFF] = "is powered off",
		[WATCHDOG_PAUSE] = "is paused",
		[WATCHDOG_NONE] = "is left alone",
	};
	struct machine *machine = ctx;
	enum machine_watchdog action = machine->config->watchdog;

	host_log(HOST_LOG_WARN, "%s: its guest has not come to the watchdog "
		 "in time; it %s", machine->name, words[action]);
	if (action == WATCHDOG_RESET) {
		vm_ask(machine->vm, VM_RESET);
	} else if (action == WATCHDOG_POWER_OFF) {
		vm_ask(machine->vm, VM_POWER_OFF);
	} else if (action == WATCHDOG_PAUSE) {
		atomic_store(&machine->dog_pauses, true);
		loop_wake(machine->loop);
	}
}

static void loop_woken(void *ctx)
{
	struct machine *machine = ctx;

	if (atomic_load(&machine->vm->request) != VM_RUN)
		loop_stop(machine->loop);
	else
		consoles_woken(machine->consoles);
	hotplug_woken(machine->hotplug);
	stall_woken(&machine->stall);
	if (atomic_exchange(&machine->dog_pauses, false)) {
		pause_hold(&machine->pause, PAUSE_USER, true);
		machine->stall.watchdog = true;
	} else if (!(machine->pause.held & PAUSE_USER)) {
		machine->stall.watchdog = false;
	}
	control_woken(machine->control);
	if (machine->gdb)
		gdb_woken(gdb_socket_gdb(machine->gdb));
}

static void signal_came(void *ctx, uint32_t events)
{
	struct machine *machine = ctx;
	struct signalfd_siginfo info;

	if (read(machine->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		consoles_resized(machine->consoles);
	else
		vm_ask(machine->vm, VM_STOP);
}

/* Somebody else may find it by its control socket, and the console there. */
static void leave_terminal(struct machine *machine)
{
	char path[RUNTIME_PATH_MAX];
	struct vmm_error error;

	if (!machine->config->leave || !machine->control) {
		fprintf(stderr, "\nlodge: this machine cannot do without its "
				"terminal\n");
		return;
	}
	runtime_path(path, machine->name, "console");
	if (consoles_leave(machine->consoles, path, &error))
		fprintf(stderr, "\nlodge: %s\n", error.text);
	else
		machine->config->leave(machine->name);
}

static void console_key(void *ctx, enum key_action action)
{
	struct machine *machine = ctx;

	if (action == KEY_STOP)
		vm_ask(machine->vm, VM_STOP);
	else if (action == KEY_RESET)
		vm_ask(machine->vm, VM_RESET);
	else if (action == KEY_POWER)
		board_power_button(machine->board);
	else if (action == KEY_LEAVE)
		leave_terminal(machine);
}

static void console_failed(void *ctx)
{
	struct machine *machine = ctx;

	vm_ask(machine->vm, VM_FAIL);
}

static void console_full(void *ctx)
{
	kick_all(ctx);
}

const struct consoles_ops machine_console_ops = {
	.key = console_key,
	.failed = console_failed,
	.full = console_full,
};

/* Nobody could reach it any more, nor it anything: no run worth going on. */
void machine_broker_ended(void *ctx, uint32_t events)
{
	struct machine *machine = ctx;

	loop_remove(machine->loop, broker_process(machine->isolate.broker));
	if (!machine->error->text[0])
		vmm_error_set(machine->error, "%s: its broker was killed, "
			      "without which nobody reaches it; start it "
			      "again", machine->name);
	vm_ask(machine->vm, VM_FAIL);
}

/* SIGTERM and the like end the run in order, as a key would. */
static int watch_signals(struct machine *machine)
{
	static const int more[] = { SIGWINCH, 0 };

	machine->signals = signals_open(more, &machine->old_mask);
	if (machine->signals < 0)
		return machine->signals;
	return loop_add(machine->loop, machine->signals, LOOP_READ,
			signal_came, machine);
}

int machine_listen(struct machine *machine)
{
	struct vm *vm = machine->vm;
	int rc = loop_create(&machine->loop);

	if (rc)
		return rc;
	loop_on_deadline(machine->loop, deadline_passed, machine);
	loop_on_wake(machine->loop, loop_woken, machine);
	vm->clock.rearm = clock_rearm;
	vm->clock.rearm_ctx = machine;
	vm->asked = machine_asked;
	vm->asked_ctx = machine;
	return watch_signals(machine);
}

void machine_unlisten(struct machine *machine)
{
	if (machine->signals >= 0) {
		loop_remove(machine->loop, machine->signals);
		close(machine->signals);
		sigprocmask(SIG_SETMASK, &machine->old_mask, NULL);
	}
}
