/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of runs that ended badly: in a machine's folder crashes/, one
 * file each, with the reason, the end of the log (registers, and the last that
 * the guest said on its console) and the run's report.
 */
#ifndef LODGE_MANAGE_VM_CRASH_H
#define LODGE_MANAGE_VM_CRASH_H

#include <jansson.h>

#define CRASHES_KEPT 10

/* Keeps that run's; `folder` is the machine's, open. */
void crash_keep(int folder, const char *run, const char *kind,
		const char *reason);

/* A list, the newest first. */
json_t *crash_list(int folder);

#endif
