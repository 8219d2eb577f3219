/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands mirror, commit, rebase, job, job-end and limit of the control
 * protocol.
 */
#include <string.h>

#include "disk/address.h"
#include "vmm/control/impl.h"
#include "vmm/disks.h"

#define BURST_MAX 60000 /* ms */

static const char *const codes[] = {
	[DISKS_NOT_FOUND] = "not-found",
	[DISKS_BUSY] = "busy",
	[DISKS_FAILED] = "failed",
};

static void answer(struct control_reply *reply, enum disks_outcome outcome,
		   const struct vmm_error *error)
{
	if (outcome == DISKS_DONE)
		reply->result = json_object();
	else
		control_refuse(reply, codes[outcome], "%s", error->text);
}

/* A member of a task that is text, or missing. False with a refusal. */
static bool take_text(const json_t *request, const char *name,
		      const char **text, struct control_reply *reply)
{
	const json_t *value = json_object_get(request, name);

	*text = json_string_value(value);
	if (!value || *text)
		return true;
	control_refuse(reply, "bad-request", "\"%s\" is text", name);
	return false;
}

static bool take_path(const json_t *request, const char *name,
		      const char **path, struct control_reply *reply)
{
	if (!take_text(request, name, path, reply))
		return false;
	if (!*path || (*path)[0] == '/' || disk_is_address(*path))
		return true;
	control_refuse(reply, "bad-request", "\"%s\" is an absolute path",
		       name);
	return false;
}

static bool take_speed(const json_t *request, uint64_t *speed,
		       struct control_reply *reply)
{
	const json_t *value = json_object_get(request, "speed");

	*speed = (uint64_t)json_integer_value(value);
	if (!value || (json_is_integer(value) && json_integer_value(value) >= 0))
		return true;
	control_refuse(reply, "bad-request",
		       "\"speed\" is a number of bytes a second");
	return false;
}

/* What all kinds of work have; then the work begins. */
static void begin(struct control_machine *machine, const json_t *request,
		  struct disks_task *task, struct control_reply *reply)
{
	struct vmm_error error;

	if (take_text(request, "disk", &task->disk, reply) &&
	    take_speed(request, &task->speed, reply))
		answer(reply,
		       disks_begin(machine->target.disks, task, &error),
		       &error);
}

void control_mirror(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	struct disks_task task = { .work = DISKS_MIRROR };

	if (!take_path(request, "target", &task.target, reply) ||
	    !take_text(request, "format", &task.format, reply))
		return;
	if (task.target)
		begin(machine, request, &task, reply);
	else
		control_refuse(reply, "bad-request",
			       "\"target\" is an absolute path");
}

void control_commit(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	struct disks_task task = { .work = DISKS_COMMIT };
	const json_t *keep = json_object_get(request, "keep");

	task.keep = json_is_true(keep);
	if (keep && !json_is_boolean(keep))
		control_refuse(reply, "bad-request",
			       "\"keep\" is true or false");
	else if (take_path(request, "base", &task.base, reply))
		begin(machine, request, &task, reply);
}

void control_rebase(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	struct disks_task task = { .work = DISKS_REBASE };
	const json_t *backing = json_object_get(request, "backing");

	if (!backing)
		control_refuse(reply, "bad-request",
			       "\"backing\" is a path or null");
	else if ((json_is_null(backing) ||
		  take_text(request, "backing", &task.backing, reply)) &&
		 take_text(request, "backing-format", &task.backing_format,
			   reply))
		begin(machine, request, &task, reply);
}

void control_job(struct control_machine *machine, const json_t *request,
		 struct control_reply *reply)
{
	struct disks *disks = machine->target.disks;
	enum disks_outcome outcome = DISKS_DONE;
	struct vmm_error error;
	uint64_t speed;

	if (!take_speed(request, &speed, reply))
		return;
	if (json_object_get(request, "speed"))
		outcome = disks_speed(disks, speed, &error);
	if (outcome == DISKS_DONE)
		reply->result = disks_work_json(disks);
	else
		answer(reply, outcome, &error);
}

void control_limit(struct control_machine *machine, const json_t *request,
		   struct control_reply *reply)
{
	struct disks_limits change = { 0 };
	struct disk_limits now;
	enum disks_outcome outcome;
	struct vmm_error error;
	const char *disk;
	uint64_t burst;

	if (!take_text(request, "disk", &disk, reply) ||
	    !control_number(request, "iops", &change.iops, &change.to.iops,
			 reply) ||
	    !control_number(request, "bps", &change.bps, &change.to.bps, reply) ||
	    !control_number(request, "burst", &change.burst, &burst, reply))
		return;
	change.to.burst_ms = burst < BURST_MAX ? (uint32_t)burst : BURST_MAX;
	outcome = disks_limit(machine->target.disks, disk, &change, &now,
			      &error);
	if (outcome == DISKS_DONE)
		reply->result = json_pack("{sIsIsi}", "iops",
					  (json_int_t)now.iops, "bps",
					  (json_int_t)now.bps, "burst",
					  (int)now.burst_ms);
	else
		answer(reply, outcome, &error);
}

void control_job_end(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply)
{
	static const char *const ends[] = { [DISKS_FINISH] = "finish",
					    [DISKS_KEEP] = "keep",
					    [DISKS_CANCEL] = "cancel" };
	const char *how = json_string_value(json_object_get(request, "how"));
	struct vmm_error error;

	for (unsigned int i = 0; how && i < 3; i++) {
		if (strcmp(how, ends[i]))
			continue;
		answer(reply,
		       disks_end(machine->target.disks, (enum disks_end)i,
				 &error),
		       &error);
		return;
	}
	control_refuse(reply, "bad-request",
		       "\"how\" is \"finish\", \"keep\" or \"cancel\"");
}
