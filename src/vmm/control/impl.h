/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the server of a control socket and its commands.
 */
#ifndef LODGE_VMM_CONTROL_IMPL_H
#define LODGE_VMM_CONTROL_IMPL_H

#include <jansson.h>

#include "vmm/control/control.h"
#include "vmm/display/typing.h"
#include "vmm/guest/balloon.h"
#include "vmm/hotplug.h"

struct control_machine {
	const char *name;
	struct control_target target;
	struct typing *typing;
	struct balloon_wait *balloon;
	char told[200]; /* the reason that those who watch know */
};

/* What a command answers: `result`, else an error, else that comes later. */
struct control_reply {
	json_t *result;
	int fd; /* goes with the result; -1: none */
	const char *code; /* of an error; NULL: none */
	char message[400];
	unsigned int later; /* CONTROL_TYPING and the like; 0: now */
};

/* What an answer waits for. */
#define CONTROL_TYPING	1u
#define CONTROL_BALLOON 2u
#define CONTROL_STATE	3u
#define CONTROL_STATUS	4u
#define CONTROL_SLOT	5u /* and more, one for each */

/* What `watch` answers: state and reason. */
json_t *control_state(const struct control_machine *machine);

/* Runs one request; `reply` was set to nothing, with fd -1. */
void control_command(struct control_machine *machine, const char *command,
		     const json_t *request, struct control_reply *reply);

/* Sets an error. */
void control_refuse(struct control_reply *reply, const char *code,
		    const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What the command status answers. */
json_t *control_status_json(const struct control_machine *machine);

/*
 * A member of a request that is a number, or is not there; else false, with a
 * refusal.
 */
bool control_number(const json_t *request, const char *name, bool *there,
		    uint64_t *number, struct control_reply *reply);

/* Devices, PCI, interrupt routes, memory map (inspect.c). */
json_t *control_inspect(const struct control_target *target);

/* Memory of the guest (balloon.c), and what it answers. */
void control_balloon(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply);
json_t *control_balloon_json(const struct control_target *target);

/* Devices that come and go (attach.c). */
void control_attach(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
void control_detach(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);

/* What one asks for that outcome (attach.c). */
void control_refuse_plug(struct control_reply *reply,
			 enum hotplug_outcome outcome,
			 const struct vmm_error *error);

/* Shared folders (shares.c): one that comes, and all of them. */
void control_attach_share(struct control_machine *machine,
			  const json_t *request, struct control_reply *reply);
json_t *control_shares(const struct control_target *target);

/* Media of drives (medium.c). */
void control_insert(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
void control_eject(struct control_machine *machine, const json_t *request,
		   struct control_reply *reply);

/* Long work on a disk (disks.c). */
void control_mirror(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
void control_commit(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
void control_rebase(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply);
void control_job(struct control_machine *machine, const json_t *request,
		 struct control_reply *reply);
void control_limit(struct control_machine *machine, const json_t *request,
		   struct control_reply *reply);
void control_job_end(struct control_machine *machine, const json_t *request,
		     struct control_reply *reply);

/* What a network card may do (nets.c). */
void control_limit_net(struct control_machine *machine, const json_t *request,
		       struct control_reply *reply);

#endif
