/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the router of the API and its resources.
 */
#ifndef LODGE_MANAGE_API_IMPL_H
#define LODGE_MANAGE_API_IMPL_H

#include "manage/api.h"

struct api_route {
	const char *method;
	const char *path; /* "/v1/vms/{vm}"; a part in braces is any */
	void (*handle)(struct api_call *call);
};

extern const struct api_route api_vm_routes[];
extern const unsigned int api_vm_route_count;

/* The value of an argument; NULL: it is not there. */
const char *api_arg(const struct api_call *call, const char *name);

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

/* Answers. */
void api_answer(struct api_call *call, int status, json_t *answer);
void api_refuse(struct api_call *call, const struct problem *problem);

/* Answers when the job has ended, or ?wait= has passed, or at once. */
void api_answer_job(struct api_call *call, struct job *job,
		    const struct problem *problem);

/* Waits `seconds` for an event after `since`. */
void api_wait_event(struct api_call *call, int64_t since, long seconds);

/* The events that the call asks for. */
void api_answer_events(struct api_call *call);

#endif
