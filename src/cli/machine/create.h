/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a command line to the configuration of a kept machine.
 */
#ifndef LODGE_CLI_MACHINE_CREATE_H
#define LODGE_CLI_MACHINE_CREATE_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/command.h"
#include "cli/option.h"

/* The one that is being made, or what of one is to be changed. */
struct create {
	const char *command;
	json_t *config;
	const char *name; /* edit: its new name; NULL: as it is */
	bool dry_run, json;
	/* edit: which machines, beside those that are named */
	bool all;
	const char *with_label; /* NULL: none */
	json_t *answers; /* for json */
	const char *plan; /* clone: what lodged wants carried out */
};

/* The commands. */
int create_run_create(const struct command_context *context, int argc,
		      char **argv);
int create_run_edit(const struct command_context *context, int argc,
		    char **argv);
int create_run_clone(const struct command_context *context, int argc,
		     char **argv);

/* Tells what lodged says of a setting to who gave an option: "--memory: ...". */
void create_refused(const char *command, const char *detail);

/* Those of lodge create, whose `config` is a struct create. */
const struct option_spec *create_table(size_t *count);

#endif
