/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio, file:PATH, pty, unix:PATH, none
 */
#include "cli/console.h"

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
