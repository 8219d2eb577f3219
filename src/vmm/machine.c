/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's run. Threads: the caller's runs the event loop (console,
 * timers, signals), and one more for each processor, which ends with each
 * request to the machine as a whole; a guest's reset starts them anew.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "board/board.h"
#include "host/linux/thread.h"
#include "vmm/control.h"
#include "vmm/disks.h"
#include "vmm/drives.h"
#include "vmm/guest_agent.h"
#include "vmm/hotplug.h"
#include "vmm/isolate.h"
#include "vmm/media.h"
#include "vmm/outfile.h"
#include "vmm/report.h"
#include "vmm/runtime.h"
#include "vmm/stall.h"
#include "vmm/vsock_unix.h"

#define NS_PER_S 1e9
#define PORTS	 2 /* slots of PCI Express, empty */

struct machine;

struct machine_cpu {
	struct machine *machine;
	struct x86_cpu *cpu;
	struct thread thread;
	struct engine_exit exit;
	struct sampler sampler;
};

struct machine {
	const struct machine_config *config;
	struct vmm_error *error;

	struct media media;
	const struct engine *engine;
	char engine_reason[200];
	struct control *control; /* NULL: none */
	struct hotplug *hotplug;
	struct drives drives;
	struct vsock_unix *vsock; /* NULL: none */
	struct guest_agent *agent;
	struct nets nets;
	struct shares shares;
	const char *name;
	struct consoles *consoles;
	struct loop *loop;
	struct board *board;
	struct vm *vm;

	int signals; /* signalfd, or -1 */
	sigset_t old_mask;
	struct profile profile;
	struct isolate isolate;
	struct pause pause;
	_Atomic bool dog_pauses; /* the watchdog wants it */
	struct stall stall;
	struct disks disks;
	struct gdb_socket *gdb; /* NULL: nobody debugs */
	struct vnc_server *vnc; /* NULL: no viewers */
	uint64_t first_run; /* host_monotonic_ns(), 0: not yet */
	struct machine_cpu cpu[VM_CPUS_MAX];
};

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

/* --- processors --------------------------------------------------------- */

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

/* --- the event loop's callbacks ----------------------------------------- */

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

/* Any thread; the device lock is held. */
static void watchdog_bites(void *ctx)
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

static const struct consoles_ops machine_console_ops = {
	.key = console_key,
	.failed = console_failed,
	.full = console_full,
};

/* --- setting up ---------------------------------------------------------- */

static int choose_engine(struct machine *machine)
{
	char *why = machine->engine_reason;

	const size_t size = sizeof(machine->engine_reason);
	const char *name = machine->config->engine;

	machine->engine = engine_choose(name, why, size);
	if (!machine->engine)
		return vmm_error_set(machine->error, "engine %s: %s", name,
				     why);
	return 0;
}

static int build_board(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct board_disk disk[BOARD_DISKS_MAX] = { 0 };
	struct board_nic nic[BOARD_NICS_MAX];
	struct board_share share[BOARD_SHARES_MAX];
	struct board_config board_config = {
		.name = machine->name,
		.cpus = config->cpus,
		.memory = config->memory,
		.testdev = config->testdev,
		.engine = machine->engine,
		.engine_cache = config->soft_cache,
		.display = config->display,
		.usb = config->usb,
		.watchdog = config->watchdog ? watchdog_bites : NULL,
		.watchdog_ctx = machine,
		.vga_rom = machine->media.rom.vga.data,
		.vga_rom_size = (uint32_t)machine->media.rom.vga.size,
		.firmware = config->firmware.kind == ROM_NONE ?
				    NULL :
				    &machine->media.rom.firmware,
		.serial = consoles_serial(machine->consoles),
		.console = consoles_ports(machine->consoles),
		.disk = disk,
		.disks = config->disk_count,
		.nic = nic,
		.nics = machine->nets.count,
		.share = share,
		.shares = machine->shares.count,
		.words = machine->shares.words,
		.word_count = machine->shares.count,
		.ports = PORTS,
		.vsock = machine->vsock ? vsock_unix_host(machine->vsock) :
					  NULL,
		.vsock_cid = config->vsock_cid,
		.let_go = hotplug_let_go,
		.let_go_ctx = machine->hotplug,
	};
	int rc;

	for (unsigned int i = 0; i < config->disk_count; i++)
		disk[i] = (struct board_disk){
			.block = machine->media.disk[i],
			.queues = config->disk[i].queues,
			.serial = config->disk[i].serial,
			.bus = config->disk[i].bus,
			.cd = config->disk[i].cd,
		};
	board_config.floppies = config->floppy_count;
	memcpy(board_config.floppy, machine->media.floppy, sizeof(machine->media.floppy));
	nets_cards(&machine->nets, nic);
	shares_devices(&machine->shares, share);
	rc = board_build(&board_config, &machine->board);

	if (rc == -ENOMEM)
		return vmm_error_set(machine->error,
				     "no memory for a machine of %llu MiB; "
				     "give it less with --memory",
				     (unsigned long long)config->memory >> 20);
	if (rc)
		return vmm_error_set(machine->error,
				     "cannot build the machine on engine %s: "
				     "%s", machine->engine->name,
				     strerror(-rc));
	machine->vm = board_vm(machine->board);
	drives_init(&machine->drives, &machine->media, machine->board);
	media_set_ram(&machine->media, &machine->vm->memory.ram);
	return 0;
}

