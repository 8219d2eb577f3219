/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of kept machines, for ps and for commands on many of them.
 */
#ifndef LODGE_CLI_MACHINE_KEPT_H
#define LODGE_CLI_MACHINE_KEPT_H

#include <jansson.h>

#include "cli/daemon/api.h"

/*
 * Appends the kept machines to `list`, as ps tells them: with what `running`, a
 * list of what control sockets say, has of their processes, which is taken out
 * of it. 0, or -1 with `error`.
 */
int kept_list(struct api_client *client, json_t *running, json_t *list,
	      struct vmm_error *error);

#endif
