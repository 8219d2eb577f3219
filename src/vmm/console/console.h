/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of a serial console or of a port of the virtio console: the
 * terminal, a file, a pseudo-terminal, a socket or nothing.
 *
 * Output goes through a ring that the event loop empties, a millisecond
 * after its first byte, so that a guest's device access never waits. When
 * the ring is nearly full, `full` is called and the processors' threads are
 * to wait in console_wait_room(): nothing is lost but on a pseudo-terminal
 * that nobody reads, and on a socket without a client, which gets the last
 * CONSOLE_KEPT bytes when it comes.
 *
 * What can wait (console_config.waits) is treated otherwise: then the ring
 * takes no more than it has room for, and `room` tells when there is some
 * again. Nothing is lost, whoever reads.
 */
#ifndef LODGE_VMM_CONSOLE_CONSOLE_H
#define LODGE_VMM_CONSOLE_CONSOLE_H

#include "chip/uart.h"
#include "host/linux/loop.h"
#include "vm/stream.h"
#include "vmm/console/keys.h"
#include "vmm/error.h"

enum console_kind {
	CONSOLE_STDIO,
	CONSOLE_FILE,
	CONSOLE_PTY,
	CONSOLE_SOCKET, /* listens; a client at a time, others wait */
	CONSOLE_NONE,
};

#define CONSOLE_LAST 2048u /* bytes, for whoever asks after a crash */
#define CONSOLE_KEPT 65536u
#define CONSOLE_FILE_MAX ((uint64_t)256 << 20) /* when nothing is said */

struct console_config {
	enum console_kind kind;
	const char *path; /* of a file or socket */
	uint64_t limit;	  /* bytes that a file may get; 0: any number */
	const char *what; /* in messages; NULL: the serial console */
	bool waits;	  /* the guest's writers do, not its processors */
};

/* What the console needs of the machine. */
struct console_ops {
	/* Bytes for the guest; how many it took. Loop thread. */
	unsigned int (*receive)(void *ctx, const uint8_t *data,
				unsigned int count);
	/* A command key on the terminal. Loop thread. */
	void (*key)(void *ctx, enum key_action action);
	/* Output cannot be written: `error` is a positive errno. */
	void (*failed)(void *ctx, int error);
	/* Processors are to stop for console_wait_room(). Any thread. */
	void (*full)(void *ctx);
	/* The stream takes bytes again. Loop thread. May be NULL. */
	void (*room)(void *ctx);
	/* A client came to the socket, or left it. Likewise. */
	void (*peer)(void *ctx, bool there);
};

struct console;

/*
 * Opens the outside. The terminal stays as it is. -1 with `error`.
 */
int console_open(struct console **console,
		 const struct console_config *config,
		 struct vmm_error *error);

/*
 * Prints the last CONSOLE_LAST bytes that went to a socket to standard error.
 * Nothing writes any more.
 */
void console_tell_last(const struct console *console);

/*
 * Writes what is left, until that host_monotonic_ns() time at most; gives the
 * terminal back. NULL is fine.
 */
void console_close(struct console *console, uint64_t deadline_ns);

/* For struct board_config; NULL when bytes go nowhere. */
const struct uart_sink *console_sink(struct console *console);

/* For a port; one call of its write() at a time. */
struct stream console_stream(struct console *console);

/* Whether somebody is outside from the start on: not so with a socket. */
bool console_has_peer(const struct console *console);

/*
 * Starts to read and write on `loop`, the terminal in raw mode. `ops` is
 * kept. -1 with `error`.
 */
int console_start(struct console *console, struct loop *loop,
		  const struct console_ops *ops, void *ctx,
		  struct vmm_error *error);

/* To be called on the loop's wake: gives the guest waiting input. */
void console_woken(struct console *console);

/*
 * Gives the terminal back and listens at the socket `path` instead, with all
 * of CONSOLE_SOCKET. Loop thread. -1 with `error`: it stays where it is.
 */
int console_leave(struct console *console, const char *path,
		  struct vmm_error *error);

/*
 * Sleeps while the ring is too full to run a guest; returns at once after
 * console_release(), until console_hold(). vCPU threads.
 */
void console_wait_room(struct console *console);
void console_release(struct console *console);
void console_hold(struct console *console);

/* The terminal's size in characters; false: no terminal, or none known. */
bool console_size(const struct console *console, unsigned int *cols,
		  unsigned int *rows);

/* Whether a person is at the terminal, and where the pseudo-terminal is. */
bool console_interactive(const struct console *console);
const char *console_pty_name(const struct console *console);

#endif