/* Kernel and initrd into memory, and the processors to their start. */
static int load_guest(struct machine *machine)
{
	struct vm *vm = machine->vm;
	struct boot_error why = { "" };
	int rc = board_load(machine->board, &machine->media.boot, &why);

	if (rc && why.text[0])
		return vmm_error_set(machine->error, "kernel %s: %s",
				     machine->config->kernel, why.text);
	media_forget(&machine->media);
	for (unsigned int i = 0; i < vm->cpu_count && !rc; i++)
		rc = machine->engine->put_state(vm->cpu[i]);
	if (rc)
		return vmm_error_set(machine->error, "%s: cannot be loaded: %s",
				     machine->config->kernel ?
					     machine->config->kernel :
					     machine->media.rom.image.path,
				     strerror(-rc));
	return 0;
}

/* SIGTERM and the like end the run in order, as a key would. */
static int watch_signals(struct machine *machine)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, &machine->old_mask);
	machine->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (machine->signals < 0)
		return -errno;
	return loop_add(machine->loop, machine->signals, LOOP_READ,
			signal_came, machine);
}

/*
 * A name that was given is kept or the run does not start; without one, a
 * host that has no place for the socket can still run the machine.
 */
static int open_control(struct machine *machine)
{
	const struct machine_config *config = machine->config;

	machine->name = config->name;
	if (!control_open(&machine->control, config->name, config->any_name,
			  machine->error)) {
		machine->name = control_name(machine->control);
		return 0;
	}
	if (!config->any_name)
		return -1;
	host_log(HOST_LOG_WARN, "%s", machine->error->text);
	machine->error->text[0] = '\0';
	return 0;
}

static int open_vsock(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	char path[RUNTIME_PATH_MAX];
	const char *where = path;

	if (!config->vsock_cid)
		return 0;
	runtime_path(path, machine->name, "vsock");
	if (config->vsock_path)
		where = config->vsock_path;
	else if (!config->vsock_listens)
		where = NULL;
	return vsock_unix_open(&machine->vsock, where, machine->error);
}

/* The guest's clock has stood still. */
static void let_go(void *ctx)
{
	struct machine *machine = ctx;

	guest_agent_set_time(machine->agent);
}

static int start_agent(struct machine *machine)
{
	int rc = guest_agent_open(&machine->agent, machine->loop,
				  machine->vsock);

	if (!rc) {
		machine->pause.let_go = let_go;
		machine->pause.let_go_ctx = machine;
	}
	return rc;
}

static int start_control(struct machine *machine)
{
	const struct control_target target = {
		.board = machine->board,
		.hotplug = machine->hotplug,
		.drives = &machine->drives,
		.stall = &machine->stall,
		.pause = &machine->pause,
		.disks = &machine->disks,
		.nets = &machine->nets,
		.shares = &machine->shares,
		.vsock = machine->vsock,
		.agent = machine->agent,
		.engine = machine->engine->name,
		.account = machine->config->account,
		.memory = machine->config->memory,
		.identity = machine->config->identity,
		.start = machine->config->process_start,
	};

	return machine->control ? control_start(machine->control,
						machine->loop, &target) :
				  0;
}

static int start_gdb(struct machine *machine)
{
	const struct engine *engine = machine->engine;
	static const struct x86_debug nothing;
	char why[120];

	if (engine->debug_check &&
	    engine->debug_check(machine->vm->cpu[0], &nothing, why,
				sizeof(why)))
		return vmm_error_set(machine->error,
				     "engine %s: %s; give --engine soft with "
				     "--gdb", engine->name, why);
	gdb_set_machine(gdb_socket_gdb(machine->gdb), machine->vm, engine,
			&machine->pause);
	return gdb_socket_start(machine->gdb, machine->loop, machine->error);
}

