/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes to and from a program lies in memory files, so that neither side
 * waits for the other.
 */
#include "net/fabric_run.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDERS "/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_MAX_HERE 256

enum { IN, OUT, ERR, STREAMS };

/* The program's file: of $PATH, then of the system's folders. */
static bool find(const char *name, char path[PATH_MAX_HERE])
{
	const char *given = getenv("PATH");
	char all[4096], *rest = all, *folder;

	snprintf(all, sizeof(all), "%.3900s:" FOLDERS, given ? given : "");
	while ((folder = strsep(&rest, ":"))) {
		int length = snprintf(path, PATH_MAX_HERE, "%s/%s", folder,
				      name);

		if (*folder == '/' && length < PATH_MAX_HERE &&
		    !access(path, X_OK))
			return true;
	}
	return false;
}

/* A machine's threads block signals; the program begins as from a shell. */
static int spawn(pid_t *pid, const char *path, const char *const argv[],
		 const int fd[STREAMS])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
				 POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF |
				 POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < STREAMS; i++)
		posix_spawn_file_actions_adddup2(&actions, fd[i], i);
	err = posix_spawn(pid, path, &actions, &attributes,
			  (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return err;
}

/* The first line of what it complained of. */
static void first_line(int fd, char *text, size_t size)
{
	ssize_t got = pread(fd, text, size - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int finish(const char *name, pid_t pid, const int fd[STREAMS],
		  struct net_error *error)
{
	char why[160];
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return net_error_set(error, "%s: %s", name,
					     strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	first_line(fd[ERR], why, sizeof(why));
	return net_error_set(error, "%s: %s", name,
			     *why ? why : "it has failed");
}

int fabric_run(const char *const argv[], const json_t *input, json_t **output,
	       struct net_error *error)
{
	int fd[STREAMS] = { -1, -1, -1 }, failed = 0, err;
	char path[PATH_MAX_HERE];
	pid_t pid;

	if (output)
		*output = NULL;
	if (!find(argv[0], path))
		return net_error_set(error, "%s is missing: a network with "
				     "--backing bridge takes it; apt-get "
				     "install %s brings it", argv[0],
				     !strcmp(argv[0], "nft") ? "nftables"
							     : "dnsmasq-base");
	for (int i = 0; i < STREAMS; i++) {
		fd[i] = memfd_create(argv[0], MFD_CLOEXEC);
		failed = failed || fd[i] < 0;
	}
	if (!failed && input)
		failed = json_dumpfd(input, fd[IN], JSON_COMPACT) ||
			 lseek(fd[IN], 0, SEEK_SET);
	if (failed) {
		net_error_set(error, "%s: %s", argv[0], strerror(errno));
	} else {
		err = spawn(&pid, path, argv, fd);
		failed = err ? net_error_set(error, "%s: %s", argv[0],
					     strerror(err)) :
			       finish(argv[0], pid, fd, error);
	}
	if (!failed && output && !lseek(fd[OUT], 0, SEEK_SET))
		*output = json_loadfd(fd[OUT], 0, NULL);
	for (int i = 0; i < STREAMS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return failed ? -1 : 0;
}

int fabric_nft(const json_t *transaction, struct net_error *error)
{
	static const char *const argv[] = { "nft", "-j", "-f", "-", NULL };

	return fabric_run(argv, transaction, NULL, error);
}

json_t *fabric_nft_list(const char *what, const char *family,
			const char *table)
{
	const char *const argv[] = { "nft", "-j", "list", what, family,
				     !strcmp(what, "counters") ? "table" :
								 table,
				     !strcmp(what, "counters") ? table : NULL,
				     NULL };
	struct net_error unused;
	json_t *output;

	return fabric_run(argv, NULL, &output, &unused) ? NULL : output;
}
