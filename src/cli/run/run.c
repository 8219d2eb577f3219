/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run: one machine in the foreground.
 */
#include "cli/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/run/guest.h"
#include "engine/engine.h"
#include "vmm/vsock_unix.h"

#define MEMORY_DEFAULT ((uint64_t)512 << 20)

/* From the whole machine's size to that of each processor. */
static int check_cache(struct run *run)
{
	unsigned int cpus = run->machine.cpus;
	uint64_t each = run->machine.soft_cache / cpus;

	if (!run->soft_cache)
		return 0;
	if (each < ENGINE_CACHE_MIN || each > ENGINE_CACHE_MAX) {
		cli_error("run: --soft-cache %s: too %s for %u processor%s; "
			  "give %uM to %uG", run->soft_cache,
			  each < ENGINE_CACHE_MIN ? "little" : "much", cpus,
			  cpus > 1 ? "s" : "",
			  (unsigned int)(ENGINE_CACHE_MIN >> 20) * cpus,
			  (unsigned int)(ENGINE_CACHE_MAX >> 30) * cpus);
		return -1;
	}
	run->machine.soft_cache = each;
	return 0;
}

/* Firmware and what goes with it; 1: the options do not fit together. */
static int check_firmware(struct machine_config *machine)
{
	struct rom_config *rom = &machine->firmware;

	rom->serial_console = machine->serial.kind != CONSOLE_NONE;
	if (rom->vars && rom->kind != ROM_UEFI)
		cli_error("run: --uefi-vars %s: goes with --firmware uefi",
			  rom->vars);
	else if (rom->boot_menu && rom->kind == ROM_NONE)
		cli_error("run: --boot-menu: goes with --firmware bios or "
			  "uefi");
	else if (rom->kind != ROM_NONE && machine->kernel)
		cli_error("run: --kernel %s: is for --firmware none; firmware "
			  "boots from a medium", machine->kernel);
	else
		return 0;
	return 1;
}

/* CDs behind the disks; 1: more drives than a controller has ports. */
static int add_cds(struct run *run)
{
	struct machine_config *machine = &run->machine;
	unsigned int sata = 0, ide = 0;

	for (unsigned int i = 0; i < run->cds; i++)
		run->disk[machine->disk_count++] = run->cd[i];
	for (unsigned int i = 0; i < machine->disk_count; i++) {
		sata += run->disk[i].bus == BOARD_AHCI;
		ide += run->disk[i].bus == BOARD_IDE;
	}
	if (sata <= CLI_SATA_MAX && ide <= CLI_IDE_MAX)
		return 0;
	cli_error("run: %u %s disks and CDs; there is room for %d, put disks "
		  "on bus=virtio", sata > CLI_SATA_MAX ? sata : ide,
		  sata > CLI_SATA_MAX ? "SATA" : "IDE",
		  sata > CLI_SATA_MAX ? CLI_SATA_MAX : CLI_IDE_MAX);
	return 1;
}

/* One console at most on our terminal; it has that of the serial one. */
static int check_consoles(struct run *run)
{
	struct machine_config *machine = &run->machine;
	unsigned int on_stdio = 0;

	machine->port = run->port;
	for (unsigned int i = 0; i < machine->ports; i++)
		on_stdio += run->port[i].outside.kind == CONSOLE_STDIO;
	if (on_stdio && !run->serial)
		machine->serial.kind = CONSOLE_NONE;
	if (on_stdio + (machine->serial.kind == CONSOLE_STDIO) <= 1)
		return 0;
	cli_error("run: two consoles on stdio; give one of them a place of "
		  "its own");
	return 1;
}

/* What is not told: the default guest, or the default command line. */
static int complete(struct run *run, struct guest *guest, char *append,
		    size_t size)
{
	struct machine_config *machine = &run->machine;
	/* On our terminal the guest is to talk where we look. */
	bool on_hvc0 = machine->ports &&
		       run->port[0].outside.kind == CONSOLE_STDIO;
	const char *hvc0 = on_hvc0 ? " console=hvc0" : "";

	if (!machine->memory)
		machine->memory = MEMORY_DEFAULT;
	machine->module = run->module;
	machine->disk = run->disk;
	machine->share = run->shares.share;
	machine->shares = run->shares.count;
	machine->floppy = run->floppy;
	machine->display = run->display.given ?
				   run->display.adapter :
				   machine->firmware.kind != ROM_NONE;
	machine->vnc = run->display.vnc;
	if (!machine->vsock_cid && !run->no_agent)
		machine->vsock_cid = VSOCK_CID_MIN;
	machine->usb = !run->no_usb && (run->usb || machine->vnc.where);
	if (machine->firmware.kind != ROM_NONE)
		return 0;
	machine->append = append;
	if (machine->kernel) {
		snprintf(append, size, "console=ttyS0%s", hvc0);
		if (run->append)
			machine->append = run->append;
		return 0;
	}
	if (!run->image.name && guest_find(guest))
		return -1;
	machine->kernel = run->image.name ? run->image.kernel : guest->kernel;
	if (!machine->initrd)
		machine->initrd = run->image.name ? run_image_initrd(
							    &run->image) :
						    guest->initrd;
	if ((size_t)snprintf(append, size, "%s%s%s%s%s%s", guest_append, hvc0,
			     run->image.name ? " " : "",
			     run->image.image.record.append,
			     run->append ? " " : "",
			     run->append ? run->append : "") >= size) {
		cli_error("run: --append: too long; the command line may have "
			  "%zu characters", size - 1);
		return -1;
	}
	return 0;
}

