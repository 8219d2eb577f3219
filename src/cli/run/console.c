/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio, file:PATH[,limit=SIZE], pty, unix:PATH, none; and NAME=one of these for ports of
 * the virtio console. A name is what the guest sees: a file name of its own.
 */
#include "cli/run/console.h"

#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

/* PATH[,limit=SIZE]; no SIZE is none. */
static int parse_file(const char *option, const char *value,
		      struct console_config *config)
{
	static const char word[] = ",limit=";
	const char *found = strstr(value, word), *last = found;

	config->limit = CONSOLE_FILE_MAX;
	while (found) {
		last = found;
		found = strstr(found + 1, word);
	}
	config->path = strndup(value, last ? (size_t)(last - value)
					   : strlen(value));
	if (!last)
		return 0;
	last += strlen(word);
	if (!strcmp(last, "none")) {
		config->limit = 0;
		return 0;
	}
	if (cli_parse_bytes(last, true, &config->limit) && config->limit)
		return 0;
	cli_error("run: %s: limit=%s: give a size such as 64M, or none",
		  option, last);
	return -1;
}

int console_parse(const char *option, const char *value,
		  struct console_config *config)
{
	static const struct {
		const char *name; /* with a colon, a path follows */
		enum console_kind kind;
	} kinds[] = {
		{ "stdio", CONSOLE_STDIO },   { "file:", CONSOLE_FILE },
		{ "unix:", CONSOLE_SOCKET },  { "pty", CONSOLE_PTY },
		{ "none", CONSOLE_NONE },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i].name);
		bool path = kinds[i].name[length - 1] == ':';

		if (strncmp(value, kinds[i].name, length) ||
		    path != !!value[length])
			continue;
		config->kind = kinds[i].kind;
		if (config->kind == CONSOLE_FILE)
			return parse_file(option, value + length, config);
		config->path = path ? strdup(value + length) : NULL;
		return 0;
	}
	cli_error("run: %s %s: give stdio, file:PATH, pty, unix:PATH or none",
		  option, value);
	return -1;
}

static bool name_fits(const char *name, size_t length)
{
	if (!length || length > VIRTIO_CONSOLE_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

int console_parse_port(const char *value, struct machine_port *port)
{
	const char *equals = strchr(value, '=');

	if (!equals) {
		cli_error("run: --console %s: give NAME=WHERE, such as "
			  "agent=unix:agent.sock", value);
		return -1;
	}
	if (!name_fits(value, (size_t)(equals - value))) {
		cli_error("run: --console %s: a name has 1 to %d printable "
			  "characters, no / and no . first", value,
			  VIRTIO_CONSOLE_NAME_MAX);
		return -1;
	}
	port->name = strndup(value, (size_t)(equals - value));
	return console_parse("--console", equals + 1, &port->outside);
}
