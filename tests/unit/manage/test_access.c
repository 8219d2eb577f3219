/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: tokens and their hashes, roles, grants, requests that are
 * counted, and the audit log.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"
#include "manage/access/access.h"

#define SECOND 1000000000ull

static char folder[64], kept[PROBLEM_TEXT_MAX];
static struct registry *registry;
static struct access access_to;
static struct problem problem;

static void open_again(void)
{
	bool fresh;

	access_close(&access_to);
	registry_close(registry);
	assert_int_equal(registry_open(&registry, folder, &fresh, kept,
				       &problem), 0);
	assert_int_equal(access_open(&access_to, registry, &problem), 0);
}

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	registry = NULL;
	open_again();
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	access_close(&access_to);
	registry_close(registry);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static const struct token *make(const char *name, enum role role, char *text)
{
	struct token token = { .role = role };

	snprintf(token.name, sizeof(token.name), "%s", name);
	return tokens_add(&access_to.tokens, &token, text, &problem);
}

static int find(const char *bearer, struct caller *caller)
{
	const struct peer peer = { .address = "192.0.2.1" };
	unsigned int seconds;

	return access_find(&access_to, &peer, bearer, caller, &seconds,
			   &problem);
}

static void a_token_is_kept_as_its_hash(void **state)
{
	char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];
	struct caller caller;

	assert_non_null(make("ci", ROLE_OPERATOR, text));
	assert_non_null(make("b", ROLE_VIEWER, other));
	assert_string_not_equal(text, other);
	assert_null(make("ci", ROLE_VIEWER, other));
	assert_int_equal(problem.status, 409);
	open_again();
	assert_int_equal(find(text, &caller), 0);
	assert_int_equal(caller.role, ROLE_OPERATOR);
	assert_string_equal(caller.who, "token ci");
	text[sizeof(text) - 2] ^= 1;
	assert_int_equal(find(text, &caller), -1);
	assert_int_equal(problem.status, 401);
	assert_int_equal(caller.role, ROLE_NONE);
	assert_int_equal(find("", &caller), -1);
	assert_int_equal(tokens_remove(&access_to.tokens, "ci", &problem), 0);
	assert_int_equal(tokens_remove(&access_to.tokens, "ci", &problem), -1);
	text[sizeof(text) - 2] ^= 1;
	open_again();
	assert_int_equal(find(text, &caller), -1);
	assert_int_equal(access_to.tokens.count, 1);
}

static void a_number_is_given_once(void **state)
{
	char text[TOKEN_TEXT_SIZE];
	const struct token *token = make("a", ROLE_VIEWER, text);
	struct caller caller;
	int64_t id = token->id;

	assert_int_equal(find(text, &caller), 0);
	assert_int_equal(tokens_remove(&access_to.tokens, "a", &problem), 0);
	/* What was begun by the old one is not the new one's. */
	assert_true(make("a", ROLE_ADMIN, text)->id > id);
	assert_int_equal(access_role(&access_to, &caller, NULL), ROLE_NONE);
}

static void grants_are_of_machines(void **state)
{
	struct token token = {
		.name = "t",
		.grant = { { "one", ROLE_VIEWER }, { "two", ROLE_OPERATOR } },
		.grants = 2,
	};
	char text[TOKEN_TEXT_SIZE];
	struct caller caller;

	assert_non_null(tokens_add(&access_to.tokens, &token, text, &problem));
	open_again();
	assert_int_equal(find(text, &caller), 0);
	assert_int_equal(access_role(&access_to, &caller, NULL), ROLE_NONE);
	assert_int_equal(access_role(&access_to, &caller, "one"), ROLE_VIEWER);
	assert_int_equal(access_role(&access_to, &caller, "two"),
			 ROLE_OPERATOR);
	assert_int_equal(access_role(&access_to, &caller, "three"), ROLE_NONE);
}

static void tokens_end_by_time(void **state)
{
	struct token token = { .name = "t", .role = ROLE_ADMIN, .expires = 1 };
	char text[TOKEN_TEXT_SIZE];
	struct caller caller;

	assert_non_null(tokens_add(&access_to.tokens, &token, text, &problem));
	assert_int_equal(find(text, &caller), -1);
}

