/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lodge program: finds the command that was asked for.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/daemon/elsewhere.h"
#include "cli/run/detached.h"
#include "cli/firecracker.h"
#include "cli/run/front.h"
#include "cli/machine/target.h"
#include "cli/run/start.h"
#include "vmm/machine.h"

static int run_version(const struct command_context *context, int argc,
		       char **argv);
static int run_help(const struct command_context *context, int argc,
		    char **argv);

static const struct command command_version = {
	.name = "version",
	.summary = "print the version",
	.run = run_version,
	.synopsis = "[--json]",
	.about = "Prints lodge's version.",
	.options = target_json_option,
	.option_count = 1,
	.examples = "lodge version",
};

static const struct command command_help = {
	.name = "help",
	.summary = "explain a command",
	.run = run_help,
	.synopsis = "[COMMAND [VERB]]",
	.about = "Lists the commands, or explains one.",
	.examples = "lodge help run\n"
		    "lodge help image pull",
	.words = "command",
	.words_max = 2,
	.missing = "",
};

/* Commands on machines, whose short forms these are. */
static const struct command *const vm_verbs[] = {
	&command_run,	 &command_create, &command_edit,   &command_clone,
	&command_apply,	 &command_export, &command_start,  &command_ps,
	&command_rm,	 &command_console, &command_events, &command_list,
	&command_status, &command_pause,  &command_resume, &command_stop,
	&command_reset,	 &command_top,	  &command_crashes,
	&command_exec,	 &command_shell,  &command_ssh,
	&command_cp,	 &command_proxy,  &command_agent,
	&command_attach, &command_detach, &command_insert,
	&command_eject,	 &command_limit,  &command_balloon,
	&command_keys,	 &command_screenshot, &command_inspect,
	&command_mirror, &command_commit, &command_rebase,
	&command_job,
};

static int run_vm(const struct command_context *context, int argc, char **argv);

static const struct command command_vm = {
	.name = "vm",
	.synopsis = "VERB [OPTIONS]",
	.summary = "the commands on machines: lodge vm stop is lodge stop",
	.about = "Commands on machines, as lodge image has those on images. "
		 "Each is there without \"vm\" as well.",
	.examples = "lodge vm list\n"
		    "lodge vm stop web",
	.verbs = vm_verbs,
	.verb_count = OPTION_COUNT(vm_verbs),
	.run = run_vm,
};

/* On the computer that --connect or LODGE_HOST names. */
static bool works_there(const struct command *command)
{
	if (!elsewhere() || elsewhere_can(command->name))
		return true;
	cli_error("%s: works on this computer alone; leave out --connect, or "
		  "unset LODGE_HOST", command->name);
	return false;
}

static int run_vm(const struct command_context *context, int argc, char **argv)
{
	const struct command *verb;
	int status;

	verb = command_verb(&command_vm, argc, argv, &status);
	if (verb && !works_there(verb))
		return MACHINE_USAGE;
	return verb ? verb->run(context, argc - 1, argv + 1) : status;
}

const struct command *const cli_commands[] = {
	&command_run,	   &command_create,	&command_edit,
	&command_clone,	   &command_apply,	&command_export,
	&command_start,	   &command_stop,	&command_rm,
	&command_ps,	   &command_list,	&command_status,
	&command_top,	   &command_events,	&command_console,
	&command_crashes,

	&command_exec,	   &command_shell,	&command_ssh,
	&command_cp,	   &command_proxy,	&command_agent,

	&command_pause,	   &command_resume,	&command_reset,
	&command_attach,   &command_detach,	&command_insert,
	&command_eject,	   &command_limit,	&command_balloon,
	&command_keys,	   &command_screenshot, &command_inspect,

	&command_mirror,   &command_commit,	&command_rebase,
	&command_job,

	&command_image,	   &command_disk,	&command_net,
	&command_vm,

	&command_host,	   &command_token,	&command_audit,
	&command_firecracker, &command_completion, &command_version,
	&command_help,
};

