/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared folders that come and go: the machine's process plugs the device in,
 * the guest's agent mounts it. A guest without the agent has it all the same.
 */
#include "cli/machine/attach_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/protocol.h"
#include "cli/command.h"
#include "cli/guest/exec.h"
#include "cli/option.h"
#include "cli/run/share.h"
#include "vmm/guest/agent.h"
#include "vmm/machine.h"

#define PATIENCE 60 /* seconds for the machine's answer */
#define ASKING	 2  /* for an agent that there may not be */

/* --- the agent ---------------------------------------------------------------- */

/* One word, then the request. -1 with `error`. */
static int ask(struct agent *agent, const char *word, uint8_t type,
	       const void *data, size_t size, struct vmm_error *error)
{
	uint32_t count;

	if (agent_send(agent, AGENT_WORD, word, strlen(word), error))
		return -1;
	return agent_call(agent, type, data, size, &count, error);
}

static int mount_it(const char *name, const struct machine_share *share,
		    const char *tag, struct vmm_error *error)
{
	const struct agent_patience patience = { EXEC_TIMEOUT,
						 exec_tell_wait };
	char word[SHARE_TAG_MAX + SHARES_AT_MAX + 8];
	struct agent *agent = calloc(1, sizeof(*agent));
	int rc;

	if (!agent)
		return vmm_error_set(error, "out of memory");
	snprintf(word, sizeof(word), "%s:%s:%s", share->readonly ? "ro" : "rw",
		 tag, share->at);
	rc = agent_open(agent, name, &patience, error);
	if (!rc) {
		rc = ask(agent, word, AGENT_MOUNT, NULL, 0, error);
		agent_close(agent);
	}
	free(agent);
	return rc;
}

/* --- attach ------------------------------------------------------------------- */

static json_t *request_of(const struct machine_share *share)
{
	char *folder = target_path(share->folder);
	json_t *request = json_pack(
		"{sssssssbsI}", "device", "share", "folder", folder, "at",
		share->at, "readonly", (int)share->readonly, "believe",
		(json_int_t)share->believe);

	free(folder);
	if (request && *share->tag)
		json_object_set_new(request, "tag", json_string(share->tag));
	if (!request)
		cli_error("attach: %s: names are written in UTF-8",
			  share->folder);
	return request;
}

static int plug(struct target *target, const struct machine_share *share)
{
	json_t *request = request_of(share), *result;
	struct vmm_error error;
	const char *tag;
	int rc;

	if (!request)
		return MACHINE_FAILED;
	result = target_call(target, "attach", request, PATIENCE, NULL);
	target_close(target);
	if (!result)
		return MACHINE_FAILED;
	tag = json_string_value(json_object_get(result, "name"));
	printf("%s\n", tag);
	fflush(stdout);
	rc = mount_it(target->word[0], share, tag, &error);
	if (rc)
		cli_error("attach: %s; it is plugged in, and in the guest "
			  "mount -t virtiofs %s %s mounts it", error.text, tag,
			  share->at);
	json_decref(result);
	return rc ? MACHINE_FAILED : MACHINE_OK;
}

int attach_share(struct target *target)
{
	struct machine_share share;
	int status;

	if (share_parse("attach:", target->word[2], &share))
		return MACHINE_USAGE;
	status = plug(target, &share);
	free((char *)share.folder);
	return status;
}

/* --- detach ------------------------------------------------------------------- */

/* Where the guest has the attached share of that tag, or NULL; of `status`. */
static const char *place_of(const json_t *status, const char *tag)
{
	const json_t *share;
	size_t i;

	json_array_foreach(json_object_get(status, "shares"), i, share) {
		const char *name = json_string_value(
			json_object_get(share, "tag"));

		if (name && !strcmp(name, tag) &&
		    json_is_true(json_object_get(share, "attached")))
			return json_string_value(json_object_get(share, "at"));
	}
	return NULL;
}

int attach_share_unmount(struct target *target)
{
	const struct agent_patience patience = { ASKING, NULL };
	json_t *status = target_call(target, "status", NULL, PATIENCE, NULL);
	const char *at = status ? place_of(status, target->word[1]) : NULL;
	struct agent *agent = at ? calloc(1, sizeof(*agent)) : NULL;
	uint8_t force = target->force;
	struct vmm_error error;
	int rc = 0;

	if (agent && !agent_open(agent, target->word[0], &patience, &error)) {
		rc = ask(agent, at, AGENT_UNMOUNT, &force, 1, &error);
		agent_close(agent);
		target->force = rc && force;
	}
	if (rc && !force)
		cli_error("detach: %s; end what uses it, or --force",
			  error.text);
	free(agent);
	json_decref(status);
	return status && (!rc || force) ? 0 : -1;
}
