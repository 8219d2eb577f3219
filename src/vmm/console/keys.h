/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that are meant for lodge and not for the guest: Ctrl-A and a letter.
 */
#ifndef LODGE_VMM_CONSOLE_KEYS_H
#define LODGE_VMM_CONSOLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum key_action {
	KEY_BYTE,    /* goes to the guest */
	KEY_CTRL_A,  /* Ctrl-A goes to the guest */
	KEY_PENDING, /* the beginning of a command */
	KEY_STOP,
	KEY_RESET,
	KEY_POWER,
	KEY_LEAVE, /* the machine goes on without the terminal */
	KEY_HELP,
	KEY_UNKNOWN,
};

#define KEYS_CTRL_A 0x01

struct keys {
	bool escaped; /* Ctrl-A was the last byte */
};

/* What `byte` means after those before it. */
enum key_action keys_take(struct keys *keys, uint8_t byte);

/* Line `n` of the list of keys; NULL after the last. */
const char *keys_help(unsigned int n);

#endif
