/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a folder's server. It gets three descriptors and no more: the
 * folder, the memory of channel.h, and a pipe that ends with the machine.
 */
#include "share/start.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/extension.h"
#include "host/linux/jail.h"

static int fail(struct share_error *error, const char *folder, const char *why)
{
	snprintf(error->text, sizeof(error->text), "share %s: %s", folder,
		 why);
	return -1;
}

static int open_folder(const char *folder, struct share_error *error)
{
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return fail(error, folder, "there is no such folder; make it "
			    "first, or name another");
	if (errno == ENOTDIR)
		return fail(error, folder, "is no folder; share the one that "
			    "it is in");
	return fail(error, folder, strerror(errno));
}

static int make_channel(struct channel **channel)
{
	int fd = memfd_create("lodge-share", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	*channel = NULL;
	if (fd < 0)
		return -1;
	/* So that neither side can cut it under the other's feet. */
	if (!ftruncate(fd, sizeof(**channel)) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		*channel = mmap(NULL, sizeof(**channel),
				PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*channel && *channel != MAP_FAILED)
		return fd;
	*channel = NULL;
	close(fd);
	return -1;
}

/* With a signal mask and a process group of its own: keys do not reach it. */
static int spawn(const struct share_config *config, const char *program,
		 const int fd[3], pid_t *pid)
{
	static char *const environment[] = { NULL };
	char believe[24], cpus[16];
	char *words[] = { "lodge-share", config->readonly ? "ro" : "rw",
			  believe, cpus, (char *)config->folder, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	snprintf(believe, sizeof(believe), "%" PRIu64, config->believe);
	snprintf(cpus, sizeof(cpus), "%u", config->cpus);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF |
				 POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fd[i],
						 CHANNEL_FD_FOLDER + i);
	rc = posix_spawn(pid, program, &actions, &attributes, words,
			 environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return rc;
}

/* Out of the way of those that the server gets, which a dup2 would close. */
static int above(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, CHANNEL_FD_LIFE + 1);

	close(fd);
	return high;
}

int start_server(const struct share_config *config, struct start_result *result,
		 struct share_error *error)
{
	char program[2 * PATH_MAX];
	int fd[3] = { -1, -1, -1 }, life[2] = { -1, -1 }, rc;

	if (jail_entered())
		return fail(error, config->folder, "a machine in its sandbox "
			    "starts no server; stop it, and give the folder "
			    "with --share");
	if (!extension_program("share", program, sizeof(program)))
		return fail(error, config->folder, "needs the program "
			    "lodge-share, which is not installed");
	fd[0] = open_folder(config->folder, error);
	if (fd[0] < 0)
		return -1;
	fd[1] = make_channel(&result->channel);
	rc = fd[1] < 0 || pipe2(life, O_CLOEXEC) ? errno : 0;
	fd[2] = life[0];
	for (int i = 0; i < 3 && !rc; i++) {
		fd[i] = above(fd[i]);
		if (fd[i] < 0)
			rc = errno;
	}
	if (!rc)
		rc = spawn(config, program, fd, &result->pid);
	for (int i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	result->life = life[1];
	if (!rc)
		return 0;
	if (life[1] >= 0)
		close(life[1]);
	if (result->channel)
		munmap(result->channel, sizeof(*result->channel));
	return fail(error, config->folder, strerror(rc));
}
