/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run as a table, and its options each by itself; what fits together is
 * run.c's.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/run/console.h"
#include "cli/run/limits.h"
#include "cli/run/run.h"
#include "host/linux/log.h"
#include "vm/memory.h"
#include "vm/vm.h"
#include "vmm/runtime.h"
#include "vmm/vsock_unix.h"

#define MIB	   ((uint64_t)1 << 20)
#define MEMORY_MIN (4 * MIB)

static int take_kernel(void *config, const char *value)
{
	((struct run *)config)->machine.kernel = value;
	return 0;
}

static int take_initrd(void *config, const char *value)
{
	((struct run *)config)->machine.initrd = value;
	return 0;
}

static int take_append(void *config, const char *value)
{
	((struct run *)config)->append = value;
	return 0;
}

static int take_firmware(void *config, const char *value)
{
	struct rom_config *rom = &((struct run *)config)->machine.firmware;

	if (!strcmp(value, "none")) {
		rom->kind = ROM_NONE;
	} else if (!strcmp(value, "bios")) {
		rom->kind = ROM_BIOS;
	} else if (!strcmp(value, "uefi")) {
		rom->kind = ROM_UEFI;
	} else if (strchr(value, '/')) {
		rom->kind = ROM_FILE;
		rom->path = value;
	} else {
		cli_error("run: --firmware %s: give none, bios, uefi or the "
			  "path of an image", value);
		return -1;
	}
	return 0;
}

static int take_uefi_vars(void *config, const char *value)
{
	((struct run *)config)->machine.firmware.vars = value;
	return 0;
}

static int take_boot_menu(void *config, const char *value)
{
	((struct run *)config)->machine.firmware.boot_menu = true;
	return 0;
}

static int take_cloud_init(void *config, const char *value)
{
	return run_image_take_cloud_init(&((struct run *)config)->image,
					 value);
}

static int take_user(void *config, const char *value)
{
	return run_image_take_user(&((struct run *)config)->image, value);
}

static int take_ssh_key(void *config, const char *value)
{
	return run_image_take_key(&((struct run *)config)->image, value);
}

static int take_disk_size(void *config, const char *value)
{
	return run_image_take_size(&((struct run *)config)->image, value);
}

static int take_ephemeral(void *config, const char *value)
{
	((struct run *)config)->image.ephemeral = true;
	return 0;
}

/* Without an image nothing is kept anyhow. */
static int take_rm(void *config, const char *value)
{
	((struct run *)config)->rm = true;
	return 0;
}

/* The program's main function has seen it; lodge-vm has no other process. */
static int take_api_sock(void *config, const char *value)
{
	cli_error("run: --api-sock: is not for lodge-vm");
	return -1;
}

static int take_detach(void *config, const char *value)
{
	cli_error("run: --detach: is for the program lodge");
	return -1;
}

static int take_module(void *config, const char *value)
{
	struct run *run = config;

	if (run->machine.module_count == RUN_MODULES_MAX) {
		cli_error("run: more than %d modules", RUN_MODULES_MAX);
		return -1;
	}
	run->module[run->machine.module_count++] = value;
	return 0;
}

static int take_disk(void *config, const char *value)
{
	struct run *run = config;

	if (run->machine.disk_count == CLI_DISKS_MAX) {
		cli_error("run: more than %d disks", CLI_DISKS_MAX);
		return -1;
	}
	return disk_parse("run: --disk", value,
			  &run->disk[run->machine.disk_count++], NULL);
}

static int take_cdrom(void *config, const char *value)
{
	struct run *run = config;

	if (run->cds == CLI_CDS_MAX) {
		cli_error("run: more than %d CDs", CLI_CDS_MAX);
		return -1;
	}
	return cdrom_parse(value, &run->cd[run->cds++]);
}

static int take_floppy(void *config, const char *value)
{
	struct run *run = config;

	if (run->machine.floppy_count == CLI_FLOPPIES_MAX) {
		cli_error("run: more than %d floppy disks", CLI_FLOPPIES_MAX);
		return -1;
	}
	return floppy_parse("run: --floppy", value,
			    &run->floppy[run->machine.floppy_count++]);
}

static int take_cpus(void *config, const char *value)
{
	struct run *run = config;
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno || !n ||
	    n > VM_CPUS_MAX) {
		cli_error("run: --cpus %s: give a number from 1 to %d", value,
			  VM_CPUS_MAX);
		return -1;
	}
	run->machine.cpus = (unsigned int)n;
	return 0;
}

