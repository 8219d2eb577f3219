/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's answer to who uses what: disks, images and networks.
 */
#include <string.h>

#include "manage/api/impl.h"
#include "manage/registry/uses.h"

static void list_uses(struct api_call *call)
{
	static const char *const kinds[USES_KINDS] = { "disks", "images",
						       "networks" };
	struct uses *uses = registry_uses(call->api->manager->registry);
	struct problem problem;

	for (int i = 0; i < USES_KINDS; i++) {
		if (strcmp(call->part[2], kinds[i]))
			continue;
		api_answer(call, 200,
			   json_pack("{so}", "uses",
				     uses_list(uses, (enum uses_kind)i,
					       api_arg(call, "name"))));
		return;
	}
	problem_set(&problem, 404, "no-such-path", "there are no uses of "
		    "%.60s; give disks, images or networks", call->part[2]);
	api_refuse(call, &problem);
}

const struct api_route api_uses_routes[] = {
	{ "GET", "/v1/uses/{kind}", ROLE_VIEWER, list_uses },
	{ 0 },
};
