/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Characters as a US keyboard types them.
 */
#include "chip/key.h"

#define SHIFT (1u << (KEY_LEFT_SHIFT - KEY_LEFT_CTRL))

/* Keys that type, from KEY_1 on: plain and with shift. */
static const struct {
	char plain, shifted;
	uint8_t key;
} typed[] = {
	{ '1', '!', KEY_1 },
	{ '2', '@', KEY_1 + 1 },
	{ '3', '#', KEY_1 + 2 },
	{ '4', '$', KEY_1 + 3 },
	{ '5', '%', KEY_1 + 4 },
	{ '6', '^', KEY_1 + 5 },
	{ '7', '&', KEY_1 + 6 },
	{ '8', '*', KEY_1 + 7 },
	{ '9', '(', KEY_9 },
	{ '0', ')', KEY_0 },
	{ '-', '_', KEY_MINUS },
	{ '=', '+', KEY_EQUAL },
	{ '[', '{', KEY_LEFT_BRACKET },
	{ ']', '}', KEY_RIGHT_BRACKET },
	{ '\\', '|', KEY_BACKSLASH },
	{ ';', ':', KEY_SEMICOLON },
	{ '\'', '"', KEY_QUOTE },
	{ '`', '~', KEY_GRAVE },
	{ ',', '<', KEY_COMMA },
	{ '.', '>', KEY_PERIOD },
	{ '/', '?', KEY_SLASH },
	{ ' ', ' ', KEY_SPACE },
	{ '\n', '\n', KEY_ENTER },
	{ '\t', '\t', KEY_TAB },
};

bool key_of_char(char c, struct keystroke *stroke)
{
	*stroke = (struct keystroke){ 0 };
	if (c >= 'a' && c <= 'z') {
		stroke->key = (uint8_t)(KEY_A + c - 'a');
		return true;
	}
	if (c >= 'A' && c <= 'Z') {
		stroke->key = (uint8_t)(KEY_A + c - 'A');
		stroke->modifiers = SHIFT;
		return true;
	}
	for (unsigned int i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
		if (c != typed[i].plain && c != typed[i].shifted)
			continue;
		stroke->key = typed[i].key;
		stroke->modifiers = c == typed[i].plain ? 0 : SHIFT;
		return true;
	}
	return false;
}
