/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/job.h"

#include <stdio.h>
#include <string.h>

struct job *job_begin(struct jobs *jobs, enum vm_verb verb, const char *vm,
		      const char *name, struct problem *problem)
{
	/* The next place; one that is under way keeps it. */
	for (unsigned int tries = 0; tries < JOBS_KEPT; tries++) {
		uint64_t id = ++jobs->last;
		struct job *job = &jobs->job[id % JOBS_KEPT];

		if (job->state == JOB_ACTIVE)
			continue;
		*job = (struct job){ .id = id, .state = JOB_ACTIVE,
				     .verb = verb };
		snprintf(job->vm, sizeof(job->vm), "%s", vm);
		snprintf(job->name, sizeof(job->name), "%s", name);
		return job;
	}
	problem_set(problem, 503, "busy", "%d jobs are under way; try again "
		    "later", JOBS_KEPT);
	return NULL;
}

void job_end(struct jobs *jobs, struct job *job, const struct problem *problem)
{
	if (!job || job->state != JOB_ACTIVE)
		return;
	job->state = problem ? JOB_FAILED : JOB_DONE;
	job->cancel = NULL;
	job->look = NULL;
	if (problem)
		job->problem = *problem;
	if (jobs->on_end)
		jobs->on_end(jobs->on_end_ctx, job);
}

void job_end_all(struct jobs *jobs, const char *vm, unsigned int verbs,
		 const struct problem *problem)
{
	for (unsigned int i = 0; i < JOBS_KEPT; i++) {
		struct job *job = &jobs->job[i];

		if (job->state == JOB_ACTIVE && verbs & 1u << job->verb &&
		    !strcmp(job->vm, vm))
			job_end(jobs, job, problem);
	}
}

struct job *job_find(struct jobs *jobs, uint64_t id)
{
	struct job *job = &jobs->job[id % JOBS_KEPT];

	return id && job->id == id ? job : NULL;
}

json_t *job_json(const struct job *job)
{
	static const char *const states[] = { "none", "active", "done",
					      "failed" };
	json_t *json = json_pack("{sI ss ss* ss ss}", "id",
				 (json_int_t)job->id, "verb",
				 *job->kind ? job->kind :
					      lifecycle_verb_name(job->verb),
				 "vm", *job->kind ? NULL : job->vm, "name",
				 job->name, "state", states[job->state]);

	if (*job->step && job->state == JOB_ACTIVE)
		json_object_set_new(json, "progress",
				    json_pack("{ss sI sI}", "step", job->step,
					      "done",
					      (json_int_t)(job->look ?
						job->look(job->look_ctx) :
						job->done),
					      "total",
					      (json_int_t)job->total));
	if (job->state == JOB_FAILED)
		json_object_set_new(json, "error",
				    json_pack("{ss si ss}", "code",
					      job->problem.code, "status",
					      job->problem.status, "detail",
					      job->problem.text));
	return json;
}
