/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys by name ("esc", "f2", "ctrl-alt-delete") and characters as they are
 * typed on a US keyboard.
 */
#ifndef LODGE_VMM_KEYNAME_H
#define LODGE_VMM_KEYNAME_H

#include <stdbool.h>
#include <stdint.h>

/* A key pressed while others are held. */
struct keystroke {
	uint8_t modifiers; /* bit n: key KEY_LEFT_CTRL + n is held */
	uint8_t key;	   /* chip/key.h */
};

/* False: no such key. Capitals count as small letters. */
bool keyname_parse(const char *name, struct keystroke *stroke);

/* False: a US keyboard does not type it. */
bool keyname_of_char(char c, struct keystroke *stroke);

#endif
