/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lodged that is not this user's own: --connect URL before the command, or
 * LODGE_HOST, say where it is, --token-file and so on who we are there.
 */
#ifndef LODGE_CLI_DAEMON_ELSEWHERE_H
#define LODGE_CLI_DAEMON_ELSEWHERE_H

#include <stdbool.h>

#include "vmm/error.h"

#define ELSEWHERE_TOKEN_MAX 200

/* Whether one is meant. */
bool elsewhere(void);

/*
 * Takes the options in front of a command: how many words those are, or -1
 * after cli_error().
 */
int elsewhere_take(int argc, char **argv);

/* Whether a command works there. */
bool elsewhere_can(const char *command);

/* Connects to it: a descriptor, or -1 with `error`. */
int elsewhere_open(struct vmm_error *error);

/* The token's text, "" without one. -1 with `error`. */
int elsewhere_token(char token[ELSEWHERE_TOKEN_MAX], struct vmm_error *error);

#endif
