/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of the host: the machine's firmware tables tell of them, one string
 * each ("lodge.share=rw:TAG:FOLDER", an OEM string of SMBIOS, DSP0134 7.12).
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/guest.h"

#define TABLES	   "/sys/firmware/dmi/tables/DMI"
#define TABLES_MAX 65536
#define OEM_TYPE   11
#define WORD	   "lodge.share="
#define TRIES	   300
#define PAUSE_NS   200000000

#define COME_TRIES 100 /* for a device that was just plugged in */

/* "/a/b/c": each of them, unless it is there. */
static void make_folders(const char *path)
{
	char part[256];

	for (const char *at = path + 1;; at++) {
		if (*at && *at != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
		mkdir(part, 0755);
		if (!*at)
			return;
	}
}

static void load_module(void)
{
	char *const words[] = { "modprobe", "-q", "virtiofs", NULL };
	char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
		"/bin", NULL
	};
	int status;
	pid_t pid;

	if (!posix_spawnp(&pid, words[0], NULL, NULL, words, environment))
		waitpid(pid, &status, 0);
}

static bool is_mounted(const char *tag, const char *folder)
{
	FILE *file = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	while (file && !found && (entry = getmntent(file)))
		found = !strcmp(entry->mnt_type, "virtiofs") &&
			!strcmp(entry->mnt_fsname, tag) &&
			!strcmp(entry->mnt_dir, folder);
	if (file)
		endmntent(file);
	return found;
}

/* "rw:TAG:FOLDER". False: another try is worth it. */
static bool mount_one(const char *text, bool load)
{
	unsigned long flags = MS_NOSUID | MS_NODEV;
	char tag[64];
	const char *folder;

	if (strncmp(text, "rw:", 3) && strncmp(text, "ro:", 3))
		return true;
	if (text[1] == 'o')
		flags |= MS_RDONLY;
	folder = strchr(text + 3, ':');
	if (!folder || folder[1] != '/' || folder - text - 3 >= 64)
		return true;
	snprintf(tag, sizeof(tag), "%.*s", (int)(folder - text - 3), text + 3);
	if (is_mounted(tag, ++folder))
		return true;
	make_folders(folder);
	if (!mount(tag, folder, "virtiofs", flags, NULL))
		return true;
	if (load && errno == ENODEV) {
		load_module();
		return mount_one(text, false);
	}
	return false;
}

/* The strings behind one structure; how many were not mounted. */
static int mount_strings(const char *at, const char *end, bool load)
{
	int left = 0;

	while (at < end && *at) {
		size_t size = strnlen(at, (size_t)(end - at));

		if (at + size == end)
			break;
		if (!strncmp(at, WORD, strlen(WORD)))
			left += !mount_one(at + strlen(WORD), load);
		at += size + 1;
	}
	return left;
}

/* Behind a structure's strings, which end with an empty one. */
static const char *next(const char *at, const char *end)
{
	while (at + 1 < end && (at[0] || at[1]))
		at++;
	return at + 2;
}

static int mount_all(const char *tables, size_t size, bool load)
{
	const char *at = tables, *end = tables + size;
	int left = 0;

	while (at + 4 <= end && (uint8_t)at[1] >= 4) {
		const char *strings = at + (uint8_t)at[1];

		if (strings > end)
			break;
		if (at[0] == OEM_TYPE)
			left += mount_strings(strings, end, load);
		at = next(strings, end);
	}
	return left;
}

/* Its devices may not have been found yet: nobody waits for this. */
static void keep_trying(const char *tables, size_t size)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	for (int i = 0; i < TRIES && mount_all(tables, size, false); i++)
		nanosleep(&pause, NULL);
	_exit(0);
}

void shares_mount(void)
{
	static char tables[TABLES_MAX];
	int fd = open(TABLES, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n = 1;
	pid_t child;

	while (fd >= 0 && n > 0) {
		n = read(fd, tables + size, sizeof(tables) - size);
		size += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (!mount_all(tables, size, true))
		return;
	/* A child's child, for main() waits for children of its own alone. */
	child = fork();
	if (!child) {
		if (!fork())
			keep_trying(tables, size);
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

/* --- while it runs --------------------------------------------------------------- */

/* The words of the request: one, which has a folder. */
static const char *only_word(struct session *session)
{
	const char *word = session->words.count == 1 ? session->words.string[0] :
						       NULL;

	if (!word)
		frame_send_failure(session->fd, EINVAL,
				   "a shared folder is one word");
	return word;
}

void serve_mount(struct session *session)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS / 2 };
	const char *word = only_word(session);
	bool mounted = false;

	if (!word)
		return;
	for (int i = 0; i < COME_TRIES && !mounted; i++) {
		mounted = mount_one(word, !i);
		if (!mounted)
			nanosleep(&pause, NULL);
	}
	if (mounted)
		session_done(session, 1);
	else
		session_failed(session, word);
}

void serve_unmount(struct session *session, bool force)
{
	const char *folder = only_word(session);

	if (!folder)
		return;
	/* Somebody else may have done it. */
	if (!umount2(folder, force ? MNT_DETACH : 0) || errno == EINVAL ||
	    errno == ENOENT)
		session_done(session, 1);
	else
		session_failed(session, folder);
}
