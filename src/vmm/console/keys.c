/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The escape key and its commands, as one table.
 */
#include "vmm/console/keys.h"

#include <stddef.h>

static const struct key {
	uint8_t byte;
	enum key_action action;
	const char *help; /* NULL: a second key for the one before it */
} keys_table[] = {
	{ 'x', KEY_STOP, "Ctrl-A x       stop the machine at once" },
	{ 'r', KEY_RESET, "Ctrl-A r       reset it" },
	{ 'p', KEY_POWER, "Ctrl-A p       press its power button" },
	{ 'd', KEY_LEAVE, "Ctrl-A d       leave it running without this terminal" },
	{ 'a', KEY_CTRL_A, "Ctrl-A Ctrl-A  send Ctrl-A to the guest" },
	{ KEYS_CTRL_A, KEY_CTRL_A, NULL },
	{ 'h', KEY_HELP, "Ctrl-A h       list these keys" },
	{ '?', KEY_HELP, NULL },
};

#define KEYS (sizeof(keys_table) / sizeof(keys_table[0]))

enum key_action keys_take(struct keys *keys, uint8_t byte)
{
	if (!keys->escaped) {
		keys->escaped = byte == KEYS_CTRL_A;
		return keys->escaped ? KEY_PENDING : KEY_BYTE;
	}
	keys->escaped = false;
	for (size_t i = 0; i < KEYS; i++)
		if (keys_table[i].byte == byte)
			return keys_table[i].action;
	return KEY_UNKNOWN;
}

const char *keys_help(unsigned int n)
{
	for (size_t i = 0; i < KEYS; i++)
		if (keys_table[i].help && !n--)
			return keys_table[i].help;
	return NULL;
}
