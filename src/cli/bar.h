/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bar on standard error for work that takes long: one line that is drawn
 * anew, never wider than the terminal.
 */
#ifndef LODGE_CLI_BAR_H
#define LODGE_CLI_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BAR_MAX 256

/* Whether standard error is a terminal that can draw a line anew. */
bool bar_wanted(void);

/*
 * The line for `columns`, without a newline: what does not fit is left out, the
 * rate first, then the sizes, then the bar. `seconds` that it has taken: bytes
 * are counted; 0: things are. `done` is at most `total`, which is not 0.
 */
void bar_line(char line[BAR_MAX], unsigned int columns, const char *what,
	      uint64_t done, uint64_t total, double seconds);

/* Draws that, as wide as the terminal is now. */
void bar_draw(const char *what, uint64_t done, uint64_t total,
	      double seconds);

/* Takes it away. */
void bar_clear(void);

#endif