static int take_memory(void *config, const char *value)
{
	struct run *run = config;
	uint64_t bytes;

	if (!cli_parse_size(value, &bytes)) {
		cli_error("run: --memory %s: give a size such as 512M or 2G",
			  value);
		return -1;
	}
	if (bytes < MEMORY_MIN || bytes > MEMORY_SIZE_MAX) {
		cli_error("run: --memory %s: too %s; give 4M to 1T", value,
			  bytes < MEMORY_MIN ? "little" : "much");
		return -1;
	}
	run->machine.memory = bytes;
	return 0;
}

static int take_engine(void *config, const char *value)
{
	static const char *const names[] = { "auto", "kvm", "soft" };
	struct run *run = config;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(value, names[i])) {
			run->machine.engine = names[i];
			return 0;
		}
	}
	cli_error("run: --engine %s: give auto, kvm or soft", value);
	return -1;
}

/* Checked by check_cache(): what fits depends on --cpus. */
static int take_each_disk(void *config, const char *name, const char *value)
{
	struct run *run = config;
	char word[64];

	snprintf(word, sizeof(word), "%s%.40s", name, value);
	return limits_take("run: of each disk", &run->each_disk, word) ? -1 : 0;
}

static int take_disk_bps(void *config, const char *value)
{
	return take_each_disk(config, "bps=", value);
}

static int take_disk_iops(void *config, const char *value)
{
	return take_each_disk(config, "iops=", value);
}

static int take_soft_cache(void *config, const char *value)
{
	struct run *run = config;

	if (!cli_parse_size(value, &run->machine.soft_cache)) {
		cli_error("run: --soft-cache %s: give a size such as 8M or 1G",
			  value);
		return -1;
	}
	run->soft_cache = value;
	return 0;
}

static int take_name(void *config, const char *value)
{
	struct run *run = config;

	if (!runtime_name_valid(value)) {
		cli_error("run: --name %s: give 1 to %d letters, digits and "
			  "- _ . with no . or - first", value, RUNTIME_NAME_MAX);
		return -1;
	}
	run->machine.any_name = false;
	run->machine.name = value;
	return 0;
}

static int take_display(void *config, const char *value)
{
	return display_parse(value, &((struct run *)config)->display);
}

static int take_watchdog(void *config, const char *value)
{
	static const char *const words[] = {
		[WATCHDOG_RESET] = "reset",
		[WATCHDOG_POWER_OFF] = "poweroff",
		[WATCHDOG_PAUSE] = "pause",
		[WATCHDOG_NONE] = "none",
	};

	for (unsigned int i = WATCHDOG_RESET; i <= WATCHDOG_NONE; i++)
		if (!strcmp(words[i], value)) {
			((struct run *)config)->machine.watchdog =
				(enum machine_watchdog)i;
			return 0;
		}
	cli_error("run: --watchdog %s: give reset, poweroff, pause or none",
		  value);
	return -1;
}

static int take_usb(void *config, const char *value)
{
	((struct run *)config)->usb = true;
	return 0;
}

static int take_no_usb(void *config, const char *value)
{
	((struct run *)config)->no_usb = true;
	return 0;
}

static int take_serial(void *config, const char *value)
{
	struct run *run = config;

	run->serial = true;
	return console_parse("--serial", value, &run->machine.serial);
}

static int take_console(void *config, const char *value)
{
	struct run *run = config;
	struct machine_port *port = &run->port[run->machine.ports];

	if (run->machine.ports == MACHINE_PORTS_MAX) {
		cli_error("run: more than %d consoles", MACHINE_PORTS_MAX);
		return -1;
	}
	if (console_parse_port(value, port))
		return -1;
	for (unsigned int i = 0; i < run->machine.ports; i++) {
		if (strcmp(run->port[i].name, port->name))
			continue;
		cli_error("run: --console %s: two have that name", value);
		return -1;
	}
	run->machine.ports++;
	return 0;
}

