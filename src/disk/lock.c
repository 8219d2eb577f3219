/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on images: open file description locks (fcntl(2)). A writer locks the
 * whole file for itself. A reader shares all of it but the bytes by which QEMU
 * says what it does: byte 100 + n is held (shared) by who needs permission n,
 * byte 200 + n by who does not let others have it; 1 is writing, 3 changing
 * the size. A reader of ours keeps others from both and looks whether somebody
 * does either.
 *
 * The kernel does not tell who holds such a lock, but /proc shows the locks of
 * each open file of this user's processes.
 */
#include "disk/lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/jail.h"
#include "host/linux/machine_of.h"

#define QEMU_NEEDS_WRITE 101 /* and what follows, up to the next */
#define QEMU_NO_READ	 200
#define QEMU_NO_WRITE	 201

/* A process that was killed has its locks for a moment after its command, and
 * then its files, are no more to be seen: so often it is looked again when
 * nobody is. */
#define PATIENCE 40
#define TICK_NS	 50000000

static bool has_lock(const char *process, const char *name)
{
	char path[320], line[200];
	bool found = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", process, name);
	info = fopen(path, "re");
	while (info && !found && fgets(line, sizeof(line), info))
		found = !strncmp(line, "lock:", 5);
	if (info)
		fclose(info);
	return found;
}

/* Whether a process has the file open with a lock on it. */
static bool is_holder(const char *process, const struct stat *file)
{
	char path[320];
	struct dirent *entry;
	struct stat status;
	bool found = false;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", process);
	folder = opendir(path);
	while (folder && !found && (entry = readdir(folder)))
		found = entry->d_name[0] != '.' &&
			!fstatat(dirfd(folder), entry->d_name, &status, 0) &&
			status.st_dev == file->st_dev &&
			status.st_ino == file->st_ino &&
			has_lock(process, entry->d_name);
	if (folder)
		closedir(folder);
	return found;
}

/* Its machine, or the command line without the folder of its program. */
static void command_of(const char *process, char *words, size_t size)
{
	char path[64], text[256] = "";
	const char *from = text, *slash;
	size_t count;
	FILE *file;

	if (machine_of_process(process, text, sizeof(text))) {
		snprintf(words, size, "machine %.40s", text);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", process);
	file = fopen(path, "re");
	count = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	slash = strrchr(text, '/');
	if (slash)
		from = slash + 1;
	for (size_t i = 0; i + 1 < count; i++)
		if (!isprint((unsigned char)text[i]))
			text[i] = text[i] ? '?' : ' ';
	snprintf(words, size, "%s", from);
}

pid_t lock_find_holder(const struct stat *file, pid_t own,
		       char words[LOCK_WORDS])
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	pid_t holder = 0;

	while (folder && (!holder || holder == own) &&
	       (entry = readdir(folder))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !is_holder(entry->d_name, file))
			continue;
		command_of(entry->d_name, words, LOCK_WORDS);
		if (*words) /* or it is about to end */
			holder = (pid_t)atoi(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return holder;
}

static pid_t ask_broker(int fd, char words[LOCK_WORDS])
{
	char text[LOCK_WORDS + 16];
	int used = 0, holder = 0, answer;
	ssize_t n;

	snprintf(text, sizeof(text), "%d", fd);
	answer = jail_ask(LOCK_VERB, text);
	if (answer < 0)
		return 0;
	n = pread(answer, text, sizeof(text) - 1, 0);
	close(answer);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%d %n", &holder, &used) == 1)
		snprintf(words, LOCK_WORDS, "%.59s", text + used);
	return holder;
}

/* -EAGAIN: nobody is seen to have it. */
static int refuse(int fd, struct disk_error *error)
{
	char words[LOCK_WORDS] = "";
	struct stat file;
	pid_t holder = 0;

	if (jail_entered())
		holder = ask_broker(fd, words);
	else if (!fstat(fd, &file))
		holder = lock_find_holder(&file, getpid(), words);
	if (holder == getpid())
		return disk_error_set(error, -EBUSY, "is in use here already; "
				      "give it once, or with readonly each "
				      "time");
	if (holder)
		return disk_error_set(error, -EBUSY, "is in use by process %d "
				      "(%s); stop that one, or give both a "
				      "copy", (int)holder, words);
	return disk_error_set(error, -EAGAIN, "is in use by another user's "
			      "process; stop that one, or give both a copy");
}

/* Whether the range could be locked, or locks are not known here. */
static bool set_lock(int fd, short type, off_t from, off_t length)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = from,
		.l_len = length,
	};

	return !fcntl(fd, F_OFD_SETLK, &lock) ||
	       (errno != EAGAIN && errno != EACCES);
}

/* Whether anybody has a lock on the range. */
static bool is_locked(int fd, off_t from, off_t length)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = from,
		.l_len = length,
	};

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

static bool try_lock(int fd, bool readonly)
{
	if (!readonly)
		return set_lock(fd, F_WRLCK, 0, 0);
	return set_lock(fd, F_RDLCK, 0, QEMU_NEEDS_WRITE) &&
	       set_lock(fd, F_RDLCK, QEMU_NO_WRITE, 0) &&
	       !is_locked(fd, QEMU_NEEDS_WRITE, QEMU_NO_READ - QEMU_NEEDS_WRITE);
}

int disk_lock(int fd, bool readonly, struct disk_error *error)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	int result = 0;

	for (unsigned int tries = 0; tries < PATIENCE; tries++) {
		if (try_lock(fd, readonly))
			return 0;
		result = refuse(fd, error);
		if (result != -EAGAIN)
			return result;
		nanosleep(&tick, NULL);
	}
	return -EBUSY;
}
