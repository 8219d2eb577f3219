/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge console: this terminal on the serial console of a machine that is kept,
 * or was left with Ctrl-A d.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "host/linux/terminal.h"
#include "vmm/machine.h"

#define CTRL_A 0x01
#define CHUNK  4096

struct talk {
	int fd;
	bool escaped; /* Ctrl-A was the last key */
	bool left;    /* by Ctrl-A d, or x */
	bool input_ended;
};

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[RUNTIME_PATH_MAX];
	int fd = -1;

	runtime_path(path, name, "console");
	errno = ENAMETOOLONG;
	if (runtime_name_valid(name) && strlen(path) < sizeof(address.sun_path))
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path);
	if (fd >= 0 &&
	    !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	cli_error("console: %s has no console here: %s", name,
		  errno == ENOENT || errno == ECONNREFUSED ?
			  "it does not run, or is on the terminal of lodge run "
			  "(Ctrl-A d leaves it there); see lodge ps" :
			  strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* Keys for the guest, without those that are ours. The number. */
static size_t take_keys(struct talk *talk, char *keys, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count && !talk->left; i++) {
		char key = keys[i];

		if (talk->escaped && (key == 'd' || key == 'x'))
			talk->left = true;
		if (talk->escaped && key == 'h')
			fprintf(stderr, "\r\nCtrl-A d leaves the console, "
				"Ctrl-A Ctrl-A is Ctrl-A\r\n");
		if (talk->escaped ? key == CTRL_A : key != CTRL_A)
			keys[kept++] = key;
		talk->escaped = !talk->escaped && key == CTRL_A;
	}
	return kept;
}

static void take_input(struct talk *talk, bool terminal)
{
	char keys[CHUNK];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		talk->input_ended = true;
		return;
	}
	if (terminal)
		n = (ssize_t)take_keys(talk, keys, (size_t)n);
	/* A machine that has ended is seen at the other end. */
	if (send(talk->fd, keys, (size_t)n, MSG_NOSIGNAL) < 0)
		talk->input_ended = true;
}

static int converse(struct talk *talk)
{
	bool terminal = isatty(STDIN_FILENO);
	char text[CHUNK];
	ssize_t n;

	while (!talk->left) {
		struct pollfd ready[] = {
			{ talk->fd, POLLIN, 0 },
			{ talk->input_ended ? -1 : STDIN_FILENO, POLLIN, 0 },
		};

		if (poll(ready, 2, -1) < 0)
			continue;
		if (ready[0].revents) {
			n = read(talk->fd, text, sizeof(text));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return MACHINE_OK;
			if (!write_all(STDOUT_FILENO, text, (size_t)n))
				return MACHINE_FAILED;
		}
		if (ready[1].revents)
			take_input(talk, terminal);
	}
	return MACHINE_OK;
}

static int run(const struct command_context *context, int argc, char **argv)
{
	struct target target;
	struct talk talk = { 0 };
	int status;

	if (target_take(&target, &command_console, argc, argv, &status))
		return status;
	talk.fd = connect_to(target.word[0]);
	if (talk.fd < 0)
		return MACHINE_FAILED;
	if (isatty(STDIN_FILENO))
		fprintf(stderr, "lodge: Ctrl-A d leaves the console\r\n");
	terminal_raw_whole(STDIN_FILENO);
	status = converse(&talk);
	terminal_restore();
	close(talk.fd);
	return status;
}

const struct command command_console = {
	.name = "console",
	.summary = "connect to a machine's serial console",
	.run = run,
	.synopsis = "NAME",
	.about = "Connects this terminal to the serial console of a machine that is kept, "
		 "or was left with\nCtrl-A d, beginning with the last 64 KiB "
		 "that it said to nobody. Ctrl-A d leaves it; the machine goes on.",
	.examples = "lodge console web",
	.words = "running",
	.words_min = 1,
	.words_max = 1,
	.missing = "a machine's name",
};
