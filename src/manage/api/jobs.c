/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's jobs.
 */
#include <limits.h>
#include <stdlib.h>

#include "manage/api/impl.h"

#define PAGE	 100
#define PAGE_MAX JOBS_KEPT

/* One that the caller may see; NULL with `problem`. */
static struct job *find(struct api_call *call, struct problem *problem)
{
	uint64_t id = strtoull(call->part[2], NULL, 10);
	struct job *job = job_find(&call->api->manager->jobs, id);

	if (job && api_sees(call, job->vm))
		return job;
	problem_set(problem, 404, "no-such-job", "there is no job %.40s; the "
		    "last %d are kept, until lodged ends", call->part[2],
		    JOBS_KEPT);
	return NULL;
}

static void get_job(struct api_call *call)
{
	struct problem problem;
	struct job *job = find(call, &problem);

	if (job)
		api_wait_job(call, job);
	else
		api_refuse(call, &problem);
}

/* By their numbers, which begin at 1 with lodged. */
static void list_jobs(struct api_call *call)
{
	struct jobs *jobs = &call->api->manager->jobs;
	json_t *list, *answer;
	struct problem problem;
	long after, limit;
	uint64_t id;

	if (api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem) ||
	    api_number(call, "after", 0, LONG_MAX, 0, &after, &problem)) {
		api_refuse(call, &problem);
		return;
	}
	list = json_array();
	answer = json_pack("{so}", "jobs", list);
	id = jobs->last > JOBS_KEPT ? jobs->last - JOBS_KEPT : 0;
	if ((uint64_t)after > id)
		id = (uint64_t)after;
	while (++id <= jobs->last) {
		const struct job *job = job_find(jobs, id);

		if (!job || !api_sees(call, job->vm))
			continue;
		if (json_array_size(list) == (size_t)limit) {
			json_object_set_new(answer, "next",
					    json_integer(after));
			break;
		}
		after = (long)id;
		json_array_append_new(list, job_json(job));
	}
	api_answer(call, 200, answer);
}

static void cancel_job(struct api_call *call)
{
	struct problem problem;
	struct job *job = find(call, &problem);

	if (!job) {
		api_refuse(call, &problem);
	} else if (!job->cancel) {
		problem_set(&problem, 409, "not-cancelled", "job %llu %s",
			    (unsigned long long)job->id,
			    job->state == JOB_ACTIVE ?
				    "cannot be cancelled; lodge stop NAME ends "
				    "what a machine does" :
				    "is over");
		api_refuse(call, &problem);
	} else if (job->cancel(job->cancel_ctx, &problem)) {
		api_refuse(call, &problem);
	} else {
		/* When it has ended is another question. */
		api_answer(call, 202, job_json(job));
	}
}

const struct api_route api_job_routes[] = {
	{ "GET", "/v1/jobs", ROLE_NONE, list_jobs },
	{ "GET", "/v1/jobs/{job}", ROLE_NONE, get_job },
	{ "DELETE", "/v1/jobs/{job}", ROLE_ADMIN, cancel_job },
	{ 0 },
};
