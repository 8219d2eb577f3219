/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading goes event by event, so that each key's line is at hand and no text
 * can grow beyond its own size: aliases are refused, depth is bounded.
 */
#include "cli/yaml.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 8
#define PATH_SIZE 256

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool held; /* the event is there */
	json_t *lines; /* of the document that is read */
	char *why;
	size_t why_size;
	bool failed;
};

/* --- words ------------------------------------------------------------------------ */

static bool is_number(const char *text)
{
	size_t length = strlen(text), sign = *text == '-' || *text == '+';

	return length > sign && length < 19 &&
	       strspn(text + sign, "0123456789") == length - sign &&
	       (length == sign + 1 || text[sign] != '0');
}

/* What a plain word means. */
static json_t *plain_value(const char *text)
{
	if (!strcmp(text, "true") || !strcmp(text, "false"))
		return json_boolean(*text == 't');
	if (!*text || !strcmp(text, "~") || !strcmp(text, "null"))
		return json_null();
	if (is_number(text))
		return json_integer(strtoll(text, NULL, 10));
	return json_string(text);
}

/* --- reading ---------------------------------------------------------------------- */

static json_t *fail(struct reader *reader, size_t line, const char *format, ...)
{
	va_list args;
	int used;

	if (reader->failed)
		return NULL;
	reader->failed = true;
	used = snprintf(reader->why, reader->why_size, "%zu: ", line + 1);
	va_start(args, format);
	vsnprintf(reader->why + used, reader->why_size - (size_t)used, format,
		  args);
	va_end(args);
	return NULL;
}

static void drop(struct reader *reader)
{
	if (reader->held)
		yaml_event_delete(&reader->event);
	reader->held = false;
}

/* The next event; false after fail(). */
static bool next(struct reader *reader)
{
	drop(reader);
	if (yaml_parser_parse(&reader->parser, &reader->event)) {
		reader->held = true;
		return true;
	}
	fail(reader,
	     reader->parser.problem_mark.line ?
		     reader->parser.problem_mark.line :
		     reader->parser.context_mark.line,
	     "%s", reader->parser.problem ? reader->parser.problem :
					    "out of memory");
	return false;
}

static size_t line_of(const struct reader *reader)
{
	return reader->event.start_mark.line;
}

static json_t *read_value(struct reader *reader, const char *path,
			  unsigned int depth);

static json_t *read_scalar(struct reader *reader)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	json_t *value;

	if (reader->event.data.scalar.tag)
		return fail(reader, line_of(reader),
			    "a tag (!) is not taken here");
	if (strlen(text) != reader->event.data.scalar.length)
		return fail(reader, line_of(reader), "a text has a zero byte");
	value = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE ?
			plain_value(text) :
			json_string(text);
	return value ? value : fail(reader, line_of(reader), "is not UTF-8");
}

static json_t *read_list(struct reader *reader, const char *path,
			 unsigned int depth)
{
	json_t *list = json_array();
	char below[PATH_SIZE];

	while (next(reader) && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		json_t *value;

		snprintf(below, sizeof(below), "%s.%zu", path,
			 json_array_size(list));
		json_object_set_new(reader->lines, below,
				    json_integer((json_int_t)line_of(reader) +
						 1));
		value = read_value(reader, below, depth + 1);
		if (!value || json_array_append_new(list, value))
			break;
	}
	if (!reader->failed)
		return list;
	json_decref(list);
	return NULL;
}

/* The key at hand, with its value; -1 after fail(). */
static int read_member(struct reader *reader, json_t *object, const char *path,
		       unsigned int depth)
{
	size_t line = line_of(reader);
	char below[PATH_SIZE], key[128];
	json_t *value;

	if (reader->event.type != YAML_SCALAR_EVENT ||
	    reader->event.data.scalar.length >= sizeof(key)) {
		fail(reader, line, "a key is to be a short text");
		return -1;
	}
	snprintf(key, sizeof(key), "%s",
		 (const char *)reader->event.data.scalar.value);
	if (json_object_get(object, key)) {
		fail(reader, line, "%s: is there twice", key);
		return -1;
	}
	snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
	json_object_set_new(reader->lines, below,
			    json_integer((json_int_t)line + 1));
	if (!next(reader))
		return -1;
	value = read_value(reader, below, depth + 1);
	if (value && !json_object_set_new(object, key, value))
		return 0;
	fail(reader, line, "a key is not UTF-8");
	return -1;
}

static json_t *read_object(struct reader *reader, const char *path,
			   unsigned int depth)
{
	json_t *object = json_object();

	while (next(reader) && reader->event.type != YAML_MAPPING_END_EVENT)
		if (read_member(reader, object, path, depth))
			break;
	if (!reader->failed)
		return object;
	json_decref(object);
	return NULL;
}

