/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors for consoles.
 */
#include "vmm/console/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vm/host.h"

/* A pipe that is ready for writing takes at least this much (pipe(7)). */
#define BLOCKING_CHUNK 4096u

/*
 * Standard output for writing without waiting. O_NONBLOCK belongs to the
 * open file, which the shell and others share: a terminal or a pipe is
 * opened anew to have it alone. What cannot be opened anew is used as it is.
 */
static void open_stdout(struct console_fds *fds)
{
	struct stat status;

	fds->out = STDOUT_FILENO;
	fds->blocking = true;
	if (fstat(STDOUT_FILENO, &status)) {
		fds->out = -1;
	} else if (S_ISREG(status.st_mode)) {
		fds->blocking = false;
	} else if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) {
		int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK |
							 O_NOCTTY | O_CLOEXEC);

		if (fd >= 0) {
			fds->out = fd;
			fds->own_out = true;
			fds->blocking = false;
		}
	}
}

static int open_stdio(struct console_fds *fds, const char *path,
		      const char *what, struct vmm_error *error)
{
	fds->in = STDIN_FILENO;
	fds->in_terminal = isatty(STDIN_FILENO);
	open_stdout(fds);
	return 0;
}

/* What the file held goes only when the guest starts. */
static int open_file(struct console_fds *fds, const char *path,
		     const char *what, struct vmm_error *error)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	fds->out = open(path, flags);
	if (fds->out < 0 && errno == ENOENT) {
		fds->out = open(path, flags | O_CREAT | O_EXCL, 0644);
		fds->created = fds->out >= 0 ? path : NULL;
	}
	if (fds->out < 0)
		return vmm_error_set(error,
				     "%s: file %s: %s; name one that can be "
				     "written", what, path, strerror(errno));
	fds->own_out = true;
	return 0;
}

/* A pipe or a device keeps nothing. */
static void limit_file(struct console_fds *fds,
		       const struct console_config *config)
{
	struct stat status;

	if (!config->limit || fstat(fds->out, &status) ||
	    !S_ISREG(status.st_mode))
		return;
	fds->path = config->path;
	fds->left = config->limit;
}

int console_fds_start(struct console_fds *fds)
{
	struct stat status;

	fds->created = NULL;
	if (fds->own_out && !fstat(fds->out, &status) &&
	    S_ISREG(status.st_mode) && ftruncate(fds->out, 0))
		return -errno;
	return 0;
}

/*
 * We keep the slave open as well: without it the master reports a hang-up
 * all the time until somebody comes, and again after he went.
 */
static int open_pty(struct console_fds *fds, const char *path,
		    const char *what, struct vmm_error *error)
{
	struct termios settings;

	fds->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fds->in < 0)
		goto failed;
	fds->own_in = true;
	if (grantpt(fds->in) || unlockpt(fds->in) ||
	    ptsname_r(fds->in, fds->pty_name, sizeof(fds->pty_name)))
		goto failed;
	fds->keep = open(fds->pty_name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fds->keep < 0 || tcgetattr(fds->keep, &settings))
		goto failed;
	cfmakeraw(&settings);
	if (tcsetattr(fds->keep, TCSANOW, &settings))
		goto failed;
	fds->out = fcntl(fds->in, F_DUPFD_CLOEXEC, 3);
	if (fds->out < 0)
		goto failed;
	fds->own_out = true;
	return 0;
failed:
	return vmm_error_set(error, "%s: pseudo-terminal: %s", what,
			     strerror(errno));
}

static int open_none(struct console_fds *fds, const char *path,
		     const char *what, struct vmm_error *error)
{
	return 0;
}

static int open_socket(struct console_fds *fds, const char *path,
		       const char *what, struct vmm_error *error)
{
	char name[96];

	snprintf(name, sizeof(name), "%s: socket", what);
	return unix_socket_listen(&fds->listener, name, path, error);
}

/* A copy for output: the loop watches each direction by itself. */
int console_fds_accept(struct console_fds *fds)
{
	int fd = accept4(fds->listener.fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	int copy, rc;

	if (fd < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	fds->in = fd;
	fds->out = copy;
	fds->own_in = fds->own_out = true;
	return 0;
}

void console_fds_close_in(struct console_fds *fds)
{
	if (fds->own_in)
		close(fds->in);
	fds->own_in = false;
	fds->in = -1;
}

void console_fds_close_out(struct console_fds *fds)
{
	if (fds->own_out)
		close(fds->out);
	fds->own_out = false;
	fds->out = -1;
}

int console_fds_open(struct console_fds *fds,
		     const struct console_config *config, const char *what,
		     struct vmm_error *error)
{
	static int (*const open_kind[])(struct console_fds *fds,
					const char *path, const char *what,
					struct vmm_error *error) = {
		[CONSOLE_STDIO] = open_stdio,
		[CONSOLE_FILE] = open_file,
		[CONSOLE_PTY] = open_pty,
		[CONSOLE_SOCKET] = open_socket,
		[CONSOLE_NONE] = open_none,
	};

	*fds = (struct console_fds){
		.in = -1, .out = -1, .keep = -1, .listener.fd = -1,
	};
	if (open_kind[config->kind](fds, config->path, what, error)) {
		console_fds_close(fds);
		return -1;
	}
	if (config->kind == CONSOLE_FILE)
		limit_file(fds, config);
	return 0;
}

void console_fds_close(struct console_fds *fds)
{
	console_fds_close_in(fds);
	console_fds_close_out(fds);
	if (fds->keep >= 0)
		close(fds->keep);
	fds->keep = -1;
	if (fds->created)
		unlink(fds->created);
	fds->created = NULL;
	unix_socket_close(&fds->listener);
}

static ssize_t write_limited(struct console_fds *fds, const uint8_t *data,
			     uint32_t count)
{
	ssize_t n;

	if (!fds->left)
		return count;
	n = write(fds->out, data, count < fds->left ? count : fds->left);
	if (n <= 0)
		return n;
	fds->left -= (uint64_t)n;
	if (!fds->left)
		host_log(HOST_LOG_WARN, "file %s has reached its limit; what "
			 "the guest says from now on is lost; give "
			 "file:PATH,limit=SIZE", fds->path);
	return n;
}

ssize_t console_fds_write(struct console_fds *fds, const uint8_t *data,
			  uint32_t count)
{
	struct pollfd out = { .fd = fds->out, .events = POLLOUT };

	if (fds->out < 0)
		return count;
	if (fds->path)
		return write_limited(fds, data, count);
	if (!fds->blocking)
		return write(fds->out, data, count);
	if (poll(&out, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(fds->out, data,
		     count < BLOCKING_CHUNK ? count : BLOCKING_CHUNK);
}
