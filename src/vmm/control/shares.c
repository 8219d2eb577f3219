/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared folders in the control protocol: what the machine has, and attach with
 * the device "share".
 */
#include <stdio.h>
#include <string.h>

#include "vmm/control/impl.h"
#include "vmm/shares.h"

#define BELIEVE_MAX 3600000000000 /* ns: an hour */

json_t *control_shares(const struct control_target *target)
{
	json_t *list = shares_inspect(target->shares);

	hotplug_add_shares(target->hotplug, list);
	return list;
}

static bool has(const struct control_target *target, const char *tag)
{
	for (unsigned int i = 0; i < target->shares->count; i++)
		if (!strcmp(target->shares->given[i].tag, tag))
			return true;
	return hotplug_has(target->hotplug, tag);
}

/* There are more numbers than shares can be. */
static void any_tag(const struct control_target *target,
		    char tag[SHARE_TAG_MAX + 1])
{
	unsigned int n = 0;

	do
		snprintf(tag, SHARE_TAG_MAX + 1, "share%u", n++);
	while (has(target, tag));
}

static const char *word(const json_t *request, const char *name)
{
	return json_string_value(json_object_get(request, name));
}

/* False with a refusal. */
static bool take(const struct control_target *target, const json_t *request,
		 struct machine_share *share, struct control_reply *reply)
{
	const json_t *readonly = json_object_get(request, "readonly");
	const char *tag = word(request, "tag");
	bool there;

	share->folder = word(request, "folder");
	share->at = word(request, "at");
	share->readonly = json_is_true(readonly);
	share->believe = 1;
	if (!share->folder || *share->folder != '/')
		control_refuse(reply, "bad-request",
			       "\"folder\" is an absolute path");
	else if (!share->at || share->at[0] != '/' || !share->at[1] ||
		 strlen(share->at) > SHARES_AT_MAX)
		control_refuse(reply, "bad-request", "\"at\" is an absolute "
			       "path of 200 characters at most, and not /");
	else if (readonly && !json_is_boolean(readonly))
		control_refuse(reply, "bad-request",
			       "\"readonly\" is true or false");
	else if (json_object_get(request, "tag") &&
		 (!tag || !*tag || strlen(tag) > SHARE_TAG_MAX ||
		  strchr(tag, ':')))
		control_refuse(reply, "bad-request", "\"tag\" has 1 to 36 "
			       "characters, and no :");
	else if (tag && has(target, tag))
		control_refuse(reply, "exists", "a share has the tag %s; give "
			       "another one", tag);
	else if (control_number(request, "believe", &there, &share->believe,
				reply)) {
		if (share->believe > BELIEVE_MAX)
			share->believe = BELIEVE_MAX;
		if (tag)
			snprintf(share->tag, sizeof(share->tag), "%s", tag);
		else
			any_tag(target, share->tag);
		return true;
	}
	return false;
}

void control_attach_share(struct control_machine *machine,
			  const json_t *request, struct control_reply *reply)
{
	struct machine_share share = { 0 };
	enum hotplug_outcome outcome;
	struct vmm_error error;

	if (!take(&machine->target, request, &share, reply))
		return;
	outcome = hotplug_attach_share(machine->target.hotplug, &share, &error);
	if (outcome == HOTPLUG_DONE)
		reply->result = json_pack("{ss}", "name", share.tag);
	else
		control_refuse_plug(reply, outcome, &error);
}
