/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the router of the API and its resources.
 */
#ifndef LODGE_MANAGE_API_IMPL_H
#define LODGE_MANAGE_API_IMPL_H

#include "manage/api/api.h"

struct api_route {
	const char *method;
	const char *path; /* "/v1/vms/{vm}"; a part in braces is any */
	enum role role; /* that it takes, of a path with {vm} on that one */
	void (*handle)(struct api_call *call);
};

/* A row of them, the last without a method. */
extern const struct api_route api_vm_routes[], api_metrics_routes[],
	api_token_routes[], api_image_routes[], api_job_routes[], api_uses_routes[],
	api_figure_routes[];

#define API_WAIT_MAX 3600 /* seconds of ?wait= */

/* The value of an argument; NULL: it is not there. */
const char *api_arg(const struct api_call *call, const char *name);

/* Whether all is known and has a value: 0 or -1 with `problem`. */
int api_check_arguments(const struct api_call *call, struct problem *problem);

/* A number from the arguments: `otherwise` without it; -1 with `problem`. */
int api_number(const struct api_call *call, const char *name, long min,
	       long max, long otherwise, long *number,
	       struct problem *problem);

/*
 * The body, an object with these members at most (NULL behind the last); an
 * empty body is an empty object. NULL with `problem`.
 */
json_t *api_body(const struct api_call *call, const char *const *members,
		 struct problem *problem);

/* How the User-Agent of the command begins; its version follows. */
#define API_PROGRAM "lodge/"

/* Whether nothing is to be done: ?dry_run=true. */
bool api_dry_run(const struct api_call *call);

/* What would be done then; `config` (NULL: none) is not taken, `missing` is. */
void api_answer_plan(struct api_call *call, const char *name,
		     const char *verb, json_t *config, json_t *missing);

/*
 * Answers; one that may have changed something is told when that is on the
 * disk.
 */
void api_answer(struct api_call *call, int status, json_t *answer);

/* The same with a text, which is taken, of a media type. */
void api_answer_text(struct api_call *call, const char *type, char *text);

/* Whether the request's If-Match, if any, admits what has this generation. */
bool api_if_match(const struct api_call *call, int64_t generation);
void api_refuse(struct api_call *call, const struct problem *problem);

/* Whether the caller may see the machine of that id. */
bool api_sees(const struct api_call *call, const char *vm);

/* Answers when the job has ended, or ?wait= has passed, or at once. */
void api_answer_job(struct api_call *call, struct job *job,
		    const struct problem *problem);

/* Answers with the job as it is then; a failed one is none of this call's. */
void api_wait_job(struct api_call *call, struct job *job);

/* Waits `seconds` for an event after `since`. */
void api_wait_event(struct api_call *call, int64_t since, long seconds);

/*
 * Asks the process of `vm`, or those of all (NULL), for its figures; `tell`
 * answers the call, with those in call->figures that have come in time.
 */
void api_wait_figures(struct api_call *call, const struct vm *vm,
		      void (*tell)(struct api_call *call));

/* The events that the call asks for. */
void api_answer_events(struct api_call *call);

#endif
