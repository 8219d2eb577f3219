/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run, between its options and the machine.
 */
#ifndef LODGE_CLI_RUN_RUN_H
#define LODGE_CLI_RUN_RUN_H

#include "cli/option.h"
#include "cli/run/disk.h"
#include "cli/run/display.h"
#include "cli/run/image.h"
#include "cli/run/net.h"
#include "cli/run/share.h"
#include "vmm/machine.h"
#include "vmm/moves.h"

#define RUN_MODULES_MAX 32

/* What the options say, and what becomes of it. */
struct run {
	struct machine_config machine;
	const char *append;
	const char *module[RUN_MODULES_MAX];
	/* Disks, then CDs. */
	struct machine_disk disk[CLI_DISKS_MAX + CLI_CDS_MAX];
	struct machine_disk cd[CLI_CDS_MAX];
	unsigned int cds;
	struct disk_limits each_disk; /* that has none of its own */
	struct machine_disk floppy[CLI_FLOPPIES_MAX];
	const char *soft_cache; /* as given; NULL: not */
	struct cli_display display;
	bool usb, no_usb; /* given */
	bool serial; /* given */
	bool no_agent, rm;
	struct machine_port port[MACHINE_PORTS_MAX];
	struct run_image image;
	struct moves moves;
	struct cli_nets nets;
	struct cli_shares shares;
};

struct command_context;

int run_run(const struct command_context *context, int argc, char **argv);

#endif
