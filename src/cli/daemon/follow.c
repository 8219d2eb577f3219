/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon/follow.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/bar.h"
#include "cli/option.h"
#include "vmm/machine.h"


static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

static json_int_t number_of(const json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

/* As the bars of lodge disk, in things and not in bytes. */
static void draw(const json_t *job)
{
	const json_t *progress = json_object_get(job, "progress");
	json_int_t total = number_of(progress, "total");
	json_int_t done = number_of(progress, "done");
	char what[200];

	if (total <= 0)
		return;
	done = done < 0 ? 0 : done > total ? total : done;
	snprintf(what, sizeof(what), "%s: %s", text_of(job, "name"),
		 text_of(progress, "step"));
	bar_draw(what, (uint64_t)done, (uint64_t)total, 0);
}

static void make_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void follow_begin(struct follow *follow)
{
	sigset_t set;

	make_set(&set);
	sigprocmask(SIG_BLOCK, &set, &follow->before);
}

void follow_end(struct follow *follow)
{
	sigprocmask(SIG_SETMASK, &follow->before, NULL);
}

static bool was_interrupted(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
	       sigismember(&set, SIGHUP);
}

static json_t *ask(struct api_client *client, const char *method,
		   json_int_t id, struct vmm_error *error)
{
	char path[80];
	int status;

	snprintf(path, sizeof(path), "/v1/jobs/%lld?wait=1", (long long)id);
	return api_call(client, method, path, NULL, &status, error);
}

/* The job at its end; NULL with the error. */
static json_t *await(struct api_client *client, json_t *job,
		     struct vmm_error *error)
{
	const json_int_t id = number_of(job, "id");
	bool bar = bar_wanted(), shown = false, cancelled = false;

	while (job && !strcmp(text_of(job, "state"), "active")) {
		json_decref(job);
		if (!cancelled && was_interrupted()) {
			cancelled = true;
			/* One that is over by now refuses, and is as well. */
			json_decref(ask(client, "DELETE", id, error));
		}
		job = ask(client, "GET", id, error);
		if (job && bar) {
			draw(job);
			shown = true;
		}
	}
	if (shown)
		bar_clear();
	return job;
}

int follow_job(struct api_client *client, const char *command, json_t *job)
{
	struct vmm_error error;
	sigset_t set;
	const char *why;
	int status;

	job = await(client, job, &error);
	why = job ? text_of(json_object_get(job, "error"), "detail") :
		    error.text;
	status = *why ? MACHINE_FAILED : MACHINE_OK;
	if (*why)
		cli_error("%s: %s", command, why);
	json_decref(job);
	/* Too late to interrupt: the work is over. */
	make_set(&set);
	while (was_interrupted())
		sigwaitinfo(&set, NULL);
	return status;
}
