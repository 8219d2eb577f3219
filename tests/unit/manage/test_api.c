/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API without HTTP and without machines that run: routes, bodies, pages,
 * versions, keys, and calls that wait.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "host/linux/loop.h"
#include "manage/api/api.h"
#include "manage/vm/vm.h"

static char folder[64];
static struct loop *loop;
static struct manager manager;
static struct api api;
static struct problem problem;
static struct api_call call;
static char bearer[TOKEN_TEXT_SIZE]; /* of the requests that follow */
static unsigned int answers;
static const char *none = ""; /* If-None-Match of the next request */

static void forget(struct api_call *old)
{
	json_decref(old->answer);
	free(old->text);
	old->answer = NULL;
	old->text = NULL;
}

static int setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/lodge-XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(manager_open(&manager, loop, folder, "/bin/false",
				      "/bin/false",
				      &problem), 0);
	assert_int_equal(api_init(&api, &manager, &problem), 0);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	api_close(&api);
	forget(&call);
	memset(&call, 0, sizeof(call));
	manager_close(&manager);
	loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void answered(void *ctx)
{
	answers++;
}

static void ask_with(const char *method, const char *path, const char *arg,
		     const char *body, const char *match, const char *key)
{
	forget(&call);
	memset(&call, 0, sizeof(call));
	call.peer.local = true;
	strcpy(call.bearer, bearer);
	snprintf(call.if_none_match, sizeof(call.if_none_match), "%s", none);
	none = "";
	snprintf(call.method, sizeof(call.method), "%s", method);
	snprintf(call.path, sizeof(call.path), "%s", path);
	snprintf(call.if_match, sizeof(call.if_match), "%s", match);
	snprintf(call.key, sizeof(call.key), "%s", key);
	for (char *rest = strdup(arg), *at = rest, *one;
	     (one = strsep(&rest, "&")) || (free(at), 0);)
		snprintf(call.arg[call.args++], API_ARG_MAX, "%s", one);
	call.body = body;
	call.body_size = strlen(body);
	call.answered = answered;
	answers = 0;
	api_handle(&api, &call);
	/* What it changed is on its way to the disk. */
	while (api.held)
		loop_step(loop);
}

static int ask(const char *method, const char *path, const char *arg,
	       const char *body)
{
	ask_with(method, path, arg, body, "", "");
	assert_int_equal(answers, 1);
	return call.status;
}

static const char *text(const char *name)
{
	const char *value =
		json_string_value(json_object_get(call.answer, name));

	return value ? value : "";
}

static void make(const char *name)
{
	char body[128];

	snprintf(body, sizeof(body), "{\"name\":\"%s\",\"config\":{\"labels\":"
		 "{\"n\":\"%s\"}}}", name, name);
	assert_int_equal(ask("POST", "/v1/vms", "", body), 201);
}

static void paths_lead_somewhere_or_are_refused(void **state)
{
	assert_int_equal(ask("GET", "/v1", "", ""), 200);
	assert_int_equal(ask("GET", "/", "", ""), 404);
	assert_int_equal(ask("GET", "", "", ""), 404);
	assert_int_equal(ask("GET", "/v1/", "", ""), 404);
	assert_int_equal(ask("GET", "/v1//vms", "", ""), 404);
	assert_int_equal(ask("GET", "/v2", "", ""), 404);
	assert_int_equal(ask("GET", "/v1/vms/a/b/c/d/e/f/g/h/i", "", ""), 404);
	assert_int_equal(ask("PUT", "/v1/vms", "", ""), 405);
	assert_string_equal(text("detail"), "/v1/vms takes GET, POST");
	assert_true(call.problem);
	assert_int_equal(ask("GET", "/v1/vms/none", "", ""), 404);
	assert_string_equal(text("code"), "no-such-vm");
	assert_int_equal(ask("GET", "/v1/jobs/0", "", ""), 404);
	assert_int_equal(ask("GET", "/v1/jobs/x", "", ""), 404);
}

static void bodies_are_objects_of_what_there_is(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "7", "{}", "{\"name\":7}", "{\"name\":\"\"}",
		"{\"name\":\".a\"}", "{\"name\":\"a/b\"}",
		"{\"name\":\"a\\u0000b\"}", "{\"name\":\"a\",\"x\":1}",
		"{\"name\":\"a\",\"name\":\"b\"}",
		"{\"name\":\"a\",\"config\":[]}",
		"{\"name\":\"a\",\"config\":{\"cpus\":1e3}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ask("POST", "/v1/vms", "", bad[i]), 400);
		assert_true(call.problem);
	}
	assert_int_equal(manager.count, 0);
	make("web");
	assert_int_equal(ask("POST", "/v1/vms/web/stop", "",
			     "{\"force\":1}"), 400);
	assert_int_equal(ask("POST", "/v1/vms/web/start", "",
			     "{\"force\":true}"), 400);
	assert_int_equal(ask("POST", "/v1/vms/web/stop", "wait=x", ""), 400);
}

