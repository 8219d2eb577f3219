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

static int fail_by(struct share_error *error, const char *folder, int number)
{
	if (number == ENOENT)
		return fail(error, folder, "there is no such folder; make it "
			    "first, or name another");
	if (number == ENOTDIR)
		return fail(error, folder, "is no folder; share the one that "
			    "it is in");
	if (number == ENOPKG)
		return fail(error, folder, "needs the program lodge-share, "
			    "which is not installed");
	return fail(error, folder, strerror(number));
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

/* The descriptors are out of the way of those that a dup2 would close. */
int start_program(const struct share_config *config, const int fd[3],
		  pid_t *pid)
{
	char program[2 * PATH_MAX];
	int high[3], rc = 0;

	if (!extension_program("share", program, sizeof(program)))
		return ENOPKG;
	for (int i = 0; i < 3; i++) {
		high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, CHANNEL_FD_LIFE + 1);
		if (high[i] < 0)
			rc = errno;
	}
	if (!rc)
		rc = spawn(config, program, high, pid);
	for (int i = 0; i < 3; i++)
		if (high[i] >= 0)
			close(high[i]);
	return rc;
}

/* --- by a broker ------------------------------------------------------------------ */

bool start_read_wish(struct start_wish *wish, const char *subject)
{
	char mode[3];
	int used = 0;

	*wish = (struct start_wish){ 0 };
	if (sscanf(subject, "%d,%d,%2[a-z],%" SCNu64 ",%u%n", &wish->memory,
		   &wish->life, mode, &wish->config.believe,
		   &wish->config.cpus, &used) != 5 || subject[used] != '/')
		return false;
	wish->config.readonly = !strcmp(mode, "ro");
	wish->config.folder = subject + used;
	return true;
}

/* The number of a process that we have a descriptor of; 0: it has ended. */
static pid_t pid_of(int process)
{
	char path[64], line[128];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", process);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (file)
		fclose(file);
	return pid > 0 ? pid : 0;
}

static int ask_broker(const struct share_config *config, int memory, int life,
		      struct start_result *result)
{
	char wish[PATH_MAX];
	int process;

	snprintf(wish, sizeof(wish), "%d,%d,%s,%" PRIu64 ",%u%s", memory, life,
		 config->readonly ? "ro" : "rw", config->believe, config->cpus,
		 config->folder);
	process = jail_ask(START_VERB, wish);
	if (process < 0)
		return -process;
	result->process = process;
	result->pid = pid_of(process);
	return 0;
}

/* --- either way ------------------------------------------------------------------- */

/* The server gets the other ends. errno. */
static int start(const struct share_config *config, int memory, int life,
		 struct start_result *result)
{
	int fd[3] = { -1, memory, life }, rc;

	if (jail_entered())
		return ask_broker(config, memory, life, result);
	fd[0] = open(config->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd[0] < 0)
		return errno;
	rc = start_program(config, fd, &result->pid);
	close(fd[0]);
	return rc;
}

int start_server(const struct share_config *config, struct start_result *result,
		 struct share_error *error)
{
	int memory, life[2] = { -1, -1 }, rc;

	result->process = -1;
	memory = make_channel(&result->channel);
	rc = memory < 0 || pipe2(life, O_CLOEXEC) ? errno : 0;
	if (!rc)
		rc = start(config, memory, life[0], result);
	if (memory >= 0)
		close(memory);
	if (life[0] >= 0)
		close(life[0]);
	result->life = life[1];
	if (!rc)
		return 0;
	if (life[1] >= 0)
		close(life[1]);
	if (result->channel)
		munmap(result->channel, sizeof(*result->channel));
	return fail_by(error, config->folder, rc);
}
