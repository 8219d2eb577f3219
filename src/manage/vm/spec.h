/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's configuration: a JSON object as the API has it ("config",
 * docs/api/openapi.yaml), checked against a table of what there may be, and
 * turned into the arguments of the machine's process.
 */
#ifndef LODGE_MANAGE_VM_SPEC_H
#define LODGE_MANAGE_VM_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "manage/api/problem.h"

enum spec_restart {
	SPEC_RESTART_NEVER,
	SPEC_RESTART_ON_FAILURE,
	SPEC_RESTART_ALWAYS,
};

/* 0, or -1 with `problem`, which names the setting. */
int spec_check(const json_t *config, struct problem *problem);

/*
 * What `change` makes of `config` (RFC 7396: null takes away), checked. A new
 * object, or NULL with `problem`.
 */
json_t *spec_change(const json_t *config, const json_t *change,
		    struct problem *problem);

enum spec_restart spec_restart(const json_t *config);
bool spec_autostart(const json_t *config, json_int_t *order);

/* Seconds from its start to that of the next one. */
json_int_t spec_autostart_delay(const json_t *config);

/* Of the guest: processors, and bytes of memory. */
unsigned int spec_cpus(const json_t *config);
uint64_t spec_memory(const json_t *config);

/* Whether the labels have NAME=VALUE, or NAME alone. */
bool spec_has_label(const json_t *config, const char *label);

/* Arguments, NULL behind the last. */
struct spec_args {
	char **arg;
	size_t count, room;
	bool failed; /* no memory */
};

void spec_arg(struct spec_args *args, const char *text);
void spec_arg_pair(struct spec_args *args, const char *option,
		   const char *value);

/* Appends those of the configuration. -1: no memory. */
int spec_args(struct spec_args *args, const json_t *config);
void spec_args_free(struct spec_args *args);

#endif
