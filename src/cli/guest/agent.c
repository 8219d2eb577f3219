/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge agent: what the guest of a running machine tells of itself, and what
 * its agent does to the whole guest.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/guest/exec.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/guest/facts.h"
#include "vmm/machine.h"

#define FACTS_MAX 1000

struct request {
	bool json;
	unsigned int timeout;
	struct agent agent;
};

static int take_json(void *config, const char *value)
{
	((struct request *)config)->json = true;
	return 0;
}

static int take_timeout(void *config, const char *value)
{
	return exec_take_timeout("agent", value,
				 &((struct request *)config)->timeout);
}

static const struct option_spec options[] = {
	{ "json", NULL, "print a JSON object", false, take_json },
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static int fail(const struct vmm_error *error)
{
	cli_error("agent: %s", error->text);
	return MACHINE_FAILED;
}

/* --- facts ---------------------------------------------------------------------- */

static void print_facts(const json_t *all)
{
	for (size_t i = 0; i < fact_count; i++) {
		const json_t *value = json_object_get(all, facts[i].name);
		const json_t *item;
		char bytes[CLI_BYTES];
		size_t j;

		if (json_is_string(value))
			printf("%-10s %s\n", facts[i].shown,
			       json_string_value(value));
		else if (json_is_integer(value))
			printf("%-10s %s\n", facts[i].shown,
			       cli_bytes(bytes, (uint64_t)
						json_integer_value(value)));
		json_array_foreach(value, j, item)
			printf("%-10s %s\n", facts[i].shown,
			       json_string_value(item));
	}
}

static int show(struct request *request)
{
	json_t *all = facts_new();
	struct vmm_error error;
	struct frame frame = { 0 };
	int rc = agent_send(&request->agent, AGENT_FACTS, NULL, 0, &error);

	for (unsigned int i = 0; !rc && frame.type != AGENT_DONE; i++) {
		rc = agent_receive(&request->agent, &frame, &error);
		if (!rc && frame.type == AGENT_FACT && i < FACTS_MAX)
			facts_keep(all, &frame);
		else if (!rc && frame.type != AGENT_DONE)
			rc = agent_refuse(&request->agent, &frame, &error);
	}
	if (!rc && request->json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (!rc) {
		print_facts(all);
	}
	json_decref(all);
	return rc ? fail(&error) : MACHINE_OK;
}

/* --- what is done --------------------------------------------------------------- */

static int power(struct request *request, uint8_t how)
{
	struct vmm_error error;
	uint32_t count;

	return agent_call(&request->agent, AGENT_POWER, &how, 1, &count,
			  &error) ? fail(&error) : MACHINE_OK;
}

static int do_power_off(struct request *request, char **command)
{
	return power(request, 0);
}

static int do_reboot(struct request *request, char **command)
{
	return power(request, 1);
}

static int do_set_time(struct request *request, char **command)
{
	struct vmm_error error;
	struct timespec now;
	uint8_t ns[8];
	uint32_t count;

	clock_gettime(CLOCK_REALTIME, &now);
	frame_put64(ns, (uint64_t)now.tv_sec * 1000000000u +
			(uint64_t)now.tv_nsec);
	return agent_call(&request->agent, AGENT_SET_TIME, ns, sizeof(ns),
			  &count, &error) ? fail(&error) : MACHINE_OK;
}

/* The status of our own command, as a shell gives it. */
static int run_here(char **command)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		signal(SIGPIPE, SIG_DFL);
		execvp(command[0], command);
		cli_error("agent: %s: cannot be run", command[0]);
		_exit(EXEC_NOT_FOUND);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return MACHINE_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   EXEC_SIGNAL + WTERMSIG(status);
}

static int do_freeze(struct request *request, char **command)
{
	struct vmm_error error;
	uint32_t count, thawed;
	int status;

	if (agent_call(&request->agent, AGENT_FREEZE, NULL, 0, &count, &error))
		return fail(&error);
	status = run_here(command);
	if (agent_call(&request->agent, AGENT_THAW, NULL, 0, &thawed,
		       &error)) {
		cli_error("agent: the file systems did not stay frozen: %s",
			  error.text);
		return MACHINE_FAILED;
	}
	return status;
}

/* --- the command ---------------------------------------------------------------- */

static const struct action {
	const char *name;
	bool command; /* wants one */
	int (*run)(struct request *request, char **command);
} actions[] = {
	{ "poweroff", false, do_power_off },
	{ "reboot", false, do_reboot },
	{ "set-time", false, do_set_time },
	{ "freeze", true, do_freeze },
};

static void more_agent(void)
{
	printf("\nThe guest needs lodge-agent, a program in it. The default "
	       "guest and images of\nlodge image build have it; for others, "
	       "see docs/agent.md.\n");
}

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(actions[i].name, name))
			return &actions[i];
	return NULL;
}

static int with_words(struct request *request, int words, char **word)
{
	const struct agent_patience patience = { request->timeout,
						 exec_tell_wait };
	const struct action *action = words > 1 ? find_action(word[1]) : NULL;
	struct vmm_error error;
	int status;

	if (!words || (words > 1 && !action) ||
	    (words > 2 && !action->command) ||
	    (words == 2 && action->command)) {
		cli_error("agent: %s; see lodge help agent",
			  !words ? "a machine's name is missing" :
			  words > 1 && !action ?
				   "unknown action: give poweroff, reboot, "
				   "set-time or freeze" :
			  words > 2 ? "unexpected argument" :
				      "a command is missing");
		return MACHINE_USAGE;
	}
	if (agent_open(&request->agent, word[0], &patience, &error)) {
		managed_explain(word[0], &error);
		return fail(&error);
	}
	status = action ? action->run(request, word + 2) : show(request);
	agent_close(&request->agent);
	return status;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct request *request = calloc(1, sizeof(*request));
	int status, words;

	if (!request)
		return MACHINE_FAILED;
	request->timeout = EXEC_TIMEOUT;
	status = command_options(&command_agent, argc, argv,
				 request, &words);
	if (status < 0) {
		argv[words] = NULL;
		status = with_words(request, words, argv);
	}
	free(request);
	return status;
}

const struct command command_agent = {
	.name = "agent",
	.summary = "tell what a machine's guest says of itself",
	.run = run,
	.synopsis = "[OPTIONS] NAME [ACTION]",
	.about = "Tells what the guest of a running machine says of itself: system, load, memory,\n"
		 "addresses. With an action, does it in the guest:\n"
		 "\n"
		 "  poweroff, reboot      end its services and itself in order\n"
		 "  set-time              set its clock to this host's\n"
		 "  freeze -- COMMAND...  run a command here, as for a backup, while its file\n"
		 "                        systems are frozen, whole on their disks",
	.examples = "lodge agent web\n"
		    "lodge agent web freeze -- cp disk.qcow2 backup.qcow2",
	.options = options,
	.option_count = OPTIONS,
	.words = "running action",
	.words_max = COMMAND_MANY,
	.more = more_agent,
};
