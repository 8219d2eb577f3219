/* SPDX-License-Identifier: Apache-2.0 */
#include "firecracker/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

void http_init(struct http_reader *reader, size_t body_max)
{
	*reader = (struct http_reader){ .body_max = body_max };
}

void http_fini(struct http_reader *reader)
{
	free(reader->body);
	reader->body = NULL;
}

void http_next(struct http_reader *reader)
{
	size_t body_max = reader->body_max;

	http_fini(reader);
	http_init(reader, body_max);
}

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Error";
}

static void bad(struct http_reader *reader, int status)
{
	reader->state = HTTP_BAD;
	reader->status = status;
}

/* --- the head --------------------------------------------------------------------- */

/* A word before `stop`, which is cut off; NULL: it is not there, or empty. */
static char *cut_word(char **at, char stop)
{
	char *word = *at, *end = strchr(word, stop);

	if (!end || end == word)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return word;
}

/* "PUT /a?x HTTP/1.1"; a client of a proxy sends the whole address. */
static void take_first(struct http_reader *reader, char *line)
{
	char *method = cut_word(&line, ' ');
	char *path = method ? cut_word(&line, ' ') : NULL;

	if (!path || strncmp(line, "HTTP/", 5) ||
	    strlen(method) > HTTP_METHOD_MAX) {
		bad(reader, 400);
		return;
	}
	if (strcmp(line, "HTTP/1.1") && strcmp(line, "HTTP/1.0")) {
		bad(reader, 505);
		return;
	}
	reader->close = !strcmp(line, "HTTP/1.0");
	if (!strncasecmp(path, "http://", 7))
		path += 7 + strcspn(path + 7, "/");
	path[strcspn(path, "?#")] = '\0';
	if (*path != '/' || strlen(path) > HTTP_PATH_MAX) {
		bad(reader, *path == '/' ? 404 : 400);
		return;
	}
	strcpy(reader->method, method);
	strcpy(reader->path, path);
}

static void take_length(struct http_reader *reader, const char *value,
			bool *known)
{
	size_t length = 0;

	if (*known || !*value || strspn(value, "0123456789") != strlen(value)) {
		bad(reader, 400);
		return;
	}
	*known = true;
	for (; *value; value++)
		if (length <= reader->body_max)
			length = length * 10 + (size_t)(*value - '0');
	reader->body_size = length;
	if (length > reader->body_max)
		bad(reader, 413);
}

static void take_field(struct http_reader *reader, char *line, bool *known)
{
	char *colon = strchr(line, ':'), *value, *end;

	if (!colon || colon == line || strcspn(line, BLANKS) <
					       (size_t)(colon - line)) {
		bad(reader, 400);
		return;
	}
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, BLANKS);
	for (end = value + strlen(value); end > value &&
					  strchr(BLANKS, end[-1]);)
		*--end = '\0';
	if (!strcasecmp(line, "content-length"))
		take_length(reader, value, known);
	else if (!strcasecmp(line, "transfer-encoding"))
		bad(reader, 411);
	else if (!strcasecmp(line, "connection"))
		reader->close |= !strcasecmp(value, "close");
	else if (!strcasecmp(line, "expect"))
		reader->expects = !strcasecmp(value, "100-continue");
}

/* The next line, without its end; NULL: there is none. */
static char *next_line(char **at)
{
	char *line = *at, *end = strchr(line, '\n');

	if (!end)
		return NULL;
	*at = end + 1;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

static void take_head(struct http_reader *reader)
{
	char *at = reader->head, *line;
	bool known = false;

	if (strlen(reader->head) != reader->head_size) {
		bad(reader, 400);
		return;
	}
	line = next_line(&at);
	take_first(reader, line ? line : reader->head);
	while (reader->state != HTTP_BAD && (line = next_line(&at)) && *line)
		take_field(reader, line, &known);
	if (reader->state == HTTP_BAD)
		return;
	reader->body = malloc(reader->body_size + 1);
	if (!reader->body) {
		bad(reader, 500);
		return;
	}
	reader->body[reader->body_size] = '\0';
	reader->state = reader->body_size ? HTTP_BODY : HTTP_READY;
}

/* Whether the head ends here: an empty line. */
static bool head_ends(const struct http_reader *reader)
{
	const char *end = reader->head + reader->head_size;

	if (reader->head_size < 2 || end[-1] != '\n')
		return false;
	return end[-2] == '\n' ||
	       (reader->head_size >= 4 && !memcmp(end - 4, "\r\n\r\n", 4));
}

/* --- bytes -------------------------------------------------------------------------- */

static bool take_byte(struct http_reader *reader, char byte)
{
	/* Empty lines before a request are to be left out (2.2). */
	if (!reader->head_size && (byte == '\r' || byte == '\n'))
		return true;
	if (reader->head_size == HTTP_HEAD_MAX) {
		bad(reader, 431);
		return false;
	}
	reader->head[reader->head_size++] = byte;
	reader->head[reader->head_size] = '\0';
	if (!head_ends(reader))
		return true;
	take_head(reader);
	return false;
}

size_t http_take(struct http_reader *reader, const char *bytes, size_t size)
{
	size_t used = 0, more;

	while (reader->state == HTTP_HEAD && used < size)
		if (!take_byte(reader, bytes[used++]))
			break;
	if (reader->state != HTTP_BODY)
		return used;
	more = reader->body_size - reader->body_have;
	if (more > size - used)
		more = size - used;
	memcpy(reader->body + reader->body_have, bytes + used, more);
	reader->body_have += more;
	if (reader->body_have == reader->body_size)
		reader->state = HTTP_READY;
	return used + more;
}
