/* SPDX-License-Identifier: Apache-2.0 */
/* The value of options that say where a console's outside is. */
#ifndef LODGE_CLI_RUN_CONSOLE_H
#define LODGE_CLI_RUN_CONSOLE_H

#include "vmm/console/consoles.h"

/*
 * stdio, file:PATH, pty, unix:PATH or none, kept as long as `value` lasts.
 * -1 after cli_error(), which names `option`.
 */
int console_parse(const char *option, const char *value,
		  struct console_config *config);

/*
 * NAME=WHERE, for --console. The name stays allocated. -1 after cli_error().
 */
int console_parse_port(const char *value, struct machine_port *port);

#endif