static void names_are_unique_and_near_ones_offered(void **state)
{
	make("web");
	assert_int_equal(ask("POST", "/v1/vms", "", "{\"name\":\"web\"}"), 409);
	assert_string_equal(text("code"), "name-taken");
	assert_int_equal(ask("GET", "/v1/vms/wbe", "", ""), 404);
	assert_non_null(strstr(text("detail"), "did you mean web?"));
}

static void a_request_sent_twice_makes_one(void **state)
{
	char id[64];

	ask_with("POST", "/v1/vms", "", "{\"name\":\"web\"}", "", "k");
	assert_int_equal(call.status, 201);
	snprintf(id, sizeof(id), "%s", text("id"));
	assert_non_null(strstr(call.location, id));
	ask_with("POST", "/v1/vms", "", "{\"name\":\"web\"}", "", "k");
	assert_int_equal(call.status, 200);
	assert_string_equal(text("id"), id);
	assert_int_equal(manager.count, 1);
	ask_with("POST", "/v1/vms", "", "{\"name\":\"b\"}", "",
		 "0123456789012345678901234567890123456789012345678901234567890"
		 "12345");
	assert_int_equal(call.status, 400);
}

static void pages_follow_each_other(void **state)
{
	make("b");
	make("a");
	make("c");
	assert_int_equal(ask("GET", "/v1/vms", "limit=2", ""), 200);
	assert_int_equal(json_array_size(json_object_get(call.answer, "vms")),
			 2);
	assert_string_equal(text("next"), "b");
	assert_int_equal(ask("GET", "/v1/vms", "limit=2&after=b", ""), 200);
	assert_int_equal(json_array_size(json_object_get(call.answer, "vms")),
			 1);
	assert_string_equal(text("next"), "");
	assert_int_equal(ask("GET", "/v1/vms", "label=n=c", ""), 200);
	assert_int_equal(json_array_size(json_object_get(call.answer, "vms")),
			 1);
	assert_int_equal(ask("GET", "/v1/vms", "state=running", ""), 200);
	assert_int_equal(json_array_size(json_object_get(call.answer, "vms")),
			 0);
	assert_int_equal(ask("GET", "/v1/vms", "limit=0", ""), 400);
	assert_int_equal(ask("GET", "/v1/vms", "limit=1001", ""), 400);
}

static void a_change_knows_what_it_changes(void **state)
{
	make("web");
	assert_memory_equal(call.etag, "\"1-", 3);
	ask_with("PATCH", "/v1/vms/web", "", "{\"config\":{\"cpus\":2}}",
		 "\"1\"", "");
	assert_int_equal(call.status, 200);
	assert_memory_equal(call.etag, "\"2-", 3);
	ask_with("PATCH", "/v1/vms/web", "", "{\"config\":{\"cpus\":3}}",
		 "\"1\"", "");
	assert_int_equal(call.status, 412);
	ask_with("DELETE", "/v1/vms/web", "", "", "\"1\"", "");
	assert_int_equal(call.status, 412);
	assert_int_equal(ask("PATCH", "/v1/vms/web", "",
			     "{\"name\":\"db\"}"), 200);
	assert_string_equal(text("name"), "db");
	assert_int_equal(ask("GET", "/v1/vms/web", "", ""), 404);
	assert_int_equal(ask("PATCH", "/v1/vms/db", "",
			     "{\"config\":{\"cpus\":0}}"), 400);
	assert_int_equal(ask("DELETE", "/v1/vms/db", "", ""), 200);
	assert_string_equal(text("state"), "done");
	assert_int_equal(manager.count, 0);
}

static void a_version_may_be_one_of_several(void **state)
{
	static const struct {
		const char *match;
		int status;
	} tags[] = {
		{ "*", 200 }, { "\"1\"", 200 }, { "\"1-00ff\"", 200 },
		{ "\"7\", \"1\"", 200 }, { "\"7\",\"1-0\"", 200 },
		{ "\"7\"", 412 }, { "\"11\"", 412 }, { "1", 412 },
		{ "\"", 412 }, { "W/\"1\"", 412 }, { "\"7", 412 },
		{ "\"\"", 412 }, { ",", 412 },
	};

	make("web");
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		ask_with("GET", "/v1/vms/web", "", "", tags[i].match, "");
		assert_int_equal(call.status, tags[i].status);
	}
}

