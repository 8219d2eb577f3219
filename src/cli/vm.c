/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-vm: the process of one machine that lodged keeps. Its arguments are
 * the machine's configuration, in the words of lodge run; of the command line
 * it has nothing else.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/run/start.h"
#include "vmm/machine.h"

int main(int argc, char **argv)
{
	const struct command_context context = {
		.process_start = process_start_ns(),
		.sandbox = true,
	};

	/* A closed pipe is an error of a write, not the end. */
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("lodge-vm %s\n", LODGE_VERSION);
		return MACHINE_OK;
	}
	return command_run.run(&context, argc - 1, argv + 1);
}
