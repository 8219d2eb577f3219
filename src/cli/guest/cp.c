/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge cp: files between this host and the guest of a running machine, by the
 * guest's agent. What comes from a guest is not believed; see agent/tree.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tree.h"
#include "cli/command.h"
#include "cli/guest/exec.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/machine.h"

struct copy {
	bool recursive;
	const char *user; /* NULL: root */
	unsigned int timeout;
	bool to_guest;
	const char *from, *to;
	/* The one of the two that is in a guest. */
	char machine[RUNTIME_NAME_MAX + 1];
	const char *path;
	struct agent agent;
};

static int take_recursive(void *config, const char *value)
{
	((struct copy *)config)->recursive = true;
	return 0;
}

static int take_user(void *config, const char *value)
{
	((struct copy *)config)->user = value;
	return 0;
}

static int take_timeout(void *config, const char *value)
{
	return exec_take_timeout("cp", value,
				 &((struct copy *)config)->timeout);
}

static const struct option_spec options[] = {
	{ "recursive", NULL, "-r: folders with all that is in them", false,
	  take_recursive },
	{ "user", "USER", "who reads or writes in the guest (root)", false,
	  take_user },
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* What was left out, in the guest's or our own words. */
static void tell_skipped(const uint8_t *text, uint32_t size)
{
	char line[AGENT_TEXT_MAX];

	agent_printable(line, sizeof(line), text, size);
	cli_error("cp: left out: %s", line);
}

static int fail(const struct vmm_error *error)
{
	cli_error("cp: %s", error->text);
	return MACHINE_FAILED;
}

/* The words that all requests have, then the request. */
static int ask(struct copy *copy, uint8_t request, const char *word,
	       struct vmm_error *error)
{
	struct agent *agent = &copy->agent;

	if (agent_send(agent, AGENT_WORD, copy->path, strlen(copy->path),
		       error) ||
	    (word && agent_send(agent, AGENT_WORD, word, strlen(word),
				error)) ||
	    (copy->user && agent_send(agent, AGENT_USER, copy->user,
				      strlen(copy->user), error)))
		return -1;
	return agent_send(agent, request, NULL, 0, error);
}

/* --- from a guest --------------------------------------------------------------- */

/* One file's data, to our standard output. 0, 1: the end, -1. */
static int print_frame(const struct frame *frame, bool *begun,
		       struct vmm_error *error)
{
	bool first = !*begun;

	if (frame->type == AGENT_TREE_SKIPPED) {
		tell_skipped(frame->data, frame->size);
		return 0;
	}
	*begun = true;
	if (first && frame->type == AGENT_TREE_FILE)
		return 0;
	if (first || (frame->type != AGENT_TREE_DATA &&
		      frame->type != AGENT_TREE_END))
		return vmm_error_set(error, "its agent speaks no sense");
	if (frame->type == AGENT_TREE_END)
		return 1;
	if (fwrite(frame->data, 1, frame->size, stdout) == frame->size)
		return 0;
	return vmm_error_set(error, "standard output: %s", strerror(errno));
}

static int print_file(struct copy *copy)
{
	struct vmm_error error;
	struct frame frame;
	bool begun = false;
	int rc = 0;

	while (!rc) {
		if (agent_receive(&copy->agent, &frame, &error))
			return fail(&error);
		rc = frame.type == AGENT_FAILED ?
			     agent_refuse(&copy->agent, &frame, &error) :
			     print_frame(&frame, &begun, &error);
	}
	if (rc > 0 && fflush(stdout))
		rc = vmm_error_set(&error, "standard output: %s",
				   strerror(errno));
	return rc > 0 ? MACHINE_OK : fail(&error);
}

static int take_tree(struct copy *copy, struct tree_taker *taker)
{
	struct vmm_error error;
	struct frame frame;

	while (!taker->ended) {
		if (agent_receive(&copy->agent, &frame, &error))
			return fail(&error);
		if (frame.type == AGENT_FAILED) {
			agent_refuse(&copy->agent, &frame, &error);
			return fail(&error);
		}
		if (tree_take(taker, &frame)) {
			cli_error("cp: %s", taker->error);
			return MACHINE_FAILED;
		}
	}
	return taker->skipped ? MACHINE_FAILED : MACHINE_OK;
}

static int get(struct copy *copy)
{
	struct tree_taker *taker;
	char name[AGENT_NAME_MAX + 1];
	struct vmm_error error;
	int status = MACHINE_FAILED;
	bool print = !strcmp(copy->to, "-");

	if (ask(copy, AGENT_GET, copy->recursive && !print ? "folders" : NULL,
		&error))
		return fail(&error);
	if (print)
		return print_file(copy);
	taker = calloc(1, sizeof(*taker));
	if (!taker) {
		cli_error("cp: out of memory");
		return status;
	}
	taker->modes = 0777; /* whatever owner a file had, it is ours now */
	taker->tell_skipped = tell_skipped;
	tree_last_part(name, copy->path);
	if (tree_open(taker, copy->to, name))
		cli_error("cp: %s", taker->error);
	else
		status = take_tree(copy, taker);
	tree_close(taker);
	free(taker);
	return status;
}

/* --- to a guest ------------------------------------------------------------------ */

/* The agent says something before the end: only that it has failed. */
static bool has_failed(void *ctx)
{
	struct copy *copy = ctx;
	struct pollfd ready = { .fd = copy->agent.fd, .events = POLLIN };

	return poll(&ready, 1, 0) > 0;
}

/* The agent's last word. */
static int hear_end(struct copy *copy, const struct tree_sender *sender)
{
	struct vmm_error error;
	struct frame frame;

	if (agent_receive(&copy->agent, &frame, &error))
		return fail(&error);
	if (frame.type == AGENT_DONE)
		return sender->skipped ? MACHINE_FAILED : MACHINE_OK;
	agent_refuse(&copy->agent, &frame, &error);
	return fail(&error);
}

static int put(struct copy *copy)
{
	struct tree_sender sender = {
		.fd = copy->agent.fd,
		.folders = copy->recursive,
		.stops = has_failed,
		.ctx = copy,
		.tell_skipped = tell_skipped,
	};
	bool stream = !strcmp(copy->from, "-");
	char name[AGENT_NAME_MAX + 1];
	struct vmm_error error;
	int rc;

	tree_last_part(name, stream ? "stdin" : copy->from);
	if (ask(copy, AGENT_PUT, name, &error))
		return fail(&error);
	rc = stream ? tree_send_stream(&sender, STDIN_FILENO, name) :
		      tree_send(&sender, copy->from);
	if (rc > 0) {
		cli_error("cp: %s", sender.error);
		return MACHINE_FAILED;
	}
	return hear_end(copy, &sender);
}

/* --- the command ------------------------------------------------------------------ */

/*
 * "NAME:PATH", with no / before the colon; without a path, the user's home.
 * "./a:b" is a file of this host.
 */
static bool is_remote(struct copy *copy, const char *word)
{
	const char *colon = strchr(word, ':');
	size_t size = colon ? (size_t)(colon - word) : 0;

	if (!size || memchr(word, '/', size) || size > RUNTIME_NAME_MAX)
		return false;
	memcpy(copy->machine, word, size);
	copy->machine[size] = '\0';
	copy->path = colon[1] ? colon + 1 : ".";
	return true;
}

/* One of them. `lost`: the guest is not reached. */
static int copy_one(struct copy *copy, bool *lost)
{
	const struct agent_patience patience = { copy->timeout,
						 exec_tell_wait };
	struct vmm_error error;
	int status;

	if (agent_open(&copy->agent, copy->machine, &patience, &error)) {
		managed_explain(copy->machine, &error);
		*lost = true;
		return fail(&error);
	}
	status = copy->to_guest ? put(copy) : get(copy);
	agent_close(&copy->agent);
	return status;
}

/* Each of several, into the folder that the last word names. */
static int copy_all(struct copy *copy, int words, char **word)
{
	char *folder = NULL;
	bool lost = false;
	int status = MACHINE_OK;

	/* With a slash at its end it is nothing else. */
	if (words > 2 && asprintf(&folder, "%s/", word[words - 1]) < 0) {
		cli_error("cp: out of memory");
		return MACHINE_FAILED;
	}
	for (int i = 0; i < words - 1 && !(lost && copy->to_guest); i++) {
		copy->from = word[i];
		copy->to = folder ? folder : word[words - 1];
		is_remote(copy, copy->to_guest ? copy->to : copy->from);
		status |= copy_one(copy, &lost);
	}
	free(folder);
	return status;
}

static int refuse(const char *one, const char *other, const char *why)
{
	cli_error("cp: %.100s and %.100s are both %s", one, other, why);
	return MACHINE_USAGE;
}

/* -1: go on; else the exit status. */
static int check(struct copy *copy, int words, char **word)
{
	const char *to = words ? word[words - 1] : NULL;
	struct stat status;

	if (words < 2) {
		cli_error("cp: give what and where to; see lodge help cp");
		return MACHINE_USAGE;
	}
	copy->to_guest = is_remote(copy, to);
	for (int i = 0; i < words - 1; i++) {
		bool from_guest = is_remote(copy, word[i]);

		if (from_guest && copy->to_guest)
			return refuse(word[i], to, "in guests; copy by way of "
				      "this computer, where ./NAME:PATH is a "
				      "file");
		if (!from_guest && !copy->to_guest)
			return refuse(word[i], to, "of this computer; in a "
				      "guest is NAME:PATH");
		if (words > 2 && (!strcmp(word[i], "-") || !strcmp(to, "-"))) {
			cli_error("cp: - is one file: give one to copy");
			return MACHINE_USAGE;
		}
	}
	if (words == 2 || copy->to_guest ||
	    (!stat(to, &status) && S_ISDIR(status.st_mode)))
		return -1;
	cli_error("cp: %s is no folder, and several files go into one", to);
	return MACHINE_FAILED;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	static char recursive[] = "--recursive";
	int status, words;

	if (!copy)
		return MACHINE_FAILED;
	copy->timeout = EXEC_TIMEOUT;
	for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "-r"))
			argv[i] = recursive;
	status = command_options(&command_cp, argc, argv,
				 copy, &words);
	if (status < 0)
		status = check(copy, words, argv);
	if (status < 0)
		status = copy_all(copy, words, argv);
	free(copy);
	return status;
}

const struct command command_cp = {
	.name = "cp",
	.summary = "copy files from and to a machine's guest",
	.run = run,
	.synopsis = "[OPTIONS] NAME:PATH... PATH\n"
		    "[OPTIONS] PATH... NAME:PATH",
	.about = "Copies files or folders from or to the guest of a running machine, without a\n"
		 "network (see lodge help exec): contents, modes, times and symbolic links. Into\n"
		 "a folder that is there each goes under its own name; several want one. A path "
		 "in the guest begins at the user's home; - is our standard input or output.",
	.examples = "lodge cp notes.txt web:\n"
		    "lodge cp -r web:/var/log logs\n"
		    "lodge cp a.conf b.conf web:/etc/app/",
	.options = options,
	.option_count = OPTIONS,
	.words = "guestfile",
	.words_max = COMMAND_MANY,
	.statuses = "0 all is copied, 1 not, or not all, 2 wrong usage",
};
