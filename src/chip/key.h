/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of keys, the same for every keyboard of a machine: usages of the
 * USB HID keyboard page (HID Usage Tables 1.4, page 0x07). A key is a place
 * on a keyboard, not a character.
 */
#ifndef LODGE_CHIP_KEY_H
#define LODGE_CHIP_KEY_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_COUNT 0xe8u

enum key {
	KEY_NONE = 0x00,
	KEY_A = 0x04,
	KEY_Z = 0x1d,
	KEY_1 = 0x1e,
	KEY_9 = 0x26,
	KEY_0 = 0x27,
	KEY_ENTER = 0x28,
	KEY_ESCAPE = 0x29,
	KEY_BACKSPACE = 0x2a,
	KEY_TAB = 0x2b,
	KEY_SPACE = 0x2c,
	KEY_MINUS = 0x2d,
	KEY_EQUAL = 0x2e,
	KEY_LEFT_BRACKET = 0x2f,
	KEY_RIGHT_BRACKET = 0x30,
	KEY_BACKSLASH = 0x31,
	KEY_SEMICOLON = 0x33,
	KEY_QUOTE = 0x34,
	KEY_GRAVE = 0x35,
	KEY_COMMA = 0x36,
	KEY_PERIOD = 0x37,
	KEY_SLASH = 0x38,
	KEY_CAPS_LOCK = 0x39,
	KEY_F1 = 0x3a,
	KEY_F12 = 0x45,
	KEY_PRINT_SCREEN = 0x46,
	KEY_SCROLL_LOCK = 0x47,
	KEY_PAUSE = 0x48,
	KEY_INSERT = 0x49,
	KEY_HOME = 0x4a,
	KEY_PAGE_UP = 0x4b,
	KEY_DELETE = 0x4c,
	KEY_END = 0x4d,
	KEY_PAGE_DOWN = 0x4e,
	KEY_RIGHT = 0x4f,
	KEY_LEFT = 0x50,
	KEY_DOWN = 0x51,
	KEY_UP = 0x52,
	KEY_NUM_LOCK = 0x53,
	KEY_KP_DIVIDE = 0x54,
	KEY_KP_MULTIPLY = 0x55,
	KEY_KP_MINUS = 0x56,
	KEY_KP_PLUS = 0x57,
	KEY_KP_ENTER = 0x58,
	KEY_KP_1 = 0x59,
	KEY_KP_0 = 0x62,
	KEY_KP_PERIOD = 0x63,
	KEY_102ND = 0x64,
	KEY_MENU = 0x65,
	KEY_LEFT_CTRL = 0xe0,
	KEY_LEFT_SHIFT = 0xe1,
	KEY_LEFT_ALT = 0xe2,
	KEY_LEFT_META = 0xe3,
	KEY_RIGHT_CTRL = 0xe4,
	KEY_RIGHT_SHIFT = 0xe5,
	KEY_RIGHT_ALT = 0xe6,
	KEY_RIGHT_META = 0xe7,
};

/* A key pressed while others are held. */
struct keystroke {
	uint8_t modifiers; /* bit n: key KEY_LEFT_CTRL + n is held */
	uint8_t key;
};

/* False: a US keyboard does not type it. */
bool key_of_char(char c, struct keystroke *stroke);

#endif
