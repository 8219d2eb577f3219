/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of machines: what they say, what is none, and texts put together at
 * random.
 */
#include "net/rule.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"

static struct rule parse(const char *text)
{
	struct rule rule;
	struct net_error error = { "" };

	if (rule_parse(&rule, text, &error))
		fail_msg("%s", error.text);
	return rule;
}

static void test_good(void **state)
{
	struct rule rule = parse("out deny");

	assert_false(rule.in || rule.allow || rule.first);
	assert_int_equal(rule.protocol, RULE_ANY);
	assert_int_equal(rule.whom, RULE_ANYBODY);
	rule = parse("in allow tcp 10.1.2.3 22");
	assert_true(rule.in && rule.allow);
	assert_int_equal(rule.whom, RULE_NET4);
	assert_int_equal(rule.net4, 0x0a010203);
	assert_int_equal(rule.bits, 32);
	assert_int_equal(rule.first, 22);
	assert_int_equal(rule.last, 22);
	rule = parse(" out  allow udp fd00:7::/64 1000-65535 ");
	assert_int_equal(rule.whom, RULE_NET6);
	assert_int_equal(rule.bits, 64);
	assert_int_equal(rule.last, 65535);
	rule = parse("out allow any Deb.Debian.org");
	assert_int_equal(rule.whom, RULE_NAME);
	assert_string_equal(rule.name, "deb.debian.org");
	rule = parse("in deny icmp any");
	assert_int_equal(rule.protocol, RULE_ICMP);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "out", "up allow", "out drop", "out allow sctp",
		"out allow tcp 10.0.0.1/24", "out allow tcp 10.0.0",
		"out allow tcp -a.org", "out allow tcp a..org",
		"out allow tcp a_b.org", "out allow tcp a.org.",
		"out allow tcp a/b.org", "out allow tcp any 0",
		"out allow tcp any 65536", "out allow tcp any 9-8",
		"out allow tcp any 8-", "out allow tcp any -8",
		"out allow any any 80", "out allow icmp any 80",
		"out allow tcp any 80 more", "out allow tcp any 8#0",
	};
	struct net_error error;
	struct rule rule;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rule_parse(&rule, bad[i], &error), -1);
}

/* Whatever it is, what is taken is within bounds and can be printed. */
static void check_any(const char *text)
{
	struct net_error error;
	struct rule rule;

	if (rule_parse(&rule, text, &error)) {
		assert_true(strlen(error.text) < sizeof(error.text));
		return;
	}
	assert_true(rule.first <= rule.last);
	assert_true(rule.bits <= (rule.whom == RULE_NET6 ? 128u : 32u));
	assert_true(!!*rule.name == (rule.whom == RULE_NAME));
	assert_int_equal(strspn(rule.name, "abcdefghijklmnopqrstuvwxyz"
					   "0123456789-."),
			 strlen(rule.name));
}

static unsigned int random_below(unsigned int n)
{
	return (unsigned int)random() % n;
}

static void test_random(void **state)
{
	static const char *const words[] = {
		"in", "out", "allow", "deny", "any", "tcp", "udp", "icmp",
		"10.0.0.0/8", "fd00::/8", "::1", "a.b", "example.org", "-",
		"80", "1-65535", ".", "/", "\xff", "\t", "\n", "#", "/1#",
	};
	char text[1200];

	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int n = random_below(12);

		text[0] = '\0';
		while (n--) {
			strcat(text, words[random_below(sizeof(words) /
							sizeof(words[0]))]);
			if (random_below(4))
				strcat(text, " ");
		}
		n = (unsigned int)strlen(text);
		if (n && !random_below(3))
			text[random_below(n)] = (char)(1 + random_below(255));
		check_any(text);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	check_any(text);
	memcpy(text, "in allow any ", 13);
	check_any(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