static int take_vsock(void *config, const char *value)
{
	struct run *run = config;
	char *end;
	unsigned long long cid = strtoull(value, &end, 10);

	if (!isdigit((unsigned char)*value) || cid < VSOCK_CID_MIN ||
	    cid > VSOCK_CID_MAX ||
	    (*end && strncmp(end, ",path=", 6)) || (*end && !end[6])) {
		cli_error("run: --vsock %s: give CID[,path=PATH], a CID from "
			  "%d to %u", value, VSOCK_CID_MIN, VSOCK_CID_MAX);
		return -1;
	}
	run->machine.vsock_cid = (uint32_t)cid;
	run->machine.vsock_listens = true;
	run->machine.vsock_path = *end ? end + 6 : NULL;
	return 0;
}

static int take_net(void *config, const char *value)
{
	return net_take(&((struct run *)config)->nets, value);
}

static int take_publish(void *config, const char *value)
{
	return net_take_publish(&((struct run *)config)->nets, value);
}

static int take_share(void *config, const char *value)
{
	return share_take(&((struct run *)config)->shares, value);
}

static int take_no_agent(void *config, const char *value)
{
	((struct run *)config)->no_agent = true;
	return 0;
}

static int take_no_reboot(void *config, const char *value)
{
	((struct run *)config)->machine.reboot = false;
	return 0;
}

static int take_report(void *config, const char *value)
{
	((struct run *)config)->machine.report = value;
	return 0;
}

static int take_profile(void *config, const char *value)
{
	((struct run *)config)->machine.profile.path = value;
	return 0;
}

static int take_profile_symbols(void *config, const char *value)
{
	((struct run *)config)->machine.profile.symbols = value;
	return 0;
}

static int take_perf_map(void *config, const char *value)
{
	((struct run *)config)->machine.profile.perf_map = true;
	return 0;
}

static int take_gdb(void *config, const char *value)
{
	((struct run *)config)->machine.gdb.where = value;
	return 0;
}

static int take_gdb_wait(void *config, const char *value)
{
	((struct run *)config)->machine.gdb.wait = true;
	return 0;
}

static int take_identity(void *config, const char *value)
{
	((struct run *)config)->machine.identity = value;
	return 0;
}

/* Open until the end of this process, and not in those that it starts. */
static int take_moves(void *config, const char *value)
{
	((struct run *)config)->machine.moves = value;
	return 0;
}

static int take_lease(void *config, const char *value)
{
	char *end;
	long fd = strtol(value, &end, 10);

	if (*value && !*end && fd > 2 && fd <= INT_MAX &&
	    !fcntl((int)fd, F_SETFD, FD_CLOEXEC))
		return 0;
	cli_error("run: --lease %s: give the number of an open descriptor",
		  value);
	return -1;
}

static int take_sandbox(void *config, const char *value)
{
	struct run *run = config;

	run->machine.sandbox = !strcmp(value, "on");
	if (run->machine.sandbox || !strcmp(value, "off"))
		return 0;
	cli_error("run: --sandbox %s: give on or off", value);
	return -1;
}

static int take_testdev(void *config, const char *value)
{
	((struct run *)config)->machine.testdev = true;
	return 0;
}

static int take_log_level(void *config, const char *value)
{
	static const char *const names[] = {
		[HOST_LOG_ERROR] = "error",
		[HOST_LOG_WARN] = "warn",
		[HOST_LOG_INFO] = "info",
		[HOST_LOG_DEBUG] = "debug",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(value, names[i])) {
			log_set_level((enum host_log_level)i);
			return 0;
		}
	}
	cli_error("run: --log-level %s: give error, warn, info or debug",
		  value);
	return -1;
}

