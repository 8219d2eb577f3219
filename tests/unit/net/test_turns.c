/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a thread or a halted processor takes frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/turns.h"

static void looks_after_few(void **state)
{
	struct turns turns = { 0 };

	assert_false(turns_may_look(&turns));
	turns_took(&turns, 1, 66);
	assert_false(turns_may_look(&turns));
	turns_took(&turns, 0, 0);
	assert_false(turns_may_look(&turns));
	turns_took(&turns, 2, 132);
	assert_true(turns_may_look(&turns));
	turns_took(&turns, 0, 0);
	assert_true(turns_may_look(&turns));
}

static void looks_no_more_after_many(void **state)
{
	struct turns turns = { 0 };

	for (int i = 0; i < 5; i++)
		turns_took(&turns, 1, 1514);
	turns_look(&turns);
	turns_took(&turns, 3, 180);
	assert_false(turns_may_look(&turns));
	assert_false(turns_are_taken(&turns));
	turns_took(&turns, 1, 66);
	turns_took(&turns, 1, 66);
	assert_true(turns_may_look(&turns));
	turns_took(&turns, 1, 65000);
	assert_false(turns_may_look(&turns));
}

/* The thread leaves the frames alone as long as somebody looks. */
static void goes_back_to_the_thread(void **state)
{
	struct turns turns = { 0 };

	assert_false(turns_are_taken(&turns));
	turns_look(&turns);
	assert_true(turns_are_taken(&turns));
	turns_look(&turns);
	turns_look(&turns);
	assert_true(turns_are_taken(&turns));
	assert_false(turns_are_taken(&turns));
	assert_false(turns_are_taken(&turns));
	turns_look(&turns);
	assert_true(turns_are_taken(&turns));
	turns_leave(&turns);
	assert_false(turns_are_taken(&turns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_after_few),
		cmocka_unit_test(looks_no_more_after_many),
		cmocka_unit_test(goes_back_to_the_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
