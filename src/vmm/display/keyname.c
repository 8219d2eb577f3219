/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of keys; the US layout as the HID usage tables print it.
 */
#include "vmm/display/keyname.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	uint8_t key;
} names[] = {
	{ "enter", KEY_ENTER },
	{ "return", KEY_ENTER },
	{ "esc", KEY_ESCAPE },
	{ "escape", KEY_ESCAPE },
	{ "backspace", KEY_BACKSPACE },
	{ "tab", KEY_TAB },
	{ "space", KEY_SPACE },
	{ "minus", KEY_MINUS },
	{ "equal", KEY_EQUAL },
	{ "capslock", KEY_CAPS_LOCK },
	{ "print", KEY_PRINT_SCREEN },
	{ "scrolllock", KEY_SCROLL_LOCK },
	{ "pause", KEY_PAUSE },
	{ "insert", KEY_INSERT },
	{ "ins", KEY_INSERT },
	{ "home", KEY_HOME },
	{ "pageup", KEY_PAGE_UP },
	{ "pgup", KEY_PAGE_UP },
	{ "delete", KEY_DELETE },
	{ "del", KEY_DELETE },
	{ "end", KEY_END },
	{ "pagedown", KEY_PAGE_DOWN },
	{ "pgdn", KEY_PAGE_DOWN },
	{ "right", KEY_RIGHT },
	{ "left", KEY_LEFT },
	{ "down", KEY_DOWN },
	{ "up", KEY_UP },
	{ "numlock", KEY_NUM_LOCK },
	{ "kp-enter", KEY_KP_ENTER },
	{ "menu", KEY_MENU },
	{ "ctrl", KEY_LEFT_CTRL },
	{ "shift", KEY_LEFT_SHIFT },
	{ "alt", KEY_LEFT_ALT },
	{ "meta", KEY_LEFT_META },
	{ "super", KEY_LEFT_META },
	{ "rctrl", KEY_RIGHT_CTRL },
	{ "rshift", KEY_RIGHT_SHIFT },
	{ "altgr", KEY_RIGHT_ALT },
	{ "rmeta", KEY_RIGHT_META },
};

#define NAMES (sizeof(names) / sizeof(names[0]))

static uint8_t function_key(const char *name)
{
	char *end;
	unsigned long n;

	if ((name[0] != 'f' && name[0] != 'F') || name[1] < '1' ||
	    name[1] > '9')
		return KEY_NONE;
	n = strtoul(name + 1, &end, 10);
	return *end || n > 12 ? KEY_NONE : (uint8_t)(KEY_F1 + n - 1);
}

/* The key of `length` characters at `name`, or KEY_NONE. */
static uint8_t one_key(const char *name, size_t length)
{
	struct keystroke stroke;
	char word[16];

	if (!length || length >= sizeof(word))
		return KEY_NONE;
	memcpy(word, name, length);
	word[length] = '\0';
	for (size_t i = 0; i < NAMES; i++)
		if (!strcasecmp(names[i].name, word))
			return names[i].key;
	if (length == 1 && key_of_char(word[0] | 0x20, &stroke) &&
	    stroke.key <= KEY_Z)
		return stroke.key;
	if (length == 1 && key_of_char(word[0], &stroke) &&
	    !stroke.modifiers)
		return stroke.key;
	return function_key(word);
}

bool keyname_parse(const char *name, struct keystroke *stroke)
{
	const char *dash;

	*stroke = (struct keystroke){ 0 };
	while (!(stroke->key = one_key(name, strlen(name)))) {
		uint8_t held;

		dash = strchr(name, '-');
		if (!dash)
			return false;
		held = one_key(name, (size_t)(dash - name));
		if (held < KEY_LEFT_CTRL)
			return false;
		stroke->modifiers |= (uint8_t)(1u << (held - KEY_LEFT_CTRL));
		name = dash + 1;
	}
	return true;
}
