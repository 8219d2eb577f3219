/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezes the guest's file systems while a connection is open: what is on disk
 * is whole then, and nothing changes. However the connection ends, they thaw.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/guest.h"

#define MOUNTS_MAX 256
#define HELD_MS	   600000 /* at most: a guest that is frozen does no work */

/* linux/fs.h */
#define FREEZE_IOCTL _IOWR('X', 119, int)
#define THAW_IOCTL   _IOWR('X', 120, int)

struct frozen {
	int folder[MOUNTS_MAX];
	unsigned int count;
};

/* Backslash and three octal digits, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') << 6 |
				       (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* Those that lie on a device, from the last that was mounted on. */
static unsigned int list_mounts(char *mount[MOUNTS_MAX])
{
	FILE *file = fopen("/proc/self/mounts", "re");
	char line[2048], device[1024], path[1024];
	unsigned int count = 0;

	while (file && count < MOUNTS_MAX &&
	       fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%1023s %1023s", device, path) != 2 ||
		    device[0] != '/')
			continue;
		unescape(path);
		mount[count] = strdup(path);
		if (mount[count])
			count++;
	}
	if (file)
		fclose(file);
	return count;
}

static void thaw(struct frozen *frozen)
{
	while (frozen->count)
		ioctl(frozen->folder[--frozen->count], THAW_IOCTL, 0);
}

/* 0 or -1 with errno; what cannot be frozen, or is already, is passed. */
static int freeze(struct frozen *frozen, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (!ioctl(fd, FREEZE_IOCTL, 0)) {
		frozen->folder[frozen->count++] = fd;
		return 0;
	}
	close(fd);
	return errno == EOPNOTSUPP || errno == EBUSY || errno == EROFS ||
	       errno == ENOTTY ? 0 : -1;
}

/* Until the host says THAW, is gone, or the time is up. */
static void hold(struct session *session)
{
	struct pollfd ready = { .fd = session->fd, .events = POLLIN };

	poll(&ready, 1, HELD_MS);
}

void serve_freeze(struct session *session)
{
	static struct frozen frozen;
	char *mount[MOUNTS_MAX];
	unsigned int count = list_mounts(mount);
	int rc = 0;

	/* Frozen, we must not wait for a page of ours. */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	signal(SIGTERM, SIG_IGN);
	while (count && !rc)
		rc = freeze(&frozen, mount[--count]);
	if (rc) {
		int error = errno;

		thaw(&frozen);
		frame_send_failure(session->fd, error, "%.300s: cannot be "
				   "frozen: %s", mount[count], strerror(error));
		return;
	}
	count = frozen.count;
	session_done(session, count);
	hold(session);
	thaw(&frozen);
	session_done(session, count);
}
