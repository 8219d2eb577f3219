/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge firecracker: the program of that name, which lies beside this one, with
 * the options as they are; what they may be is checked here.
 */
#include "cli/firecracker.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "host/linux/program.h"
#include "vmm/machine.h"

static int become(char **argv)
{
	char path[PATH_MAX];

	if (!program_beside(path, "lodge-firecracker")) {
		cli_error("firecracker: the program lodge-firecracker is not "
			  "beside this one");
		return MACHINE_FAILED;
	}
	argv[0] = path;
	execv(path, argv);
	cli_error("firecracker: %s: %s", path, strerror(errno));
	return MACHINE_FAILED;
}

#define IGNORED "taken; it makes no difference here"

static int take_any(void *config, const char *value)
{
	return 0;
}

static const struct option_spec options[] = {
	{ "api-sock", "PATH", "the socket (/run/firecracker.socket)", false,
	  take_any },
	{ "id", "NAME", "of the machine (anonymous-instance)", false,
	  take_any },
	{ "config-file", "FILE",
	  "its configuration as JSON; it is started at once", false,
	  take_any },
	{ "no-api", NULL, "no socket, with --config-file", false, take_any },
	{ "log-path", "FILE", "what is said, in place of standard error",
	  false, take_any },
	{ "level", "LEVEL", "of the log; taken for clients' sake", false,
	  take_any },
	{ "metrics-path", "FILE", "where FlushMetrics writes", false,
	  take_any },
	{ "http-api-max-payload-size", "BYTES",
	  "of a request's body (51200)", false, take_any },
	{ "no-seccomp", NULL, IGNORED, false, take_any },
	{ "boot-timer", NULL, IGNORED, false, take_any },
	{ "show-level", NULL, IGNORED, false, take_any },
	{ "show-log-origin", NULL, IGNORED, false, take_any },
	{ "enable-pci", NULL, IGNORED, false, take_any },
	{ "module", "PATH", IGNORED, false, take_any },
	{ "mmds-size-limit", "BYTES", IGNORED, false, take_any },
	{ "start-time-us", "US", IGNORED, false, take_any },
	{ "start-time-cpu-us", "US", IGNORED, false, take_any },
	{ "parent-cpu-time-us", "US", IGNORED, false, take_any },
};

static int run_firecracker(const struct command_context *context, int argc,
			   char **argv);

const struct command command_firecracker = {
	.name = "firecracker",
	.summary = "a machine for clients of the Firecracker API",
	.synopsis = "--api-sock PATH [OPTIONS]",
	.about = "One machine, described and driven by clients of the "
		 "Firecracker API at a Unix\nsocket; see "
		 "docs/firecracker.md. Its serial console is on standard "
		 "input and output.",
	.examples = "lodge firecracker --api-sock /tmp/fc.sock\n"
		    "lodge firecracker --no-api --config-file vm.json",
	.options = options,
	.option_count = OPTION_COUNT(options),
	.run = run_firecracker,
};

static int run_firecracker(const struct command_context *context, int argc,
			   char **argv)
{
	char **whole = calloc((size_t)argc + 2, sizeof(*whole));
	int words, status;

	/* Taking options may bring them into another order. */
	if (!whole)
		return MACHINE_FAILED;
	memcpy(whole + 1, argv, (size_t)argc * sizeof(*whole));
	status = command_take(NULL, &command_firecracker, argc, argv, NULL,
			      &words);
	if (status < 0)
		status = become(whole);
	free(whole);
	return status;
}

int firecracker_run(int argc, char **argv)
{
	char *whole[8] = { NULL };
	int count = 1;

	for (int i = 0; i < argc; i++) {
		bool socket = !strncmp(argv[i], "--api-sock", 10);
		bool name = !strncmp(argv[i], "--name", 6);
		const char *value = strchr(argv[i], '=');

		if ((!socket && !name) || count > 3 ||
		    (!value && i + 1 == argc)) {
			cli_error("run: --api-sock: clients at that socket "
				  "describe the machine; give --name beside "
				  "it and nothing else");
			return MACHINE_USAGE;
		}
		whole[count++] = (char *)(socket ? "--api-sock" : "--id");
		whole[count++] = value ? (char *)value + 1 : argv[++i];
	}
	return become(whole);
}
