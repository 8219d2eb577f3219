/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge ssh: the host's ssh(1), through lodge proxy, to the guest of a running
 * machine, which is made ready for it first (cli/guest/ssh_guest.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/guest/exec.h"
#include "cli/guest/ssh_guest.h"
#include "cli/machine/managed.h"
#include "cli/option.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define SSH_FAILED 255 /* as ssh(1) tells errors of its own */
#define PATIENCE   30  /* seconds for a status */
#define ACCOUNT	   "root" /* of a guest that we know none of */
#define SUFFIX	   ".lodge"

struct ssh {
	struct ssh_guest guest;
	bool config, tty;
	char user[SSH_USER_MAX];
};

static int take_user(void *config, const char *value)
{
	if (!ssh_user_valid(value)) {
		cli_error("ssh: --user %s: is no account's name", value);
		return -1;
	}
	((struct ssh *)config)->guest.user = value;
	return 0;
}

static int take_tty(void *config, const char *value)
{
	((struct ssh *)config)->tty = true;
	return 0;
}

static int take_config(void *config, const char *value)
{
	((struct ssh *)config)->config = true;
	return 0;
}

static int take_timeout(void *config, const char *value)
{
	return exec_take_timeout("ssh", value,
				 &((struct ssh *)config)->guest.timeout);
}

static const struct option_spec options[] = {
	{ "user", "USER", "the account (that of lodge run IMAGE, else root)",
	  false, take_user },
	{ "tty", NULL, "a terminal for a command too", false, take_tty },
	{ "config", NULL, "print settings for ssh, scp, rsync and others",
	  false, take_config },
	{ "timeout", "SECONDS",
	  "how long to wait for a guest that still starts (60)", false,
	  take_timeout },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* --- settings -------------------------------------------------------------------- */

/*
 * A word in a setting of ssh's: in quotes, and a percent sign is two. `shell`:
 * for its ProxyCommand, which a shell reads. To be freed.
 */
static char *quoted(const char *text, bool shell)
{
	char *all = malloc(4 * strlen(text) + 3), *to = all;

	if (!all)
		return NULL;
	*to++ = shell ? '\'' : '"';
	for (; *text; text++) {
		if (*text == '%')
			*to++ = '%';
		if (shell && *text == '\'')
			to = stpcpy(to, "'\\'");
		else if (!shell && (*text == '"' || *text == '\\'))
			*to++ = '\\';
		*to++ = *text;
	}
	*to++ = shell ? '\'' : '"';
	*to = '\0';
	return all;
}

#define SETTINGS_MAX 12

struct settings {
	char *text[SETTINGS_MAX]; /* "Name value" */
	unsigned int count;
	bool failed;
};

__attribute__((format(printf, 2, 3)))
static void add(struct settings *all, const char *format, ...)
{
	va_list args;

	if (all->failed)
		return;
	va_start(args, format);
	if (vasprintf(&all->text[all->count], format, args) < 0)
		all->failed = true;
	else
		all->count++;
	va_end(args);
}

static void free_settings(struct settings *all)
{
	while (all->count)
		free(all->text[--all->count]);
}

/*
 * `later`: for an ssh that runs some other time, so that the proxy is to make
 * the guest ready. -1: no memory.
 */
static int make_settings(struct settings *all, const struct ssh_guest *guest,
			 bool later)
{
	static const char gone[] = " (deleted)";
	char self[PATH_MAX] = "lodge";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *program, *key, *known;

	if (n > 0)
		self[n] = '\0';
	/* Another one may have been put in our place. */
	if (n > (ssize_t)strlen(gone) &&
	    !strcmp(self + n - strlen(gone), gone))
		self[n - (ssize_t)strlen(gone)] = '\0';
	program = quoted(self, true);
	key = quoted(guest->key, false);
	known = quoted(guest->known_hosts, false);
	all->failed = !program || !key || !known;
	add(all, "ProxyCommand %s proxy %s%s 22", program,
	    later ? "--ssh %r " : "", guest->machine);
	add(all, "User %s", guest->user);
	add(all, "IdentityFile %s", key);
	add(all, "IdentitiesOnly yes");
	add(all, "UserKnownHostsFile %s", known);
	add(all, "GlobalKnownHostsFile /dev/null");
	add(all, "HostKeyAlias %s", guest->machine);
	/* Of a server that keeps its keys elsewhere the first is believed. */
	add(all, "StrictHostKeyChecking %s",
	    guest->known || later ? "yes" : "accept-new");
	add(all, "UpdateHostKeys no");
	free(program);
	free(key);
	free(known);
	return all->failed ? -1 : 0;
}

static int out_of_memory(void)
{
	cli_error("ssh: out of memory");
	return MACHINE_FAILED;
}

static int print_settings(const struct ssh_guest *guest)
{
	struct settings all = { 0 };
	int rc = make_settings(&all, guest, true);

	if (!rc)
		printf("Host %s" SUFFIX "\n", guest->machine);
	for (unsigned int i = 0; i < all.count && !rc; i++)
		printf("\t%s\n", all.text[i]);
	free_settings(&all);
	return rc ? out_of_memory() : MACHINE_OK;
}

/* --- ssh -------------------------------------------------------------------------- */

/* Ends in ssh; the status when it cannot. */
static int run_ssh(const struct ssh *ssh, int words, char **word)
{
	char **args = calloc((size_t)words + 2 * SETTINGS_MAX + 8,
			     sizeof(*args));
	char host[RUNTIME_NAME_MAX + sizeof(SUFFIX)];
	struct settings all = { 0 };
	int count = 0;

	if (!args || make_settings(&all, &ssh->guest, false))
		return out_of_memory();
	args[count++] = (char *)"ssh";
	for (unsigned int i = 0; i < all.count; i++) {
		args[count++] = (char *)"-o";
		args[count++] = all.text[i];
	}
	if (ssh->tty)
		args[count++] = (char *)"-t";
	snprintf(host, sizeof(host), "%s" SUFFIX, ssh->guest.machine);
	args[count++] = (char *)"--"; /* ours end: the rest is the command's */
	args[count++] = host;
	memcpy(args + count, word, (size_t)words * sizeof(*word));
	fflush(NULL);
	signal(SIGPIPE, SIG_DFL);
	execvp(args[0], args);
	cli_error("ssh: cannot run ssh: %s%s", strerror(errno),
		  errno == ENOENT ? "; install it, such as Debian's package "
				    "openssh-client" : "");
	free_settings(&all);
	free(args);
	return SSH_FAILED;
}

/* The account that the machine knows of. -1 after cli_error(). */
static int find_account(struct ssh *ssh)
{
	struct vmm_error error;
	struct remote remote;
	json_t *status = NULL;
	const char *account;

	if (!remote_open(&remote, ssh->guest.machine, &error)) {
		status = remote_call(&remote, "status", NULL, PATIENCE, NULL,
				     &error);
		remote_close(&remote);
	}
	if (!status) {
		managed_explain(ssh->guest.machine, &error);
		cli_error("ssh: %s", error.text);
		return -1;
	}
	account = json_string_value(json_object_get(status, "account"));
	snprintf(ssh->user, sizeof(ssh->user), "%s",
		 account && ssh_user_valid(account) ? account : ACCOUNT);
	if (!ssh->guest.user)
		ssh->guest.user = ssh->user;
	json_decref(status);
	return 0;
}

static void more_ssh(void)
{
	printf("\nFor other programs, put the settings where ssh finds them:\n"
	       "\n  lodge ssh --config NAME >>~/.ssh/config\n"
	       "  scp FILE NAME" SUFFIX ":\n");
}

/* `word`: of the command. */
static int ssh_with(struct ssh *ssh, const char *machine, int words,
		    char **word)
{
	if (!machine || (ssh->config && words)) {
		cli_error("ssh: %s; see lodge help ssh",
			  machine ? "unexpected argument" :
				    "a machine's name is missing");
		return MACHINE_USAGE;
	}
	ssh->guest.machine = machine;
	if (find_account(ssh) || ssh_guest_open(&ssh->guest))
		return MACHINE_FAILED;
	if (ssh->config)
		return print_settings(&ssh->guest);
	if (ssh_guest_prepare(&ssh->guest))
		return MACHINE_FAILED;
	return run_ssh(ssh, words, word);
}

/* Arguments up to the machine's name: what follows is the command's own. */
static int count_ours(int argc, char **argv)
{
	static char tty[] = "--tty";
	int i = 0;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (!strcmp(argv[i], "-t"))
			argv[i] = tty;
		for (size_t k = 0; k < OPTIONS; k++)
			if (options[k].value && !strncmp(argv[i], "--", 2) &&
			    !strcmp(argv[i] + 2, options[k].name)) {
				i++;
				break;
			}
	}
	return i < argc ? i + 1 : argc;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct ssh ssh = {
		.guest = { .command = "ssh", .timeout = EXEC_TIMEOUT },
	};
	int ours = count_ours(argc, argv), words;
	int status = command_options(&command_ssh, ours, argv,
				 &ssh, &words);

	if (status >= 0)
		return status;
	if (ours < argc && !strcmp(argv[ours], "--"))
		ours++;
	return ssh_with(&ssh, words ? argv[0] : NULL, argc - ours, argv + ours);
}

const struct command command_ssh = {
	.name = "ssh",
	.summary = "log in to a machine's guest by ssh",
	.run = run,
	.synopsis = "[OPTIONS] NAME [-- COMMAND...]\n"
		    "--config [OPTIONS] NAME",
	.about = "Logs in to the guest of a running machine by this computer's ssh, or runs a\n"
		 "command there, through the agent in the guest (see lodge help agent): no\n"
		 "network and no set-up is needed. Waits for a guest that starts. A key pair of\n"
		 "lodge's own is made on first use and given to the account; the guest's host\n"
		 "key comes from the agent and is checked.",
	.examples = "lodge ssh web\n"
		    "lodge ssh web -- uptime\n"
		    "lodge ssh --config web >>~/.ssh/config",
	.options = options,
	.option_count = OPTIONS,
	.words = "running -",
	.words_max = COMMAND_MANY,
	.statuses = "ssh's, that is the command's, or 255; 1 when the guest "
		    "cannot be reached, 2 wrong usage",
	.more = more_ssh,
};
