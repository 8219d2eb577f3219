/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bar of long work: what it leaves out where there is little room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bar.h"

#define GIB (1ull << 30)

static void expect(unsigned int columns, double seconds, const char *wanted)
{
	char line[BAR_MAX];

	bar_line(line, columns, "converting", GIB, 2 * GIB, seconds);
	assert_string_equal(line, wanted);
	assert_true(strlen(line) <= columns);
}

static void test_bytes(void **state)
{
	expect(79, 1, "converting [############            ]  50%  1 GiB of "
		      "2 GiB  1 GiB/s");
	expect(50, 1, "converting [###    ]  50%  1 GiB of 2 GiB  1 GiB/s");
	expect(44, 1, "converting [#####     ]  50%  1 GiB of 2 GiB");
	expect(24, 1, "converting [###   ]  50%");
	expect(20, 1, " 50% converting");
	expect(6, 1, " 50% c");
	expect(1, 1, " ");
}

static void test_things(void **state)
{
	char line[BAR_MAX];

	bar_line(line, 79, "web2: copying", 3, 4, 0);
	assert_string_equal(line,
			    "web2: copying [##################      ] 3 of 4");
	bar_line(line, 16, "web2: copying", 4, 4, 0);
	assert_string_equal(line, "100% web2: copyi");
}

static void test_any_width(void **state)
{
	char line[BAR_MAX], what[400];

	memset(what, 'x', sizeof(what));
	for (unsigned int size = 0; size < sizeof(what); size += 7) {
		what[size] = '\0';
		for (unsigned int columns = 1; columns < 600; columns++) {
			bar_line(line, columns, what, UINT64_MAX - 1,
				 UINT64_MAX, 1e-9);
			assert_true(strlen(line) <= columns);
			assert_true(strlen(line) < BAR_MAX);
		}
		what[size] = 'x';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_things),
		cmocka_unit_test(test_any_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
