/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asked for what, and how it went: kept in the registry, the last
 * AUDIT_KEPT. Bodies are not kept, they may have secrets.
 */
#ifndef LODGE_MANAGE_ACCESS_AUDIT_H
#define LODGE_MANAGE_ACCESS_AUDIT_H

#include <jansson.h>
#include <stdint.h>

#include "manage/registry/registry.h"

#define AUDIT_KEPT 100000

struct audit;

struct audit_line {
	const char *who;    /* "token ci"; NULL: nobody that is known */
	const char *where;  /* "unix", an address */
	const char *method, *path;
	int status;
	const char *detail; /* why it was refused, or the name of what was made; NULL */
};

/* NULL with `problem`. */
struct audit *audit_open(struct registry *registry, struct problem *problem);
void audit_close(struct audit *audit);

/* One that cannot be kept is logged. */
void audit_add(struct audit *audit, const struct audit_line *line);

/*
 * `limit` lines at most, after `since`; or the newest ones with `newest`. The
 * oldest comes first. NULL with `problem`.
 */
json_t *audit_list(struct audit *audit, int64_t since, int limit, bool newest,
		   struct problem *problem);

#endif