static void a_certificate_needs_a_role(void **state)
{
	struct token token = { .name = "alice", .role = ROLE_VIEWER,
			       .certificate = true };
	struct peer peer = { .address = "192.0.2.1",
			     .certificate = "alice" };
	char text[TOKEN_TEXT_SIZE];
	struct caller caller;
	unsigned int seconds;

	assert_int_equal(access_find(&access_to, &peer, "", &caller, &seconds,
				     &problem), -1);
	make("bob", ROLE_ADMIN, text);
	assert_non_null(tokens_add(&access_to.tokens, &token, text, &problem));
	assert_string_equal(text, "");
	open_again();
	assert_int_equal(access_find(&access_to, &peer, "", &caller, &seconds,
				     &problem), 0);
	assert_int_equal(caller.role, ROLE_VIEWER);
	/* A token of that name is no certificate's, nor its empty text one. */
	strcpy(peer.certificate, "bob");
	assert_int_equal(access_find(&access_to, &peer, "", &caller, &seconds,
				     &problem), -1);
}

static void neighbours_are_told_by_their_user(void **state)
{
	struct peer peer = { .local = true, .uid = geteuid() };
	struct caller caller;
	unsigned int seconds;

	assert_int_equal(access_find(&access_to, &peer, "", &caller, &seconds,
				     &problem), 0);
	assert_int_equal(caller.role, ROLE_ADMIN);
	peer.uid = geteuid() + 1;
	assert_int_equal(access_find(&access_to, &peer, "", &caller, &seconds,
				     &problem), -1);
	/* A token that is sent counts, even if it says less. */
	peer.uid = geteuid();
	assert_int_equal(access_find(&access_to, &peer, "lodge_", &caller,
				     &seconds, &problem), -1);
}

static void a_bucket_fills_with_time(void **state)
{
	static struct clients clients;
	unsigned int seconds = 0;
	uint64_t now = 5 * SECOND;

	for (int i = 0; i < 4; i++)
		assert_true(clients_take(&clients, "a", 2, 4, now, &seconds));
	assert_false(clients_take(&clients, "a", 2, 4, now, &seconds));
	assert_int_equal(seconds, 1);
	assert_true(clients_take(&clients, "b", 2, 4, now, &seconds));
	now += SECOND / 2;
	assert_true(clients_take(&clients, "a", 2, 4, now, &seconds));
	assert_false(clients_take(&clients, "a", 2, 4, now, &seconds));
	/* No fuller than full. */
	now += 1000 * SECOND;
	for (int i = 0; i < 4; i++)
		assert_true(clients_take(&clients, "a", 2, 4, now, &seconds));
	assert_false(clients_take(&clients, "a", 2, 4, now, &seconds));
	/* Many others take the place of those that were not there for long. */
	for (int i = 0; i < 2 * CLIENTS_KEPT; i++) {
		char key[16];

		snprintf(key, sizeof(key), "c%d", i);
		assert_true(clients_take(&clients, key, 2, 4, ++now,
					 &seconds));
	}
}

static void the_audit_log_is_kept(void **state)
{
	struct audit_line line = { .where = "unix", .method = "GET",
				   .path = "/v1", .status = 401 };
	json_t *list;

	audit_add(access_to.audit, &line);
	line.who = "token a";
	line.status = 200;
	audit_add(access_to.audit, &line);
	open_again();
	list = audit_list(access_to.audit, 0, 10, false, &problem);
	assert_int_equal(json_array_size(list), 2);
	assert_null(json_object_get(json_array_get(list, 0), "who"));
	json_decref(list);
	list = audit_list(access_to.audit, 0, 1, true, &problem);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(list, 0), "who")),
			    "token a");
	json_decref(list);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_token_is_kept_as_its_hash),
		TEST(a_number_is_given_once),
		TEST(grants_are_of_machines),
		TEST(tokens_end_by_time),
		TEST(a_certificate_needs_a_role),
		TEST(neighbours_are_told_by_their_user),
		TEST(a_bucket_fills_with_time),
		TEST(the_audit_log_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
