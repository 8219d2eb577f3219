/* SPDX-License-Identifier: Apache-2.0 */
/* Code page 437, beside the C library's table where it has one. */
#include "vmm/display/codepage.h"

#include <iconv.h>
#include <string.h>

#include "fake/test.h"

static void letters(void **state)
{
	char to[CODEPAGE_BYTES];

	for (unsigned int c = 32; c < 127; c++) {
		assert_int_equal(codepage_utf8((uint8_t)c, to), 1);
		assert_int_equal(to[0], c);
	}
	assert_int_equal(codepage_utf8(0, to), 1);
	assert_int_equal(to[0], ' ');
}

static void signs(void **state)
{
	char to[CODEPAGE_BYTES];

	assert_int_equal(codepage_utf8(24, to), 3);
	assert_memory_equal(to, "\xe2\x86\x91", 3); /* an arrow upwards */
	assert_int_equal(codepage_utf8(127, to), 3);
	assert_memory_equal(to, "\xe2\x8c\x82", 3); /* a house */
}

static void upper_half(void **state)
{
	iconv_t library = iconv_open("UTF-8", "CP437");

	if (library == (iconv_t)-1)
		skip();
	for (unsigned int c = 128; c < 256; c++) {
		char from = (char)c, theirs[8], ours[CODEPAGE_BYTES];
		char *in = &from, *out = theirs;
		size_t left = 1, room = sizeof(theirs);

		assert_int_equal(iconv(library, &in, &left, &out, &room), 0);
		assert_int_equal(codepage_utf8((uint8_t)c, ours), out - theirs);
		assert_memory_equal(ours, theirs, (size_t)(out - theirs));
	}
	iconv_close(library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters),
		cmocka_unit_test(signs),
		cmocka_unit_test(upper_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