static const struct option_spec run_options[] = {
	{ "kernel", "FILE",
	  "bzImage, or an ELF file with a PVH note or a\n"
	  "multiboot header; without it, the default guest",
	  false, take_kernel },
	{ "initrd", "FILE", "the kernel's initial RAM disk", false,
	  take_initrd },
	{ "append", "STRING",
	  "the kernel's command line (console=ttyS0);\n"
	  "added to that of the default guest",
	  false, take_append },
	{ "module", "FILE[ ARGUMENTS]",
	  "a multiboot module after the initrd; repeats", true, take_module },
	{ "firmware", "none|bios|uefi|PATH",
	  "bios, uefi or the PATH of an image: boot as a real\n"
	  "machine does; none loads a kernel (none)",
	  false, take_firmware },
	{ "uefi-vars", "FILE",
	  "where UEFI keeps its variables; made when missing", false,
	  take_uefi_vars },
	{ "boot-menu", NULL, "let firmware offer its boot menu", false,
	  take_boot_menu },
	{ "disk-size", "SIZE", "of its disk, the image's or larger", false,
	  take_disk_size },
	{ "user", "NAME",
	  "the account that its first boot makes (lodge; with\n"
	  "--cloud-init none)", false, take_user },
	{ "ssh-key", "FILE",
	  "public key that may log in (~/.ssh/id_*.pub); repeats", true,
	  take_ssh_key },
	{ "cloud-init", "FILE",
	  "user-data for the first boot of the image's machine", false,
	  take_cloud_init },
	{ "ephemeral", NULL, "forget the image's machine at its end", false,
	  take_ephemeral },
	{ "cpus", "N", "processors, 1 to 64 (1)", false, take_cpus },
	{ "memory", "SIZE", "such as 256M or 2G (512M, images 1G)", false, take_memory },
	{ "engine", "auto|kvm|soft", "auto, kvm or soft (auto); see lodge host", false,
	  take_engine },
	{ "soft-cache", "SIZE",
	  "most memory for code that the software processor\n"
	  "keeps (64M for each processor)", false, take_soft_cache },
	{ "disk", "PATH[,OPTION...]",
	  "an image as a virtio disk; repeats. Options:\n"
	  "format=FORMAT, bus=virtio, bus=ahci (a SATA disk),\n"
	  "bus=nvme, bus=ide, cache=writeback, cache=none,\n"
	  "cache=writethrough, cache=unsafe, iops=N, bps=SIZE,\n"
	  "burst=TIME, readonly, copy-on-read, serial=TEXT,\n"
	  "secret=FILE, folder=PATH, queues=N", true, take_disk },
	{ "disk-bps", "SIZE",
	  "bytes a second, for each disk without bps and iops", false,
	  take_disk_bps },
	{ "disk-iops", "N", "requests a second, likewise", false,
	  take_disk_iops },
	{ "cdrom", "ISO[,bus=ide]",
	  "an image as a CD in a SATA or IDE drive, or none for\n"
	  "an empty drive (see lodge insert); twice at most", true,
	  take_cdrom },
	{ "floppy", "IMG[,readonly]",
	  "an image in a floppy drive, or none; twice at most", true,
	  take_floppy },
	{ "display", "WHICH",
	  "std: a VGA adapter; vnc=[ADDRESS:]PORT or\n"
	  "vnc=unix:PATH[,password-file=PATH]: and viewers of\n"
	  "it; none (std with firmware, else none)", false,
	  take_display },
	{ "usb", NULL,
	  "a USB controller with keyboard and tablet (so with\n"
	  "--display vnc)", false, take_usb },
	{ "no-usb", NULL, "none of it, with VNC either", false, take_no_usb },
	{ "watchdog", "ACTION",
	  "a watchdog (i6300esb), and what is done when the guest\n"
	  "does not come to it: reset, poweroff, pause or none", false,
	  take_watchdog },
	{ "net", "MODE[,OPTION...]",
	  "a network card; repeats. user: behind this computer\n"
	  "(user[,restrict][,net=CIDR][,net6=CIDR]), tap (made, or\n"
	  "tap=NAME, or tap,fd=N[:N...]), bridge=NAME,\n"
	  "socket=PATH[,listen], vhost-user=PATH[,listen],\n"
	  "network=NAME[,address=ADDRESS][,vlan=TAG] (see lodge\n"
	  "net), switch=NAME, or none.\n"
	  "All: mac=ADDRESS, mtu=N, queues=N, model=virtio,\n"
	  "pcap=FILE, pcap-limit=SIZE, bps-in=SIZE, bps-out=SIZE,\n"
	  "pps-in=N, pps-out=N, burst=TIME (user)", true, take_net },
	{ "publish", "[HOST:]PORT:GUESTPORT[/udp]",
	  "a port of this computer that leads to the guest's;\n"
	  "HOST: an address to listen at, * for any; repeats", true,
	  take_publish },
	{ "share", "FOLDER:GUESTFOLDER[,readonly]",
	  "a folder of this computer in the guest, mounted by\n"
	  "its agent (or by hand: see lodge-run(1)); repeats", true, take_share },
	{ "serial", "WHERE",
	  "the serial console: stdio, file:PATH[,limit=SIZE], pty,\n"
	  "unix:PATH (a socket that it listens at) or none (stdio)",
	  false, take_serial },
	{ "console", "NAME=WHERE",
	  "a port of the virtio console, WHERE as for --serial;\n"
	  "the first is the guest's hvc0; repeats", true, take_console },
	{ "vsock", "CID[,path=PATH]",
	  "sockets between guest and host (see lodge-run(1))", false, take_vsock },
	{ "no-agent", NULL,
	  "no sockets for the guest's agent, so no lodge exec\n"
	  "and lodge cp", false, take_no_agent },
	{ "name", "NAME",
	  "the machine's name (lodge; when it runs, lodge-2 ...)", false,
	  take_name },
	{ "detach", NULL,
	  "in the background, kept by lodged; print its name. Takes\n"
	  "the options of lodge create as well", false, take_detach },
	{ "rm", NULL,
	  "keep nothing of it when it has ended: as --ephemeral,\n"
	  "and with --detach as lodge rm", false, take_rm },
	{ "no-reboot", NULL, "end when the guest resets", false,
	  take_no_reboot },
	{ "sandbox", "on|off",
	  "keep the machine's process from everything that is\n"
	  "not its own (on)", false,
	  take_sandbox },
	{ "report", "FILE", "write what happened as one JSON object", false,
	  take_report },
	{ "log-level", "error|warn|info|debug", "error, warn, info or debug (warn)", false,
	  take_log_level },
	{ "profile", "FILE",
	  "write where the software processor's time went;\n"
	  "as JSON when the name ends in .json",
	  false, take_profile },
	{ "profile-symbols", "FILE",
	  "the guest kernel's symbols: System.map, ELF, or\n"
	  "its /proc/kallsyms; else those in the kernel's file",
	  false, take_profile_symbols },
	{ "perf-map", NULL, "write /tmp/perf-PID.map for perf report", false,
	  take_perf_map },
	{ "gdb", "WHERE",
	  "let a debugger in: PORT (of this computer),\n"
	  "ADDRESS:PORT or unix:PATH", false, take_gdb },
	{ "gdb-wait", NULL, "run nothing before the debugger says so", false,
	  take_gdb_wait },
	{ "testdev", NULL, "add the device of CPU test kernels", false,
	  take_testdev },
	{ "api-sock", "PATH",
	  "clients of the Firecracker API describe and drive the\n"
	  "machine; see lodge help firecracker", false, take_api_sock },
	{ "identity", "TEXT", "lodge status tells it, for who started it",
	  false, take_identity },
	{ "lease", "FD", "keep a descriptor, a lock perhaps, to the end",
	  false, take_lease },
	{ "moves", "FILE", "write where lodge mirror takes disks, for who\n"
	  "started it", false, take_moves },
};

