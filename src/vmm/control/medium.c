/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands insert and eject of the control protocol.
 */
#include "vmm/control/impl.h"
#include "vmm/drives.h"

static const char *const codes[] = {
	[DRIVES_NOT_FOUND] = "not-found",
	[DRIVES_LOCKED] = "locked",
	[DRIVES_FAILED] = "failed",
};

static bool is_flag(const json_t *request, const char *name)
{
	const json_t *value = json_object_get(request, name);

	return !value || json_is_boolean(value);
}

/* False with a refusal. */
static bool well_formed(const json_t *request, struct control_reply *reply)
{
	const json_t *drive = json_object_get(request, "drive");

	if (is_flag(request, "force") && is_flag(request, "readonly") &&
	    (!drive || json_is_string(drive)))
		return true;
	control_refuse(reply, "bad-request", "\"drive\" is text, \"force\" "
		       "and \"readonly\" are true or false");
	return false;
}

static void answer(struct control_reply *reply, enum drives_outcome outcome,
		   const char *taken, const struct vmm_error *error)
{
	if (outcome == DRIVES_DONE)
		reply->result = json_pack("{ss}", "drive", taken);
	else
		control_refuse(reply, codes[outcome], "%s", error->text);
}

void control_insert(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	const char *drive =
		json_string_value(json_object_get(request, "drive"));
	const char *path = json_string_value(json_object_get(request, "path"));
	const char *taken = NULL;
	enum drives_outcome outcome;
	struct vmm_error error;

	if (!well_formed(request, reply))
		return;
	if (!path || path[0] != '/') {
		control_refuse(reply, "bad-request",
			       "\"path\" is an absolute path");
		return;
	}
	outcome = drives_insert(
		machine->target.drives, drive, path,
		json_is_true(json_object_get(request, "readonly")),
		json_is_true(json_object_get(request, "force")), &taken,
		&error);
	answer(reply, outcome, taken, &error);
}

void control_eject(struct control_machine *machine, const json_t *request,
		   struct control_reply *reply)
{
	const char *drive =
		json_string_value(json_object_get(request, "drive"));
	const char *taken = NULL;
	enum drives_outcome outcome;
	struct vmm_error error;

	if (!well_formed(request, reply))
		return;
	outcome = drives_eject(machine->target.drives, drive,
			       json_is_true(json_object_get(request, "force")),
			       &taken, &error);
	answer(reply, outcome, taken, &error);
}