static void what_is_known_is_not_sent_again(void **state)
{
	char etag[48], list[60];

	make("web");
	assert_int_equal(ask("GET", "/v1/vms/web", "", ""), 200);
	strcpy(etag, call.etag);
	none = etag;
	assert_int_equal(ask("GET", "/v1/vms/web", "", ""), 304);
	assert_null(call.text);
	assert_string_equal(call.etag, etag);
	/* Another state is another version, of what is the same to If-Match. */
	manager.vm[0]->row.restarts++;
	none = etag;
	assert_int_equal(ask("GET", "/v1/vms/web", "", ""), 200);
	ask_with("PATCH", "/v1/vms/web", "", "{\"config\":{\"cpus\":2}}", etag,
		 "");
	assert_int_equal(call.status, 200);
	assert_int_equal(ask("GET", "/v1/vms", "", ""), 200);
	snprintf(list, sizeof(list), "\"x\", %s", call.etag);
	none = list;
	assert_int_equal(ask("GET", "/v1/vms", "", ""), 304);
	make("db");
	none = list;
	assert_int_equal(ask("GET", "/v1/vms", "", ""), 200);
}

static void figures_are_told(void **state)
{
	char line[160];

	make("web");
	assert_int_equal(ask("GET", "/metrics", "", ""), 200);
	assert_null(call.answer);
	snprintf(line, sizeof(line), "\nlodge_vm_cpus{vm=\"web\",id=\"%s\"} 1\n",
		 manager.vm[0]->row.id);
	assert_non_null(strstr(call.text, line));
	assert_non_null(strstr(call.text, "\nlodge_vms{state=\"stopped\"} 1\n"));
	assert_int_equal(ask("POST", "/metrics", "", ""), 405);
}

static void verbs_ask_the_table(void **state)
{
	static const char *const verbs[] = { "stop", "reset", "pause",
					     "resume" };
	char path[64];

	make("web");
	for (unsigned int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/v1/vms/web/%s", verbs[i]);
		assert_int_equal(ask("POST", path, "", ""), 409);
		assert_string_equal(text("code"), "wrong-state");
		assert_non_null(strstr(text("detail"), "lodge start web"));
	}
}

/* The program of this test ends at once. */
static void a_start_that_fails_is_told_to_who_waits(void **state)
{
	make("web");
	ask_with("POST", "/v1/vms/web/start", "wait=60", "", "", "");
	assert_int_equal(answers, 0);
	while (!answers)
		loop_step(loop);
	assert_int_equal(call.status, 500);
	assert_string_equal(text("code"), "ended");
	assert_int_equal(ask("GET", "/v1/vms/web", "", ""), 200);
	assert_string_equal(text("state"), "stopped");
	assert_string_equal(text("reason"), "its process ended without a word");
}

static void events_come_to_who_waits(void **state)
{
	struct api_call maker = { .method = "POST", .path = "/v1/vms",
				  .body = "{\"name\":\"web\"}",
				  .peer.local = true,
				  .answered = answered };

	ask_with("GET", "/v1/events", "since=0&wait=60", "", "", "");
	assert_int_equal(answers, 0);
	maker.body_size = strlen(maker.body);
	api_handle(&api, &maker);
	while (api.held)
		loop_step(loop);
	assert_int_equal(answers, 2);
	assert_int_equal(call.status, 200);
	assert_int_equal(json_array_size(json_object_get(call.answer,
							 "events")), 1);
	forget(&maker);
	/* One that has gone is not answered. */
	ask_with("GET", "/v1/events", "since=1&wait=60", "", "", "");
	api_cancel(&call);
	make("db");
	assert_int_equal(answers, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(paths_lead_somewhere_or_are_refused),
		TEST(bodies_are_objects_of_what_there_is),
		TEST(names_are_unique_and_near_ones_offered),
		TEST(a_request_sent_twice_makes_one),
		TEST(pages_follow_each_other),
		TEST(a_change_knows_what_it_changes),
		TEST(a_version_may_be_one_of_several),
		TEST(what_is_known_is_not_sent_again),
		TEST(figures_are_told),
		TEST(verbs_ask_the_table),
		TEST(a_start_that_fails_is_told_to_who_waits),
		TEST(events_come_to_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