static const struct option_heading run_headings[] = {
	{ "kernel", "What it boots" },
	{ "disk-size", "A machine of an image" },
	{ "cpus", "Its hardware" },
	{ "net", "What it is joined to" },
	{ "name", "How it runs" },
	{ "profile", "For developers, and programs that start machines" },
	{ NULL, NULL },
};

/* --- the command ----------------------------------------------------------- */

const struct command command_run = {
	.name = "run",
	.synopsis = "[IMAGE] [OPTIONS]",
	.summary = "run a machine on this terminal",
	.about = "Runs one machine until its guest powers off, with the serial "
		 "console on this\nterminal: Ctrl-A x stops it, Ctrl-A h lists "
		 "the keys. It boots an image of lodge\nimage, with a disk of "
		 "its own that is kept under the machine's name; without\n"
		 "IMAGE and --kernel the default guest. Ctrl-A d leaves it "
		 "running in the background, where --detach begins.",
	.examples = "lodge run\n"
		    "lodge run debian --name web --memory 2G --publish 8080:80\n"
		    "lodge run --kernel vmlinuz --initrd initrd.img --cpus 2\n"
		    "lodge run --firmware uefi --cdrom debian.iso --disk disk.qcow2",
	.options = run_options,
	.option_count = OPTION_COUNT(run_options),
	.headings = run_headings,
	.words = "image",
	.words_max = 1,
	.missing = "",
	.run = run_run,
	.statuses = "0 powered off or stopped, 1 the host failed, 2 wrong "
		    "usage, 3 the guest crashed. With --testdev, a value v "
		    "that the guest writes to port 0xf4 gives (v << 1) | 1",
};
