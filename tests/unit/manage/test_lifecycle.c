/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of states and verbs: what is allowed is what is listed here, and
 * every refusal names the machine and is a whole line.
 */
#include <string.h>

#include "fake/test.h"
#include "manage/vm/lifecycle.h"

/* Verbs that each state allows, in the order of the enumeration. */
static const char *const allowed[VM_STATES] = {
	/* start stop force reset pause resume delete rename edit clone */
	[VM_STOPPED] = "x.....xxxx",  [VM_STARTING] = ".xx.....x.",
	[VM_RUNNING] = ".xxxx...x.",  [VM_PAUSED] = "..xx.x..x.",
	[VM_STOPPING] = ".xx.....x.", [VM_WAITING] = "xxx...xxx.",
	[VM_DELETING] = "..........", [VM_CLONING] = "..........",
};

static void each_state_allows_what_it_should(void **state)
{
	for (int s = 0; s < VM_STATES; s++) {
		for (int v = 0; v < VERBS; v++) {
			struct problem problem = { 0 };
			int rc = lifecycle_check((enum vm_state)s,
						 (enum vm_verb)v, "web",
						 &problem);

			assert_int_equal(rc, allowed[s][v] == 'x' ? 0 : -1);
			if (!rc)
				continue;
			assert_int_equal(problem.status, 409);
			assert_string_equal(problem.code, "wrong-state");
			assert_ptr_equal(strstr(problem.text, "web "),
					 problem.text);
			assert_null(strchr(problem.text, '%'));
		}
	}
}

static void a_refusal_says_what_would_work(void **state)
{
	struct problem problem;

	lifecycle_check(VM_PAUSED, VERB_START, "db", &problem);
	assert_string_equal(problem.text, "db is paused; lodge resume db lets "
					  "it go on");
	lifecycle_check(VM_RUNNING, VERB_DELETE, "db", &problem);
	assert_string_equal(problem.text, "db runs; lodge stop db first");
}

static void names_lead_back_to_states(void **state)
{
	for (int s = 0; s < VM_STATES; s++)
		assert_int_equal(lifecycle_state(lifecycle_state_name(
					 (enum vm_state)s)), s);
	assert_int_equal(lifecycle_state("?"), VM_STOPPED);
}

/* As long as a name may be, in the longest line. */
static void a_long_name_fits(void **state)
{
	struct problem problem;
	char name[64];

	memset(name, 'n', 63);
	name[63] = '\0';
	assert_int_equal(lifecycle_check(VM_WAITING, VERB_PAUSE, name,
					 &problem), -1);
	assert_non_null(strstr(problem.text, "ends that"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_allows_what_it_should),
		cmocka_unit_test(a_refusal_says_what_would_work),
		cmocka_unit_test(names_lead_back_to_states),
		cmocka_unit_test(a_long_name_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
