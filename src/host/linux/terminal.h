/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's terminal in raw mode, given back in every case: on return, on
 * exit(), on fatal signals, and while the process is stopped (SIGTSTP; raw
 * again on SIGCONT).
 *
 * A process has one controlling terminal and signal handlers take no
 * argument, so this module keeps the one state of its kind.
 */
#ifndef LODGE_HOST_LINUX_TERMINAL_H
#define LODGE_HOST_LINUX_TERMINAL_H

#include <stdbool.h>

/*
 * Puts the terminal behind `fd` into raw mode: no echo, no line editing, no
 * signals from keys; output processing stays as it is, so that our own
 * messages read well. When `fd` is no terminal, does nothing and gives 0.
 *
 * Handlers that restore it go to SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSEGV,
 * SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTSTP and SIGCONT, each only where the
 * program has set none of its own: install yours first, and call
 * terminal_restore() in them if they end the process. Negative errno.
 */
int terminal_raw(int fd);

/* The same without output processing, for what the far end has processed. */
int terminal_raw_whole(int fd);

/* Back to what was found. Any number of times; signal-safe. */
void terminal_restore(void);

#endif