/*
 * Firmware with nothing to boot from would look for it in a network, for
 * minutes, before it asks anybody.
 */
static int complete_nets(struct run *run)
{
	struct machine_config *machine = &run->machine;

	if (net_complete(&run->nets, machine->firmware.kind == ROM_NONE ||
					     machine->disk_count ||
					     machine->floppy_count ||
					     run->image.name))
		return 1;
	machine->net = run->nets.net;
	machine->nets = run->nets.count;
	return 0;
}

/* The words: one image at most. 1 after cli_error(). */
static int check_image(struct run *run, int words, char **word)
{
	const char *stray;

	if (words)
		run->image.name = word[0];
	run->image.ephemeral |= run->rm && words;
	stray = run_image_stray(&run->image);
	if (stray)
		cli_error("run: --%s: goes with an image: lodge run IMAGE",
			  stray);
	else if (words && run->machine.disk_count + run->cds + 2 >
				  BOARD_DISKS_MAX)
		cli_error("run: an image and %u disks and CDs; there is room "
			  "for %d", run->machine.disk_count + run->cds,
			  BOARD_DISKS_MAX - 2);
	else
		return 0;
	return 1;
}

static void limit_disks(struct run *run)
{
	for (unsigned int i = 0; i < run->machine.disk_count; i++) {
		struct disk_limits *limits = &run->disk[i].limits;

		if (!limits->iops && !limits->bps && !limits->burst_ms)
			*limits = run->each_disk;
	}
}

/* A person is there, whose shell waits for us. */
static bool on_terminal(const struct run *run)
{
	bool console = run->machine.serial.kind == CONSOLE_STDIO;

	for (unsigned int i = 0; i < run->machine.ports; i++)
		console |= run->port[i].outside.kind == CONSOLE_STDIO;
	return console && isatty(STDIN_FILENO);
}

/* Whether an option is there, with a value or without. */
static bool is_given(int argc, char **argv, const char *option)
{
	size_t length = strlen(option);

	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
		if (!strncmp(argv[i], option, length) &&
		    (!argv[i][length] || argv[i][length] == '='))
			return true;
	return false;
}

/* The options, then the machine; the exit status. */
static int run_with(const struct command_context *context, struct run *run,
		    int argc, char **argv)
{
	struct guest guest;
	struct vmm_error error;
	char append[2048];
	int status, words;

	status = command_take(NULL, &command_run, argc, argv, run, &words);
	if (status >= 0)
		return status;
	if (check_image(run, words, argv))
		return MACHINE_USAGE;
	if (check_cache(run) || check_consoles(run))
		return MACHINE_USAGE;
	if (add_cds(run) || check_firmware(&run->machine) ||
	    complete_nets(run))
		return MACHINE_USAGE;
	if (run->machine.gdb.wait && !run->machine.gdb.where) {
		cli_error("run: --gdb-wait: goes with --gdb");
		return MACHINE_USAGE;
	}
	run->image.no_agent = run->no_agent;
	if (context->split && on_terminal(run)) {
		status = context->split(&run->machine);
		if (status >= 0)
			return status;
	}
	if (run->image.name &&
	    run_image_open(&run->image, &run->machine, run->disk))
		return MACHINE_FAILED;
	limit_disks(run);
	if (run->machine.moves)
		moves_open(&run->moves, &run->machine, run->disk);
	if (complete(run, &guest, append, sizeof(append)))
		return MACHINE_FAILED;
	run_image_greet(&run->image);
	status = machine_run(&run->machine, &error);
	if (error.text[0])
		cli_error("%s", error.text);
	return status;
}

static void free_port(struct machine_port *port)
{
	free((char *)port->name);
	free((char *)port->outside.path);
}

/* Words that were copied to be cut; CDs among the disks are in `cd` too. */
static void free_words(struct run *run)
{
	for (unsigned int i = 0; i < run->machine.disk_count; i++)
		if (!run->disk[i].cd)
			free((char *)run->disk[i].path);
	for (unsigned int i = 0; i < run->cds; i++)
		free((char *)run->cd[i].path);
	for (unsigned int i = 0; i < run->machine.floppy_count; i++)
		free((char *)run->floppy[i].path);
	for (unsigned int i = 0; i < MACHINE_PORTS_MAX; i++)
		free_port(&run->port[i]);
	free((char *)run->machine.serial.path);
	net_free(&run->nets);
	share_free(&run->shares);
}

int run_run(const struct command_context *context, int argc, char **argv)
{
	struct run run = {
		.machine = {
			.name = "lodge",
			.any_name = true,
			.cpus = 1,
			.engine = "auto",
			.serial.kind = CONSOLE_STDIO,
			.reboot = true,
			.sandbox = context->sandbox,
			.process_start = context->process_start,
		},
	};
	int status;

	if (context->detached && is_given(argc, argv, "--detach"))
		return context->detached(argc, argv);
	if (context->driven && is_given(argc, argv, "--api-sock"))
		return context->driven(argc, argv);
	status = run_with(context, &run, argc, argv);

	run_image_close(&run.image);
	moves_close(&run.moves);
	free_words(&run);
	return status;
}
