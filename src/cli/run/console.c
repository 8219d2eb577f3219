/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio, file:PATH, pty, unix:PATH, none; and NAME=one of these for ports of
 * the virtio console. A name is what the guest sees: a file name of its own.
 */
#include "cli/run/console.h"

#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

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
		config->path = path ? value + length : NULL;
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
