/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of keys, typed characters, and names of machines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chip/key.h"
#include "vmm/display/keyname.h"
#include "vmm/runtime.h"

static unsigned int bit(unsigned int key)
{
	return 1u << (key - KEY_LEFT_CTRL);
}

static void names_are_keys(void **state)
{
	const struct {
		const char *name;
		unsigned int modifiers, key;
	} cases[] = {
		{ "enter", 0, KEY_ENTER },
		{ "Esc", 0, KEY_ESCAPE },
		{ "f1", 0, KEY_F1 },
		{ "F12", 0, KEY_F12 },
		{ "a", 0, KEY_A },
		{ "Z", 0, KEY_Z },
		{ "0", 0, KEY_0 },
		{ "-", 0, KEY_MINUS },
		{ "ctrl", 0, KEY_LEFT_CTRL },
		{ "kp-enter", 0, KEY_KP_ENTER },
		{ "ctrl--", bit(KEY_LEFT_CTRL), KEY_MINUS },
		{ "ctrl-alt-delete", bit(KEY_LEFT_CTRL) | bit(KEY_LEFT_ALT),
		  KEY_DELETE },
		{ "shift-altgr-f2", bit(KEY_LEFT_SHIFT) | bit(KEY_RIGHT_ALT),
		  KEY_F1 + 1 },
		{ "alt-kp-enter", bit(KEY_LEFT_ALT), KEY_KP_ENTER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keystroke stroke;

		assert_true(keyname_parse(cases[i].name, &stroke));
		assert_int_equal(stroke.key, cases[i].key);
		assert_int_equal(stroke.modifiers, cases[i].modifiers);
	}
}

static void other_words_are_none(void **state)
{
	static const char *const words[] = {
		"", "any", "f0", "f13", "f1x", "f", "ctrl-", "-a", "a-b",
		"enter-a", "ctrl-any", "!", "ctrl-!", "\xe9", "reset -s",
		"a name that is far too long to be that of a key",
	};
	struct keystroke stroke;

	/* "f" is a letter's key; nothing else here is one. */
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(keyname_parse(words[i], &stroke),
				 !strcmp(words[i], "f"));
}

static void characters_are_typed(void **state)
{
	unsigned int shift = bit(KEY_LEFT_SHIFT);
	struct keystroke stroke;

	for (int c = ' '; c < 0x7f; c++)
		assert_true(key_of_char((char)c, &stroke));
	assert_true(key_of_char('Q', &stroke));
	assert_int_equal(stroke.key, KEY_A + 'Q' - 'A');
	assert_int_equal(stroke.modifiers, shift);
	assert_true(key_of_char('_', &stroke));
	assert_int_equal(stroke.key, KEY_MINUS);
	assert_int_equal(stroke.modifiers, shift);
	assert_true(key_of_char('7', &stroke));
	assert_int_equal(stroke.key, KEY_1 + 6);
	assert_int_equal(stroke.modifiers, 0);
	assert_true(key_of_char('\n', &stroke));
	assert_int_equal(stroke.key, KEY_ENTER);
	assert_false(key_of_char('\0', &stroke));
	assert_false(key_of_char('\x1b', &stroke));
	assert_false(key_of_char((char)0xc3, &stroke));
}

static void names_of_machines(void **state)
{
	char name[RUNTIME_NAME_MAX + 2];

	assert_true(runtime_name_valid("web-1.test_A"));
	assert_false(runtime_name_valid(""));
	assert_false(runtime_name_valid(".."));
	assert_false(runtime_name_valid("a/b"));
	assert_false(runtime_name_valid("a b"));
	memset(name, 'a', sizeof(name));
	name[RUNTIME_NAME_MAX + 1] = '\0';
	assert_false(runtime_name_valid(name));
	name[RUNTIME_NAME_MAX] = '\0';
	assert_true(runtime_name_valid(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_keys),
		cmocka_unit_test(other_words_are_none),
		cmocka_unit_test(characters_are_typed),
		cmocka_unit_test(names_of_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