static json_t *read_value(struct reader *reader, const char *path,
			  unsigned int depth)
{
	if (depth > DEPTH_MAX)
		return fail(reader, line_of(reader), "%s: too deep", path);
	switch (reader->event.type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(reader);
	case YAML_SEQUENCE_START_EVENT:
		return read_list(reader, path, depth);
	case YAML_MAPPING_START_EVENT:
		return read_object(reader, path, depth);
	case YAML_ALIAS_EVENT:
		return fail(reader, line_of(reader),
			    "an alias (*) is not taken here");
	default:
		return fail(reader, line_of(reader), "a value is missing");
	}
}

/* All that follow; documents without a word are left out. */
static void read_documents(struct reader *reader, json_t *list)
{
	while (next(reader) && reader->event.type != YAML_STREAM_END_EVENT) {
		size_t line;
		json_t *value;

		if (reader->event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (!next(reader))
			break;
		line = line_of(reader) + 1;
		reader->lines = json_object();
		value = read_value(reader, "", 0);
		if (value && !json_is_null(value))
			json_array_append_new(
				list, json_pack("{sO sI sO}", "value", value,
						"line", (json_int_t)line,
						"lines", reader->lines));
		json_decref(value);
		json_decref(reader->lines);
		if (reader->failed)
			break;
	}
}

json_t *yaml_read(const char *text, size_t size, char *why, size_t why_size)
{
	struct reader reader = { .why = why, .why_size = why_size };
	json_t *list;

	if (!yaml_parser_initialize(&reader.parser)) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&reader.parser,
				     (const unsigned char *)text, size);
	list = json_array();
	read_documents(&reader, list);
	drop(&reader);
	yaml_parser_delete(&reader.parser);
	if (!reader.failed)
		return list;
	json_decref(list);
	return NULL;
}

/* --- writing ---------------------------------------------------------------------- */

static bool emit(yaml_emitter_t *emitter, yaml_event_t *event, int made)
{
	return made && yaml_emitter_emit(emitter, event);
}

/* A text that a plain word would not give back is quoted. */
static bool write_text(yaml_emitter_t *emitter, const char *text)
{
	json_t *plain = plain_value(text);
	bool same = json_is_string(plain);
	yaml_event_t event;

	json_decref(plain);
	return emit(emitter, &event,
		    yaml_scalar_event_initialize(
			    &event, NULL, NULL, (const unsigned char *)text,
			    (int)strlen(text), same, 1,
			    same ? YAML_ANY_SCALAR_STYLE :
				   YAML_SINGLE_QUOTED_SCALAR_STYLE));
}

static bool write_plain(yaml_emitter_t *emitter, const char *text)
{
	yaml_event_t event;

	return emit(emitter, &event,
		    yaml_scalar_event_initialize(
			    &event, NULL, NULL, (const unsigned char *)text,
			    (int)strlen(text), 1, 0,
			    YAML_PLAIN_SCALAR_STYLE));
}

static bool write_value(yaml_emitter_t *emitter, const json_t *value);

static bool write_list(yaml_emitter_t *emitter, const json_t *list)
{
	yaml_event_t event;
	const json_t *item;
	size_t i;

	if (!emit(emitter, &event,
		  yaml_sequence_start_event_initialize(
			  &event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE)))
		return false;
	json_array_foreach(list, i, item)
		if (!write_value(emitter, item))
			return false;
	return emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

static bool write_object(yaml_emitter_t *emitter, const json_t *object)
{
	yaml_event_t event;
	const char *name;
	json_t *value;

	if (!emit(emitter, &event,
		  yaml_mapping_start_event_initialize(
			  &event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)))
		return false;
	json_object_foreach((json_t *)object, name, value)
		if (!write_text(emitter, name) || !write_value(emitter, value))
			return false;
	return emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static bool write_value(yaml_emitter_t *emitter, const json_t *value)
{
	char number[32];

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return write_object(emitter, value);
	case JSON_ARRAY:
		return write_list(emitter, value);
	case JSON_STRING:
		return write_text(emitter, json_string_value(value));
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(value));
		return write_plain(emitter, number);
	default:
		return write_plain(emitter, json_is_true(value)	 ? "true" :
					    json_is_false(value) ? "false" :
								   "null");
	}
}

/* `more`: others follow, or were before, so that lines part them. */
static bool write_document(yaml_emitter_t *emitter, const json_t *value,
			   bool more)
{
	yaml_event_t event;

	return emit(emitter, &event,
		    yaml_document_start_event_initialize(&event, NULL, NULL,
							 NULL, !more)) &&
	       write_value(emitter, value) &&
	       emit(emitter, &event,
		    yaml_document_end_event_initialize(&event, 1));
}

int yaml_write(FILE *out, const json_t *list)
{
	yaml_emitter_t emitter;
	yaml_event_t event;
	const json_t *value;
	bool good;
	size_t i;

	if (!yaml_emitter_initialize(&emitter))
		return -1;
	yaml_emitter_set_output_file(&emitter, out);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	good = emit(&emitter, &event,
		    yaml_stream_start_event_initialize(&event,
						       YAML_UTF8_ENCODING));
	json_array_foreach(list, i, value)
		good = good && write_document(&emitter, value,
					      json_array_size(list) > 1);
	good = good && emit(&emitter, &event,
			    yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&emitter);
	return good && !fflush(out) ? 0 : -1;
}
