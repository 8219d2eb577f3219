/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptors behind a console, set up so that writing never
 * blocks and nobody else's view of a shared terminal or pipe changes.
 */
#ifndef LODGE_VMM_CONSOLE_FD_H
#define LODGE_VMM_CONSOLE_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/console/console.h"
#include "vmm/unix_socket.h"

struct console_fds {
	int in; /* -1: no input */
	int out; /* -1: no output */
	int keep; /* the other end of a pseudo-terminal, or -1 */
	struct unix_socket listener; /* of CONSOLE_SOCKET */
	bool own_in, own_out;
	bool in_terminal; /* a person's: raw mode and command keys */
	bool blocking; /* `out` may block: ask poll() before each write */
	const char *created; /* a file that was not there before */
	const char *path; /* of a file that has a limit; NULL: it has none */
	uint64_t left; /* bytes that it still gets */
	char pty_name[64];
};

/* -1 with `error`, which starts with `what`; then nothing stays open. */
int console_fds_open(struct console_fds *fds,
		     const struct console_config *config, const char *what,
		     struct vmm_error *error);

/* The guest starts: a file is emptied, and kept. Negative errno. */
int console_fds_start(struct console_fds *fds);

/* Closes what is ours. A new file that the guest never had is removed. */
void console_fds_close(struct console_fds *fds);

/*
 * Takes the next client of the listener as `in` and `out`. 0 or a negative
 * errno.
 */
int console_fds_accept(struct console_fds *fds);

/* Closes one direction of it. */
void console_fds_close_in(struct console_fds *fds);
void console_fds_close_out(struct console_fds *fds);

/*
 * As write(2), with EAGAIN instead of waiting. What is beyond a file's limit is
 * lost, which the log says once.
 */
ssize_t console_fds_write(struct console_fds *fds, const uint8_t *data,
			  uint32_t count);

#endif
