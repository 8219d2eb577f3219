/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the lodge program, as tables: what each is called, takes and
 * tells. Help, suggestions and completion are made of them. Some are nouns
 * with verbs: lodge image list.
 */
#ifndef LODGE_CLI_COMMAND_H
#define LODGE_CLI_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/option.h"

struct machine_config;

/* What a command gets of the process that it runs in. */
struct command_context {
	uint64_t process_start; /* host_monotonic_ns() time, estimated */

	bool sandbox; /* unless --sandbox says something else */

	/* What lodge run has in the program lodge; NULL in lodge-vm. */
	int (*detached)(int argc, char **argv); /* --detach: the exit status */
	int (*driven)(int argc, char **argv); /* --api-sock: likewise */
	int (*split)(struct machine_config *config); /* see front.h */
};

struct command {
	const char *name;
	const char *summary;  /* one line, for lists */
	const char *synopsis; /* behind the name: "NAME [OPTIONS]" */
	const char *about;    /* lines; no newline at the end */
	const char *examples; /* the same, without indentation; NULL: none */
	const struct option_spec *options;
	size_t option_count;
	const struct option_heading *headings; /* NULL: none */

	/* Its words: how many, what is missing when there are fewer, with |
	 * between; NULL: the usage tells. */
	int words_min, words_max;
	const char *missing;
	/* What completes each: kinds of completion.h, the last repeats. */
	const char *words;

	const struct command *const *verbs; /* NULL: it is no noun */
	size_t verb_count;

	/* The exit status. NULL: one of a noun, which runs it. */
	int (*run)(const struct command_context *context, int argc,
		   char **argv);
	const char *statuses; /* those of its exit; NULL: the usual three */
	void (*more)(void);   /* prints the help's end; NULL: nothing */
	void (*help)(void); /* prints all of the help itself; or NULL */
};

#define COMMAND_MANY INT_MAX /* words */

#define OPTION_COUNT(options) (sizeof(options) / sizeof((options)[0]))

/* The help, to stdout; `noun` is whose verb it is, or NULL. */
void command_explain(const struct command *noun, const struct command *command);

/*
 * One of `list` by its name; NULL after cli_error(), which offers what is near
 * or what that is called here. `before` begins the line ("image: ", "").
 */
const struct command *command_find(const char *before,
				   const struct command *const *list,
				   size_t count, const char *name);

/*
 * The verb that argv[0] names; NULL: the exit status is in *status, and the
 * help or the error was told.
 */
const struct command *command_verb(const struct command *noun, int argc,
				   char **argv, int *status);

/*
 * The options of a command that takes its words itself. -1: go on; else the
 * exit status, and all was told.
 */
int command_options(const struct command *command, int argc, char **argv,
		    void *config, int *words);

/* Whether it takes so many words. -1, or the exit status and why was told. */
int command_check_words(const struct command *command, int words,
			char **word);

/*
 * Options and words of a command, or of a noun's verb: *words of them are in
 * front of argv. -1: go on; else the exit status, and all was told.
 */
int command_take(const struct command *noun, const struct command *command,
		 int argc, char **argv, void *config, int *words);

extern const struct command command_run;
extern const struct command command_create;
extern const struct command command_edit;
extern const struct command command_clone;
extern const struct command command_crashes;
extern const struct command command_apply;
extern const struct command command_export;
extern const struct command command_start;
extern const struct command command_ps;
extern const struct command command_rm;
extern const struct command command_console;
extern const struct command command_events;
extern const struct command command_token;
extern const struct command command_audit;
extern const struct command command_list;
extern const struct command command_top;
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
extern const struct command command_firecracker;
extern const struct command command_limit;
extern const struct command command_disk;
extern const struct command command_image;
extern const struct command command_net;
extern const struct command command_host;
extern const struct command command_completion;

/* All of the program lodge. */
extern const struct command *const cli_commands[];
extern const size_t cli_command_count;

#endif
