/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --display of lodge run.
 */
#include "cli/run/display.h"

#include <string.h>

#include "cli/option.h"

#define VNC "vnc="

static int parse_vnc(const char *text, struct vnc_config *vnc)
{
	static const char password[] = ",password-file=";
	/* Of addresses, those of Unix sockets alone may hold a comma. */
	const char *option = strstr(text, password);

	if (option)
		vnc->password_file = option + strlen(password);
	vnc->where = option ? strndup(text, (size_t)(option - text)) : text;
	if (!vnc->where) {
		cli_error("run: out of memory");
		return -1;
	}
	if (*vnc->where && (!option || *vnc->password_file))
		return 0;
	cli_error("run: --display vnc=%s: give vnc=PORT, vnc=ADDRESS:PORT or "
		  "vnc=unix:PATH, and perhaps ,password-file=PATH", text);
	return -1;
}

int display_parse(const char *text, struct cli_display *display)
{
	*display = (struct cli_display){
		.given = true,
		.adapter = strcmp(text, "none"),
	};
	if (!strncmp(text, VNC, strlen(VNC)))
		return parse_vnc(text + strlen(VNC), &display->vnc);
	if (!display->adapter || !strcmp(text, "std"))
		return 0;
	cli_error("run: --display %s: give none, std or vnc=ADDRESS", text);
	return -1;
}
