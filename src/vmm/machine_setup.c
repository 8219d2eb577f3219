/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine is made of its configuration, and taken apart. What can fail
 * for a wrong word or a missing file comes before what costs something.
 */
#include "vmm/machine_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/runtime.h"
#include "vmm/sandbox/broker.h"

#define PORTS 2 /* slots of PCI Express, empty */

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

static void describe_disks(const struct machine *machine,
			   struct board_disk *disk)
{
	const struct machine_config *config = machine->config;

	for (unsigned int i = 0; i < config->disk_count; i++)
		disk[i] = (struct board_disk){
			.block = machine->media.disk[i],
			.queues = config->disk[i].queues,
			.serial = config->disk[i].serial,
			.bus = config->disk[i].bus,
			.cd = config->disk[i].cd,
		};
}

static int not_built(struct machine *machine, int rc)
{
	if (rc == -ENOMEM)
		return vmm_error_set(
			machine->error,
			"no memory for a machine of %llu MiB; give it less "
			"with --memory",
			(unsigned long long)machine->config->memory >> 20);
	return vmm_error_set(machine->error,
			     "cannot build the machine on engine %s: %s",
			     machine->engine->name, strerror(-rc));
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
		.watchdog = config->watchdog ? machine_watchdog_bites : NULL,
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

	describe_disks(machine, disk);
	board_config.floppies = config->floppy_count;
	memcpy(board_config.floppy, machine->media.floppy,
	       sizeof(machine->media.floppy));
	nets_cards(&machine->nets, nic);
	shares_devices(&machine->shares, share);
	rc = board_build(&board_config, &machine->board);
	if (rc)
		return not_built(machine, rc);
	machine->vm = board_vm(machine->board);
	machine->vm->idle = nets_idle(&machine->nets);
	drives_init(&machine->drives, &machine->media, machine->board);
	media_set_ram(&machine->media, &machine->vm->memory.ram);
	return 0;
}

int machine_load(struct machine *machine)
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
	int rc = machine_listen(machine);

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

int machine_set_up(struct machine *machine)
{
	const struct machine_config *config = machine->config;

	if (config->report &&
	    outfile_open(&machine->report, "report", config->report,
			 machine->error))
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
	if (build_board(machine) || machine_load(machine) ||
	    profile_start(&machine->profile, machine->vm, machine->error))
		return -1;
	return set_up_loop(machine);
}

int machine_isolate(struct machine *machine)
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

	if (isolate_enter(&machine->isolate, machine->config, &own,
			  machine->error))
		return -1;
	if (!machine->isolate.broker ||
	    !loop_add(machine->loop, broker_process(machine->isolate.broker),
		      LOOP_READ, machine_broker_ended, machine))
		return 0;
	return vmm_error_set(machine->error, "sandbox: its broker cannot be "
			     "watched");
}

void machine_tear_down(struct machine *machine)
{
	consoles_close(machine->consoles);
	control_close(machine->control);
	guest_agent_close(machine->agent);
	machine_unlisten(machine);
	profile_close(&machine->profile);
	outfile_close(&machine->report);
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
