/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge exec and lodge shell: commands in the guest of a running machine, by
 * its agent.
 */
#include "cli/guest/exec.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/option.h"
#include "vmm/machine.h"

#define TIMEOUT_MAX 86400

void exec_tell_wait(const char *machine)
{
	cli_error("waiting for the agent in the guest of %s", machine);
}

int exec_take_timeout(const char *command, const char *value,
		      unsigned int *seconds)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno ||
	    n > TIMEOUT_MAX) {
		cli_error("%s: --timeout %s: give seconds, 0 to %d", command,
			  value, TIMEOUT_MAX);
		return -1;
	}
	*seconds = (unsigned int)n;
	return 0;
}

static int take_interactive(void *config, const char *value)
{
	((struct exec *)config)->interactive = true;
	return 0;
}

static int take_terminal(void *config, const char *value)
{
	((struct exec *)config)->terminal = true;
	return 0;
}

static int take_user(void *config, const char *value)
{
	((struct exec *)config)->user = value;
	return 0;
}

static int take_folder(void *config, const char *value)
{
	((struct exec *)config)->folder = value;
	return 0;
}

static int take_variable(void *config, const char *value)
{
	struct exec *exec = config;

	if (!strchr(value, '=') || value[0] == '=') {
		cli_error("%s: --env %s: give NAME=VALUE", exec->command,
			  value);
		return -1;
	}
	if (exec->variables == EXEC_VARIABLES_MAX) {
		cli_error("%s: more than %d variables", exec->command,
			  EXEC_VARIABLES_MAX);
		return -1;
	}
	exec->variable[exec->variables++] = value;
	return 0;
}

static int take_timeout(void *config, const char *value)
{
	struct exec *exec = config;

	return exec_take_timeout(exec->command, value, &exec->timeout);
}

/* Those of lodge shell begin with the third. */
static const struct option_spec options[] = {
	{ "interactive", NULL, "-i: give it our standard input", false,
	  take_interactive },
	{ "tty", NULL, "-t: give it a terminal", false, take_terminal },
	{ "user", "USER", "who runs it, a name or number (root)", false,
	  take_user },
	{ "dir", "DIR", "its working folder (the user's home)", false,
	  take_folder },
	{ "env", "NAME=VALUE", "a variable of its environment; repeats", true,
	  take_variable },
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

#define OPTIONS	      (sizeof(options) / sizeof(options[0]))
#define SHELL_OPTIONS (OPTIONS - 2)

/* --- arguments ---------------------------------------------------------------- */

/* "-it" in letters of its own: how many, 0 when it is none of these. */
static int short_options(const char *argument, char *out[2])
{
	static char interactive[] = "--interactive", tty[] = "--tty";
	int count = 0;

	if (argument[0] != '-' || !argument[1] ||
	    strspn(argument + 1, "it") != strlen(argument + 1) ||
	    strlen(argument) > 3)
		return 0;
	for (argument++; *argument; argument++)
		out[count++] = *argument == 'i' ? interactive : tty;
	return count;
}

static bool takes_value(const char *argument)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (!strcmp(options[i].name, argument + 2))
			return options[i].value;
	return false;
}

/*
 * Options come before the machine's name, what follows is the command's own.
 * `out` has room for twice the arguments. How many of them are ours.
 */
static int split(int argc, char **argv, char **out, int *used)
{
	int count = 0, i = 0;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		char *letter[2];
		int letters = short_options(argv[i], letter);

		for (int j = 0; j < letters; j++)
			out[count++] = letter[j];
		if (!letters)
			out[count++] = argv[i];
		if (!strncmp(argv[i], "--", 2) && takes_value(argv[i]) &&
		    i + 1 < argc)
			out[count++] = argv[++i];
	}
	if (i < argc)
		out[count++] = argv[i++];
	*used = i;
	return count;
}

/* -1: go on; else the exit status. */
static int parse(struct exec *exec, const struct command *command, int argc,
		 char **argv)
{
	char **ours = calloc(2 * (size_t)argc + 1, sizeof(*ours));
	int used, words = 0, status;
	int n = ours ? split(argc, argv, ours, &used) : 0;

	if (!ours) {
		cli_error("%s: out of memory", exec->command);
		return MACHINE_FAILED;
	}
	status = command_options(command, n, ours, exec, &words);
	exec->machine = words ? ours[0] : NULL;
	exec->word = argv + used;
	exec->words = argc - used;
	free(ours);
	if (status < 0 && !exec->machine) {
		cli_error("%s: a machine's name is missing; see lodge help %s",
			  exec->command, exec->command);
		return MACHINE_USAGE;
	}
	if (exec->words && !strcmp(exec->word[0], "--")) {
		exec->word++;
		exec->words--;
	} else if (status < 0 && exec->words && exec->word[0][0] == '-') {
		cli_error("%s: %s: options come before the machine's name, and "
			  "-- before the command", exec->command,
			  exec->word[0]);
		return MACHINE_USAGE;
	}
	return status;
}

/* --- exec ----------------------------------------------------------------------- */

static int run_exec(const struct command_context *context, int argc,
		    char **argv)
{
	struct exec exec = { .command = "exec", .timeout = EXEC_TIMEOUT };
	int status = parse(&exec, &command_exec, argc, argv);

	if (status >= 0)
		return status;
	if (!exec.words) {
		cli_error("exec: a command is missing; see lodge help exec, "
			  "or lodge shell %s", exec.machine);
		return MACHINE_USAGE;
	}
	return exec_run(&exec);
}

const struct command command_exec = {
	.name = "exec",
	.summary = "run a command in a machine's guest",
	.run = run_exec,
	.synopsis = "[OPTIONS] NAME -- COMMAND [ARGUMENT...]",
	.about = "Runs a command in the guest of a running machine, without a network, by\n"
		 "the agent in the guest: see lodge help agent. With -it it is like a\n"
		 "command at a terminal.",
	.examples = "lodge exec web -- uname -a\n"
		    "lodge exec -it web -- sh",
	.options = options,
	.option_count = OPTIONS,
	.words = "running -",
	.words_max = COMMAND_MANY,
	.statuses = "that of the command, 128 and more for a signal; 126 it "
		    "cannot be run, 127 not found, 125 the machine has no "
		    "agent that answers, 2 wrong usage",
};

/* --- shell ------------------------------------------------------------------------ */

static int run_shell(const struct command_context *context, int argc,
		     char **argv)
{
	struct exec exec = {
		.command = "shell",
		.timeout = EXEC_TIMEOUT,
		.interactive = true,
		.terminal = isatty(STDIN_FILENO),
	};
	int status = parse(&exec, &command_shell, argc, argv);

	if (status >= 0)
		return status;
	if (exec.words) {
		cli_error("shell: unexpected argument \"%s\"; lodge exec runs "
			  "commands", exec.word[0]);
		return MACHINE_USAGE;
	}
	return exec_run(&exec);
}

const struct command command_shell = {
	.name = "shell",
	.summary = "log in to a machine's guest",
	.run = run_shell,
	.synopsis = "[OPTIONS] NAME",
	.about = "A login shell in the guest of a running machine, on this terminal, as\n"
		 "lodge exec -it runs commands.",
	.examples = "lodge shell web\n"
		    "lodge shell --user lodge web",
	.options = options + 2,
	.option_count = SHELL_OPTIONS,
	.words = "running -",
	.words_max = COMMAND_MANY,
	.statuses = "as of lodge exec",
};
