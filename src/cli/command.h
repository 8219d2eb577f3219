/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the lodge program. Each gives the exit status.
 */
#ifndef LODGE_CLI_COMMAND_H
#define LODGE_CLI_COMMAND_H

#include <stdint.h>

/* What a command gets of the process that it runs in. */
struct command_context {
	uint64_t process_start; /* host_monotonic_ns() time, estimated */
};

struct command {
	const char *name;
	const char *summary; /* one line */
	int (*run)(const struct command_context *context, int argc,
		   char **argv);
	void (*help)(void); /* to stdout */
};

extern const struct command command_run;
extern const struct command command_create;
extern const struct command command_edit;
extern const struct command command_start;
extern const struct command command_ps;
extern const struct command command_rm;
extern const struct command command_console;
extern const struct command command_events;
extern const struct command command_list;
extern const struct command command_status;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_stop;
extern const struct command command_reset;
extern const struct command command_screenshot;
extern const struct command command_keys;
extern const struct command command_inspect;
extern const struct command command_balloon;
extern const struct command command_attach;
extern const struct command command_detach;
extern const struct command command_insert;
extern const struct command command_eject;
extern const struct command command_exec;
extern const struct command command_shell;
extern const struct command command_ssh;
extern const struct command command_cp;
extern const struct command command_agent;
extern const struct command command_proxy;
extern const struct command command_mirror;
extern const struct command command_commit;
extern const struct command command_rebase;
extern const struct command command_job;
extern const struct command command_limit;
extern const struct command command_disk;
extern const struct command command_image;
extern const struct command command_net;
extern const struct command command_host;

#endif
