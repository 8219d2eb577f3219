/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lodge ssh sees when it looks at a guest: the output of a script there,
 * of which nothing is believed.
 */
#ifndef LODGE_CLI_GUEST_SSH_LOOK_H
#define LODGE_CLI_GUEST_SSH_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/protocol.h"

#define SSH_LOOK_OUTPUT 16384
#define SSH_LOOK_KEYS	16
#define SSH_LOOK_KEY	1024

struct ssh_look {
	bool account, installed, listens, boots;
	unsigned int keys;
	char key[SSH_LOOK_KEYS][SSH_LOOK_KEY]; /* "TYPE BASE64" */
	size_t size;
	char output[SSH_LOOK_OUTPUT + 1];
	char refused[AGENT_TEXT_MAX]; /* why it cannot be; "" */
};

/* A piece of the script's output; what is too much is left out. */
void ssh_look_add(struct ssh_look *look, const uint8_t *data, size_t size);

/* All of it is there: what it says, as far as it makes sense. Once. */
void ssh_look_read(struct ssh_look *look);

#endif
