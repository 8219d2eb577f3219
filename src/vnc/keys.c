/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keysyms (X11's keysymdef: Latin-1 letters and the 0xff00 page) and scan
 * codes of set 1 to keys.
 */
#include "vnc/keys.h"

#include <stddef.h>

#include "chip/key.h"

#define COUNT(table) (sizeof(table) / sizeof(table[0]))

/* --- keysyms ---------------------------------------------------------------- */

/* Runs of keysyms whose keys are in the same order. */
static const struct {
	uint16_t first, last;
	uint8_t key;
} named[] = {
	{ 0xfe03, 0xfe03, KEY_RIGHT_ALT }, /* ISO level 3 shift */
	{ 0xfe20, 0xfe20, KEY_TAB },	   /* ISO left tab */
	{ 0xff08, 0xff08, KEY_BACKSPACE },
	{ 0xff09, 0xff09, KEY_TAB },
	{ 0xff0a, 0xff0a, KEY_ENTER },
	{ 0xff0d, 0xff0d, KEY_ENTER },
	{ 0xff13, 0xff13, KEY_PAUSE },
	{ 0xff14, 0xff14, KEY_SCROLL_LOCK },
	{ 0xff15, 0xff15, KEY_PRINT_SCREEN },
	{ 0xff1b, 0xff1b, KEY_ESCAPE },
	{ 0xff50, 0xff50, KEY_HOME },
	{ 0xff51, 0xff51, KEY_LEFT },
	{ 0xff52, 0xff52, KEY_UP },
	{ 0xff53, 0xff53, KEY_RIGHT },
	{ 0xff54, 0xff54, KEY_DOWN },
	{ 0xff55, 0xff55, KEY_PAGE_UP },
	{ 0xff56, 0xff56, KEY_PAGE_DOWN },
	{ 0xff57, 0xff57, KEY_END },
	{ 0xff61, 0xff61, KEY_PRINT_SCREEN },
	{ 0xff63, 0xff63, KEY_INSERT },
	{ 0xff67, 0xff67, KEY_MENU },
	{ 0xff6b, 0xff6b, KEY_PAUSE }, /* break */
	{ 0xff7e, 0xff7e, KEY_RIGHT_ALT }, /* mode switch */
	{ 0xff7f, 0xff7f, KEY_NUM_LOCK },
	{ 0xff8d, 0xff8d, KEY_KP_ENTER },
	{ 0xff95, 0xff95, KEY_KP_1 + 6 }, /* home, on the keypad */
	{ 0xff96, 0xff96, KEY_KP_1 + 3 }, /* left */
	{ 0xff97, 0xff97, KEY_KP_1 + 7 }, /* up */
	{ 0xff98, 0xff98, KEY_KP_1 + 5 }, /* right */
	{ 0xff99, 0xff99, KEY_KP_1 + 1 }, /* down */
	{ 0xff9a, 0xff9a, KEY_KP_1 + 8 }, /* page up */
	{ 0xff9b, 0xff9b, KEY_KP_1 + 2 }, /* page down */
	{ 0xff9c, 0xff9c, KEY_KP_1 },	  /* end */
	{ 0xff9d, 0xff9d, KEY_KP_1 + 4 }, /* begin */
	{ 0xff9e, 0xff9e, KEY_KP_0 },	  /* insert */
	{ 0xff9f, 0xff9f, KEY_KP_PERIOD }, /* delete */
	{ 0xffaa, 0xffaa, KEY_KP_MULTIPLY },
	{ 0xffab, 0xffab, KEY_KP_PLUS },
	{ 0xffad, 0xffad, KEY_KP_MINUS },
	{ 0xffae, 0xffae, KEY_KP_PERIOD },
	{ 0xffaf, 0xffaf, KEY_KP_DIVIDE },
	{ 0xffb0, 0xffb0, KEY_KP_0 },
	{ 0xffb1, 0xffb9, KEY_KP_1 },
	{ 0xffbe, 0xffc9, KEY_F1 },
	{ 0xffe1, 0xffe1, KEY_LEFT_SHIFT },
	{ 0xffe2, 0xffe2, KEY_RIGHT_SHIFT },
	{ 0xffe3, 0xffe3, KEY_LEFT_CTRL },
	{ 0xffe4, 0xffe4, KEY_RIGHT_CTRL },
	{ 0xffe5, 0xffe5, KEY_CAPS_LOCK },
	{ 0xffe7, 0xffe7, KEY_LEFT_META },
	{ 0xffe8, 0xffe8, KEY_RIGHT_META },
	{ 0xffe9, 0xffe9, KEY_LEFT_ALT },
	{ 0xffea, 0xffea, KEY_RIGHT_ALT },
	{ 0xffeb, 0xffeb, KEY_LEFT_META },
	{ 0xffec, 0xffec, KEY_RIGHT_META },
	{ 0xffff, 0xffff, KEY_DELETE },
};

static uint8_t key_of_text(char c, enum vnc_shift *shift)
{
	struct keystroke stroke;

	if (!key_of_char(c, &stroke))
		return KEY_NONE;
	if (stroke.key < KEY_1)
		*shift = stroke.modifiers ? VNC_SHIFT_CASE : VNC_SHIFT_ANY;
	else if (c != ' ')
		*shift = stroke.modifiers ? VNC_SHIFT_DOWN : VNC_SHIFT_UP;
	return stroke.key;
}

uint8_t vnc_key_of_keysym(uint32_t keysym, enum vnc_shift *shift)
{
	*shift = VNC_SHIFT_ANY;
	if (keysym >= ' ' && keysym <= '~')
		return key_of_text((char)keysym, shift);
	for (size_t i = 0; i < COUNT(named); i++)
		if (keysym >= named[i].first && keysym <= named[i].last)
			return (uint8_t)(named[i].key + keysym -
					 named[i].first);
	return KEY_NONE;
}

/* --- codes ------------------------------------------------------------------ */

/* By scan code; the letters' rows are as they lie on the keyboard. */
static const uint8_t plain_codes[0x60] = {
	[0x01] = KEY_ESCAPE,
	[0x02] = KEY_1,
	[0x03] = KEY_1 + 1,
	[0x04] = KEY_1 + 2,
	[0x05] = KEY_1 + 3,
	[0x06] = KEY_1 + 4,
	[0x07] = KEY_1 + 5,
	[0x08] = KEY_1 + 6,
	[0x09] = KEY_1 + 7,
	[0x0a] = KEY_9,
	[0x0b] = KEY_0,
	[0x0c] = KEY_MINUS,
	[0x0d] = KEY_EQUAL,
	[0x0e] = KEY_BACKSPACE,
	[0x0f] = KEY_TAB,
	[0x10] = KEY_A + 'q' - 'a',
	[0x11] = KEY_A + 'w' - 'a',
	[0x12] = KEY_A + 'e' - 'a',
	[0x13] = KEY_A + 'r' - 'a',
	[0x14] = KEY_A + 't' - 'a',
	[0x15] = KEY_A + 'y' - 'a',
	[0x16] = KEY_A + 'u' - 'a',
	[0x17] = KEY_A + 'i' - 'a',
	[0x18] = KEY_A + 'o' - 'a',
	[0x19] = KEY_A + 'p' - 'a',
	[0x1a] = KEY_LEFT_BRACKET,
	[0x1b] = KEY_RIGHT_BRACKET,
	[0x1c] = KEY_ENTER,
	[0x1d] = KEY_LEFT_CTRL,
	[0x1e] = KEY_A,
	[0x1f] = KEY_A + 's' - 'a',
	[0x20] = KEY_A + 'd' - 'a',
	[0x21] = KEY_A + 'f' - 'a',
	[0x22] = KEY_A + 'g' - 'a',
	[0x23] = KEY_A + 'h' - 'a',
	[0x24] = KEY_A + 'j' - 'a',
	[0x25] = KEY_A + 'k' - 'a',
	[0x26] = KEY_A + 'l' - 'a',
	[0x27] = KEY_SEMICOLON,
	[0x28] = KEY_QUOTE,
	[0x29] = KEY_GRAVE,
	[0x2a] = KEY_LEFT_SHIFT,
	[0x2b] = KEY_BACKSLASH,
	[0x2c] = KEY_Z,
	[0x2d] = KEY_A + 'x' - 'a',
	[0x2e] = KEY_A + 'c' - 'a',
	[0x2f] = KEY_A + 'v' - 'a',
	[0x30] = KEY_A + 'b' - 'a',
	[0x31] = KEY_A + 'n' - 'a',
	[0x32] = KEY_A + 'm' - 'a',
	[0x33] = KEY_COMMA,
	[0x34] = KEY_PERIOD,
	[0x35] = KEY_SLASH,
	[0x36] = KEY_RIGHT_SHIFT,
	[0x37] = KEY_KP_MULTIPLY,
	[0x38] = KEY_LEFT_ALT,
	[0x39] = KEY_SPACE,
	[0x3a] = KEY_CAPS_LOCK,
	[0x3b] = KEY_F1,
	[0x3c] = KEY_F1 + 1,
	[0x3d] = KEY_F1 + 2,
	[0x3e] = KEY_F1 + 3,
	[0x3f] = KEY_F1 + 4,
	[0x40] = KEY_F1 + 5,
	[0x41] = KEY_F1 + 6,
	[0x42] = KEY_F1 + 7,
	[0x43] = KEY_F1 + 8,
	[0x44] = KEY_F1 + 9,
	[0x45] = KEY_NUM_LOCK,
	[0x46] = KEY_SCROLL_LOCK,
	[0x47] = KEY_KP_1 + 6,
	[0x48] = KEY_KP_1 + 7,
	[0x49] = KEY_KP_1 + 8,
	[0x4a] = KEY_KP_MINUS,
	[0x4b] = KEY_KP_1 + 3,
	[0x4c] = KEY_KP_1 + 4,
	[0x4d] = KEY_KP_1 + 5,
	[0x4e] = KEY_KP_PLUS,
	[0x4f] = KEY_KP_1,
	[0x50] = KEY_KP_1 + 1,
	[0x51] = KEY_KP_1 + 2,
	[0x52] = KEY_KP_0,
	[0x53] = KEY_KP_PERIOD,
	[0x54] = KEY_PRINT_SCREEN,
	[0x56] = KEY_102ND,
	[0x57] = KEY_F1 + 10,
	[0x58] = KEY_F12,
};

/* The same behind 0xe0. */
static const uint8_t prefixed_codes[0x60] = {
	[0x1c] = KEY_KP_ENTER,
	[0x1d] = KEY_RIGHT_CTRL,
	[0x35] = KEY_KP_DIVIDE,
	[0x37] = KEY_PRINT_SCREEN,
	[0x38] = KEY_RIGHT_ALT,
	[0x46] = KEY_PAUSE,
	[0x47] = KEY_HOME,
	[0x48] = KEY_UP,
	[0x49] = KEY_PAGE_UP,
	[0x4b] = KEY_LEFT,
	[0x4d] = KEY_RIGHT,
	[0x4f] = KEY_END,
	[0x50] = KEY_DOWN,
	[0x51] = KEY_PAGE_DOWN,
	[0x52] = KEY_INSERT,
	[0x53] = KEY_DELETE,
	[0x5b] = KEY_LEFT_META,
	[0x5c] = KEY_RIGHT_META,
	[0x5d] = KEY_MENU,
};

uint8_t vnc_key_of_code(uint32_t code)
{
	const uint8_t *codes = code & 0x80 ? prefixed_codes : plain_codes;

	if (code > 0xff || (code & 0x7f) >= COUNT(plain_codes))
		return KEY_NONE;
	return codes[code & 0x7f];
}
