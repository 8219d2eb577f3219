/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The value of --display: none, std, or vnc=ADDRESS[,password-file=PATH].
 */
#ifndef LODGE_CLI_RUN_DISPLAY_H
#define LODGE_CLI_RUN_DISPLAY_H

#include <stdbool.h>

#include "vmm/display/vnc_server.h"

struct cli_display {
	bool given;
	bool adapter; /* there is one */
	struct vnc_config vnc;
};

/* What it keeps lives as long as the program. -1: said why not. */
int display_parse(const char *text, struct cli_display *display);

#endif
