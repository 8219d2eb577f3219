/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion of a word, between its grammar (completion.c) and what there is
 * to be named (completion_kept.c).
 *
 * Kinds of words, for struct command: "vm" (any machine), "running", "stopped",
 * "kept", "image", "instance" (a machine of lodge run IMAGE), "network",
 * "format", "file", "guestfile" (a file here or MACHINE:PATH), "command",
 * "disk", "drive", "action", "limit"; "-" is none.
 */
#ifndef LODGE_CLI_COMPLETION_H
#define LODGE_CLI_COMPLETION_H

#include <stdbool.h>

struct completion {
	const char *now;    /* what is typed of the word */
	const char *before; /* what is put before each */
	bool cut;	    /* the shell has what is before its last = */
};

/* Prints the word if it begins as typed; `about` may be NULL. */
void completion_offer(struct completion *completion, const char *word,
		      const char *about);

/* Prints all of a kind that this user has. */
void completion_offer_kept(struct completion *completion, const char *kind);

#endif