static int set_up_loop(struct machine *machine)
{
	struct vm *vm = machine->vm;
	int rc = loop_create(&machine->loop);

	machine->stall = (struct stall){
		.name = machine->name,
		.media = &machine->media,
		.hotplug = machine->hotplug,
		.drives = &machine->drives,
		.pause = &machine->pause,
		.loop = machine->loop,
	};
	stall_watch(&machine->stall);
	machine->disks = (struct disks){ .media = &machine->media,
					 .hotplug = machine->hotplug };
	hotplug_on_close(machine->hotplug, disks_forget, &machine->disks);
	if (!rc) {
		loop_on_deadline(machine->loop, deadline_passed, machine);
		loop_on_wake(machine->loop, loop_woken, machine);
		vm->clock.rearm = clock_rearm;
		vm->clock.rearm_ctx = machine;
		vm->asked = machine_asked;
		vm->asked_ctx = machine;
		rc = watch_signals(machine);
	}
	if (!rc)
		rc = hotplug_start(machine->hotplug, machine->loop,
				   machine->board);
	if (!rc && machine->vsock)
		rc = vsock_unix_start(machine->vsock, machine->loop,
				      board_vsock(machine->board));
	if (!rc)
		rc = start_agent(machine);
	if (!rc)
		rc = start_control(machine);
	if (rc)
		return vmm_error_set(machine->error, "event loop: %s",
				     strerror(-rc));
	if (consoles_start(machine->consoles, machine->loop, machine->board,
			   &machine_console_ops, machine))
		return -1;
	if (machine->vnc &&
	    vnc_server_start(machine->vnc, machine->loop, machine->board,
			     machine->name, machine->error))
		return -1;
	return machine->gdb ? start_gdb(machine) : 0;
}

static int set_up(struct machine *machine)
{
	const struct machine_config *config = machine->config;

	if (config->report &&
	    outfile_check("report", config->report, machine->error))
		return -1;
	if (config->gdb.where &&
	    gdb_socket_open(&machine->gdb, config->gdb.where, machine->error))
		return -1;
	if (config->gdb.wait)
		pause_ask(&machine->pause);
	if (config->vnc.where &&
	    vnc_server_open(&machine->vnc, &config->vnc, machine->error))
		return -1;
	machine->nets.guarded = config->sandbox;
	if (open_control(machine) || open_vsock(machine) ||
	    shares_open(&machine->shares, config->share, config->shares,
			config->cpus, machine->error) ||
	    nets_open(&machine->nets, config->net, config->nets, machine->name,
		      machine->error) ||
	    media_open(&machine->media, config, machine->error) ||
	    choose_engine(machine) ||
	    profile_open(&machine->profile, &config->profile, machine->engine,
			 config->kernel, machine->error))
		return -1;
	if (consoles_open(&machine->consoles, &config->serial, config->port,
			  config->ports, machine->error))
		return -1;
	if (build_board(machine) || load_guest(machine) ||
	    profile_start(&machine->profile, machine->vm, machine->error))
		return -1;
	return set_up_loop(machine);
}

/* The guest's code runs in a process that can do little. */
static int isolate(struct machine *machine)
{
	const struct isolate_machine own = {
		.name = machine->name,
		.nets = &machine->nets,
		.media = &machine->media,
		.control = machine->control ?
				   control_socket(machine->control) :
				   -1,
		.kvm = !strcmp(machine->engine->name, "kvm"),
	};

	return isolate_enter(&machine->isolate, machine->config, &own,
			     machine->error);
}

/* --- running ------------------------------------------------------------- */

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
	return load_guest(machine);
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

/* --- the end -------------------------------------------------------------- */

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
	return report_write(&report, machine->config->report, machine->error);
}

/* After the run; `request` ended it. The exit status. */
static int finish(struct machine *machine, enum vm_request request)
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

static void tear_down(struct machine *machine)
{
	consoles_close(machine->consoles);
	control_close(machine->control);
	guest_agent_close(machine->agent);
	if (machine->signals >= 0) {
		loop_remove(machine->loop, machine->signals);
		close(machine->signals);
		sigprocmask(SIG_SETMASK, &machine->old_mask, NULL);
	}
	profile_close(&machine->profile);
	gdb_socket_close(machine->gdb);
	vnc_server_close(machine->vnc);
	pause_fini(&machine->pause);
	if (machine->board)
		board_destroy(machine->board);
	disks_forget(&machine->disks, NULL);
	free(machine->disks.target);
	hotplug_close(machine->hotplug);
	drives_fini(&machine->drives);
	vsock_unix_close(machine->vsock);
	nets_close(&machine->nets);
	shares_close(&machine->shares);
	loop_destroy(machine->loop);
	media_close(&machine->media);
	isolate_end(&machine->isolate);
	free(machine);
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
		   !set_up(machine) && !isolate(machine)) {
		consoles_greet(machine->consoles);
		status = finish(machine, run(machine));
	}
	tear_down(machine);
	return status;
}
