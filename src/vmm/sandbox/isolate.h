/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's process from its start to its sandbox: the broker, what it is
 * to grant of this machine's configuration, the sandbox itself. What each is
 * for is in docs/security.md.
 */
#ifndef LODGE_VMM_SANDBOX_ISOLATE_H
#define LODGE_VMM_SANDBOX_ISOLATE_H

#include <jansson.h>
#include <stdbool.h>

#include "vmm/error.h"

struct machine_config;
struct media;
struct nets;

struct isolate {
	struct broker *broker; /* NULL: no sandbox */
};

/* Before the process has threads. 0, or -1 with the error. */
int isolate_begin(struct isolate *isolate, const struct machine_config *config,
		  struct vmm_error *error);

/* What became of the configuration. */
struct isolate_machine {
	const char *name;
	const struct nets *nets;
	const struct media *media;
	int control; /* listening, or -1 */
	bool kvm;
};

/* When all is open, before the guest runs. 0, or -1 with the error. */
int isolate_enter(struct isolate *isolate, const struct machine_config *config,
		  const struct isolate_machine *machine,
		  struct vmm_error *error);

/*
 * What of it there is, for those who ask: {"active": false}, or "active" with
 * "namespaces", "landlock" (its version; 0: none), "own_user", and "why" there
 * are no namespaces.
 */
json_t *isolate_json(void);

/* The broker stays until the process ends. */
void isolate_end(struct isolate *isolate);

#endif
