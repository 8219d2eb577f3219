/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands mirror, mirror-status and mirror-end of the control protocol.
 */
#include <string.h>

#include "vmm/control_impl.h"
#include "vmm/mirror.h"

static const char *const codes[] = {
	[MIRROR_NOT_FOUND] = "not-found",
	[MIRROR_BUSY] = "busy",
	[MIRROR_FAILED] = "failed",
};

static void answer(struct control_reply *reply, enum mirror_outcome outcome,
		   const struct vmm_error *error)
{
	if (outcome == MIRROR_DONE)
		reply->result = json_object();
	else
		control_refuse(reply, codes[outcome], "%s", error->text);
}

static bool is_text(const json_t *request, const char *name)
{
	const json_t *value = json_object_get(request, name);

	return !value || json_is_string(value);
}

void control_mirror(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	const struct disk_create how = {
		.path = json_string_value(json_object_get(request, "target")),
		.format = json_string_value(json_object_get(request,
							    "format")),
	};
	struct vmm_error error;

	if (!how.path || how.path[0] != '/')
		control_refuse(reply, "bad-request",
			       "\"target\" is an absolute path");
	else if (!is_text(request, "disk") || !is_text(request, "format"))
		control_refuse(reply, "bad-request",
			       "\"disk\" and \"format\" are text");
	else
		answer(reply,
		       mirror_begin(machine->target.mirror,
				    json_string_value(json_object_get(request,
								      "disk")),
				    &how, &error),
		       &error);
}

void control_mirror_status(struct control_machine *machine,
			   const json_t *request, struct control_reply *reply)
{
	reply->result = mirror_json(machine->target.mirror);
}

void control_mirror_end(struct control_machine *machine, const json_t *request,
			struct control_reply *reply)
{
	static const char *const ends[] = { [MIRROR_MOVE] = "move",
					    [MIRROR_KEEP] = "keep",
					    [MIRROR_CANCEL] = "cancel" };
	const char *how = json_string_value(json_object_get(request, "how"));
	struct vmm_error error;

	for (unsigned int i = 0; how && i < 3; i++) {
		if (strcmp(how, ends[i]))
			continue;
		answer(reply,
		       mirror_finish(machine->target.mirror,
				     (enum mirror_end)i, &error),
		       &error);
		return;
	}
	control_refuse(reply, "bad-request",
		       "\"how\" is \"move\", \"keep\" or \"cancel\"");
}
