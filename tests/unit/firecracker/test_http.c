/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests out of bytes, however these come, and what is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "firecracker/http.h"

static struct http_reader reader;

/* In pieces of `step` bytes; gives what is left. */
static size_t feed(const char *text, size_t size, size_t step)
{
	size_t used = 0;

	while (used < size && reader.state < HTTP_READY) {
		size_t n = size - used < step ? size - used : step;

		used += http_take(&reader, text + used, n);
	}
	return size - used;
}

static void request(const char *text, size_t step)
{
	http_fini(&reader);
	http_init(&reader, 64);
	feed(text, strlen(text), step);
}

static void a_request_in_any_pieces(void **state)
{
	static const char text[] =
		"\r\nPUT /drives/a?x=1 HTTP/1.1\r\nHost: localhost\r\n"
		"Accept: */*\r\nContent-Length:  5 \r\n\r\nhelloGET /v";

	for (size_t step = 1; step < sizeof(text); step++) {
		http_fini(&reader);
		http_init(&reader, 64);
		assert_int_equal(feed(text, sizeof(text) - 1, step), 6);
		assert_int_equal(reader.state, HTTP_READY);
		assert_string_equal(reader.method, "PUT");
		assert_string_equal(reader.path, "/drives/a");
		assert_string_equal(reader.body, "hello");
		assert_false(reader.close);
	}
	http_next(&reader);
	assert_int_equal(reader.state, HTTP_HEAD);
	feed("GET /v HTTP/1.0\n\n", 17, 99);
	assert_int_equal(reader.state, HTTP_READY);
	assert_string_equal(reader.path, "/v");
	assert_int_equal(reader.body_size, 0);
	assert_true(reader.close);
}

static void what_clients_say(void **state)
{
	request("GET http://localhost/version HTTP/1.1\r\n"
		"connection: CLOSE\r\n\r\n", 7);
	assert_string_equal(reader.path, "/version");
	assert_true(reader.close);
	request("PUT / HTTP/1.1\r\nExpect: 100-continue\r\n"
		"content-length: 3\r\n\r\n", 99);
	assert_int_equal(reader.state, HTTP_BODY);
	assert_true(reader.expects);
}

static void bad_ones_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "GET\r\n\r\n", 400 },
		{ "GET / HTTP/1.1 x\r\n\r\n", 505 },
		{ " / HTTP/1.1\r\n\r\n", 400 },
		{ "GET  HTTP/1.1\r\n\r\n", 400 },
		{ "GET / FTP\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\n\r\n", 505 },
		{ "GETGETGETGET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET x HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nx\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n: x\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\na : x\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\ncontent-length: 1\r\n"
		  "content-length: 1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\ncontent-length:\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\ncontent-length: 65\r\n\r\n", 413 },
		{ "GET / HTTP/1.1\r\ncontent-length: 99999999999999999999999"
		  "\r\n\r\n", 413 },
		{ "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
		  411 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request(cases[i].text, 3);
		if (reader.state != HTTP_BAD ||
		    reader.status != cases[i].status)
			fail_msg("%s: %d %d", cases[i].text, reader.state,
				 reader.status);
	}
}

static void a_head_has_an_end(void **state)
{
	static const char line[] = "GET / HTTP/1.1\r\n";
	char *text = malloc(HTTP_HEAD_MAX + 2);

	memset(text, 'a', HTTP_HEAD_MAX + 2);
	memcpy(text, line, sizeof(line) - 1);
	http_fini(&reader);
	http_init(&reader, 64);
	assert_int_equal(feed(text, HTTP_HEAD_MAX + 2, 1000), 1);
	assert_int_equal(reader.status, 431);
	free(text);
	http_fini(&reader);
	http_init(&reader, 64);
	feed("GET / HTTP/1.1\r\na\0: b\r\n\r\n", 26, 99);
	assert_int_equal(reader.status, 400);
	http_fini(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_in_any_pieces),
		cmocka_unit_test(what_clients_say),
		cmocka_unit_test(bad_ones_are_told_apart),
		cmocka_unit_test(a_head_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