#define COMMANDS OPTION_COUNT(cli_commands)

const size_t cli_command_count = COMMANDS;

static void print_usage(FILE *to)
{
	/* What the help calls those from there on. */
	static const struct {
		const struct command *first;
		const char *title;
	} groups[] = {
		{ &command_run, "Machines" },
		{ &command_exec, "In a machine's guest" },
		{ &command_pause, "While a machine runs" },
		{ &command_mirror, "Its disks while it runs" },
		{ &command_image, "What machines are made of" },
		{ &command_host, "lodge itself" },
	};
	size_t group = 0;

	fprintf(to, "usage: lodge COMMAND [OPTIONS]\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		if (group < sizeof(groups) / sizeof(groups[0]) &&
		    groups[group].first == cli_commands[i])
			fprintf(to, "\n%s:\n", groups[group++].title);
		fprintf(to, "  %-12s %s\n", cli_commands[i]->name,
			cli_commands[i]->summary);
	}
	fprintf(to, "\nlodge help COMMAND tells more about one; lodge run starts "
		    "a machine.\nMachines of another computer: lodge --connect "
		    "https://HOST:PORT\n--token-file FILE COMMAND ...\n");
}

static const struct command *find_command(const char *name)
{
	return command_find("", cli_commands, COMMANDS, name);
}

static int run_version(const struct command_context *context, int argc,
		       char **argv)
{
	struct target target;
	int status;

	if (target_take(&target, &command_version, argc, argv, &status))
		return status;
	printf(target.json ? "{\n  \"version\": \"%s\"\n}\n" : "lodge %s\n",
	       LODGE_VERSION);
	return MACHINE_OK;
}

static bool asks_for_help(const char *argument)
{
	return !strcmp(argument, "--help") || !strcmp(argument, "-h");
}

/* "lodge help image list" */
static int help_verb(const struct command *noun, int argc, char **argv)
{
	const struct command *verb;
	int status;

	verb = command_verb(noun, argc, argv, &status);
	if (!verb)
		return status;
	command_explain(noun, verb);
	return MACHINE_OK;
}

static int run_help(const struct command_context *context, int argc,
		    char **argv)
{
	const struct command *command;

	int words, status = command_take(NULL, &command_help, argc, argv, NULL,
					 &words);

	if (status >= 0)
		return status;
	if (!words) {
		print_usage(stdout);
		return MACHINE_OK;
	}
	command = find_command(argv[0]);
	if (!command)
		return MACHINE_USAGE;
	if (words > 1 && command->verbs)
		return help_verb(command, words - 1, argv + 1);
	if (words > 1) {
		cli_error("help: %s has no verbs; see lodge help %s",
			  command->name, command->name);
		return MACHINE_USAGE;
	}
	command_explain(NULL, command);
	return MACHINE_OK;
}

int main(int argc, char **argv)
{
	const struct command_context context = {
		.process_start = process_start_ns(),
		.sandbox = true,
		.detached = detached_run,
		.driven = firecracker_run,
		.split = front_split,
	};
	const struct command *command;
	int taken;

	/* A closed pipe is an error of a write, not the end. */
	signal(SIGPIPE, SIG_IGN);
	taken = elsewhere_take(argc - 1, argv + 1);
	if (taken < 0)
		return MACHINE_USAGE;
	argc -= taken;
	argv += taken;
	if (argc < 2) {
		print_usage(stderr);
		return MACHINE_USAGE;
	}
	if (asks_for_help(argv[1]))
		return run_help(&context, 0, NULL);
	if (!strcmp(argv[1], "--version"))
		return run_version(&context, 0, NULL);
	command = find_command(argv[1]);
	if (!command)
		return MACHINE_USAGE;
	if (!works_there(command))
		return MACHINE_USAGE;
	return command->run(&context, argc - 2, argv + 2);
}
