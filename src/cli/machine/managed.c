/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine/managed.h"

#include <stdio.h>
#include <string.h>

#include "cli/option.h"
#include "vmm/control/remote.h"
#include "vmm/machine.h"

#define WAIT_SECONDS 3600
#define PATH_SIZE    400

int managed_open(struct api_client *client, const char *command,
		 enum api_start start)
{
	struct vmm_error error;

	if (!api_open(client, start, &error))
		return MACHINE_OK;
	cli_error("%s: %s", command, error.text);
	return MACHINE_FAILED;
}

/* 0: *vm is it, NULL: none is kept. -1 with the error: nobody can tell. */
static int find(struct api_client *client, const char *name, json_t **vm,
		struct vmm_error *error)
{
	char path[PATH_SIZE];
	int status;

	api_vm_path(path, sizeof(path), name, "");
	*vm = api_call(client, "GET", path, NULL, &status, error);
	return *vm || status == 404 ? 0 : -1;
}

json_t *managed_find(struct api_client *client, const char *name)
{
	struct vmm_error error;
	json_t *vm;

	find(client, name, &vm, &error);
	return vm;
}

static bool is_active(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));

	return state && !strcmp(state, "active");
}

/* The job after so many seconds; `answer` is what is known of it. */
static json_t *wait_job(struct api_client *client, json_t *answer,
			unsigned int seconds, int *status,
			struct vmm_error *error)
{
	char path[PATH_SIZE];
	const char *why;

	snprintf(path, sizeof(path), "/v1/jobs/%lld?wait=%u",
		 (long long)json_integer_value(json_object_get(answer, "id")),
		 seconds);
	json_decref(answer);
	answer = api_call(client, "GET", path, NULL, status, error);
	why = json_string_value(json_object_get(
		json_object_get(answer, "error"), "detail"));
	if (!why)
		return answer;
	vmm_error_set(error, "%s", why);
	json_decref(answer);
	return NULL;
}

int managed_wait(struct api_client *client, const char *command,
		 const char *name, json_t *job, const struct managed_late *late)
{
	struct vmm_error error;
	int status;

	job = wait_job(client, job, late ? late->seconds : WAIT_SECONDS,
		       &status, &error);
	if (job && late && is_active(job)) {
		late->call(name);
		job = wait_job(client, job, WAIT_SECONDS, &status, &error);
	}
	if (!job)
		cli_error("%s: %s", command, error.text);
	json_decref(job);
	return job ? MACHINE_OK : MACHINE_FAILED;
}

int managed_verb(struct api_client *client, const char *command,
		 const char *name, const char *verb, json_t *body,
		 const struct managed_late *late)
{
	struct vmm_error error;
	char path[PATH_SIZE], more[64];
	json_t *answer;
	int status;

	snprintf(more, sizeof(more), "/%s?wait=%u", verb,
		 late ? late->seconds : WAIT_SECONDS);
	api_vm_path(path, sizeof(path), name, more);
	answer = api_call(client, "POST", path, body, &status, &error);
	if (answer && status == 202 && late) {
		late->call(name);
		answer = wait_job(client, answer, WAIT_SECONDS, &status,
				  &error);
	}
	if (!answer) {
		cli_error("%s: %s", command, error.text);
		return MACHINE_FAILED;
	}
	json_decref(answer);
	return MACHINE_OK;
}

/* A machine of that name that lodged did not start; `vm`: the kept one. */
static bool runs_plainly(const char *name, const json_t *vm)
{
	const char *state = json_string_value(json_object_get(vm, "state"));

	/* Those elsewhere are reached by their lodged alone. */
	if (elsewhere())
		return false;
	if (state && strcmp(state, "stopped") && strcmp(state, "waiting"))
		return false;
	return remote_is_there(name);
}

bool managed_say(const char *command, const char *name, const char *verb,
		 json_t *body, const struct managed_late *late, int *status)
{
	struct api_client client;
	struct vmm_error error;
	json_t *vm = NULL;
	bool ours = false, told;

	if (!api_open(&client, API_IF_KEPT, &error)) {
		told = !find(&client, name, &vm, &error);
		/* Where there is none at all, lodged knows what was meant. */
		ours = !told || !runs_plainly(name, vm);
		if (!told) {
			cli_error("%s: %s", command, error.text);
			*status = MACHINE_FAILED;
		} else if (ours)
			*status = managed_verb(&client, command, name, verb,
					       json_incref(body), late);
		json_decref(vm);
		api_close(&client);
	} else if (elsewhere()) {
		cli_error("%s: %s", command, error.text);
		*status = MACHINE_FAILED;
		ours = true;
	}
	json_decref(body);
	return ours;
}

void managed_explain(const char *name, struct vmm_error *error)
{
	struct api_client client;
	struct vmm_error why;
	char path[PATH_SIZE];
	json_t *vm;
	int status;

	if (remote_is_there(name) || api_open(&client, API_IF_KEPT, &why))
		return;
	api_vm_path(path, sizeof(path), name, "");
	vm = api_call(&client, "GET", path, NULL, &status, &why);
	if (vm)
		vmm_error_set(error, "%s does not run; lodge start %s starts "
			      "it", name, name);
	/* Unless one that is not kept, and runs, is near as well. */
	else if (status == 404 && !strstr(error->text, "did you mean"))
		*error = why;
	json_decref(vm);
	api_close(&client);
}

/* "web, db ..." */
static void join_names(const json_t *list, char *names, size_t size)
{
	const json_t *use;
	size_t i, used = 0;

	json_array_foreach(list, i, use)
		if (used + 80 < size)
			used += (size_t)snprintf(
				names + used, size - used, "%s%.63s",
				used ? ", " : "",
				json_string_value(
					json_object_get(use, "vm_name")));
	if (used + 80 >= size)
		snprintf(names + used, size - used, " ...");
}

bool managed_is_used(const char *command, const char *kind, const char *name)
{
	struct api_client client;
	struct vmm_error error;
	char path[PATH_SIZE], names[300] = "";
	json_t *answer = NULL;
	int status, rc;

	if (strlen(name) > 200)
		return false;
	rc = api_open(&client, API_IF_KEPT, &error);
	if (rc > 0)
		return false;
	if (!rc) {
		snprintf(path, sizeof(path), "/v1/uses/%s?name=%s", kind, name);
		answer = api_call(&client, "GET", path, NULL, &status, &error);
		api_close(&client);
	}
	/* Nobody can tell: then it stays. */
	if (!answer) {
		cli_error("%s: %s", command, error.text);
		return true;
	}
	join_names(json_object_get(answer, "uses"), names, sizeof(names));
	json_decref(answer);
	if (*names)
		cli_error("%s: %s is used by machines that are kept: %s; lodge "
			  "rm or lodge edit them first", command, name, names);
	return *names;
}
