/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's machines and events.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/api/impl.h"
#include "manage/vm/crash.h"
#include "manage/vm/missing.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"

#define PAGE	 100
#define PAGE_MAX 1000
#define STOP_MAX 86400 /* seconds */

/* --- one machine ------------------------------------------------------------------- */

static void answer_vm(struct api_call *call, int status, const struct vm *vm)
{
	call->generation = vm->row.generation;
	api_answer(call, status, vm_json(vm));
}

/* The machine of the path, in the version that was asked for. */
static struct vm *find(struct api_call *call, struct problem *problem)
{
	struct vm *vm = manager_find(call->api->manager, call->part[2],
				     problem);

	if (!vm || api_if_match(call, vm->row.generation))
		return vm;
	problem_set(problem, 412, "changed", "%s was changed meanwhile (it is "
		    "\"%lld\" now); look at it again", vm->row.name,
		    (long long)vm->row.generation);
	return NULL;
}

static void get_vm(struct api_call *call)
{
	struct problem problem;
	struct vm *vm = find(call, &problem);

	if (vm)
		answer_vm(call, 200, vm);
	else
		api_refuse(call, &problem);
}

static void get_crashes(struct api_call *call)
{
	struct problem problem;
	struct vm *vm = find(call, &problem);
	int folder = vm ? vm_folder(vm) : -1;

	if (!vm) {
		api_refuse(call, &problem);
		return;
	}
	api_answer(call, 200, json_pack("{so}", "crashes",
					folder < 0 ? json_array() :
						     crash_list(folder)));
	if (folder >= 0)
		close(folder);
}

/* A member of the body: text; NULL when it is not there. -1: it is not one. */
static int text_member(const json_t *body, const char *name, const char **text,
		       struct problem *problem)
{
	const json_t *value = json_object_get(body, name);

	*text = json_string_value(value);
	if (!value || (*text && strlen(*text) == json_string_length(value)))
		return 0;
	return problem_set(problem, 400, "bad-member", "%s: give a text", name);
}

/* Says what would be made. */
static void plan_create(struct api_call *call, const char *name,
			json_t *config)
{
	struct problem problem;

	if (manager_check_new(call->api->manager, name, config, &problem))
		api_refuse(call, &problem);
	else
		api_answer_plan(call, name, "create", config,
				missing_files(config));
}

static void create_vm(struct api_call *call)
{
	static const char *const members[] = { "name", "config", NULL };
	struct problem problem;
	json_t *body = api_body(call, members, &problem);
	json_t *config = json_incref(json_object_get(body, "config"));
	const char *name = NULL;
	struct vm *vm = NULL;
	bool again = false;

	if (!config)
		config = json_object();
	if (body && !text_member(body, "name", &name, &problem) && !name)
		problem_set(&problem, 400, "bad-member", "name: is missing");
	if (name && api_dry_run(call)) {
		plan_create(call, name, config);
		json_decref(config);
		json_decref(body);
		return;
	}
	if (name)
		vm = manager_create(call->api->manager, name, config,
				    *call->key ? call->key : NULL, &again,
				    &problem);
	if (vm)
		snprintf(call->location, sizeof(call->location), "/v1/vms/%s",
			 vm->row.id);
	if (vm)
		answer_vm(call, again ? 200 : 201, vm);
	else
		api_refuse(call, &problem);
	json_decref(config);
	json_decref(body);
}

/* Answers; or says what would be changed. */
static int edit(struct api_call *call, struct vm *vm, const char *name,
		const json_t *change, struct problem *problem)
{
	json_t *changed;

	if (!api_dry_run(call)) {
		if (vm_edit(vm, name, change, problem))
			return -1;
		answer_vm(call, 200, vm);
		return 0;
	}
	changed = vm_check_edit(vm, name, change, problem);
	if (!changed)
		return -1;
	api_answer_plan(call, name ? name : vm->row.name, "edit", changed,
			missing_files(changed));
	json_decref(changed);
	return 0;
}

/* What would be made. */
static void plan_clone(struct api_call *call, struct vm *source,
		       const char *name, const json_t *change)
{
	struct problem problem;
	json_t *config = vm_check_clone(source, name, change, &problem);

	if (config)
		api_answer_plan(call, name, "clone", config, NULL);
	else
		api_refuse(call, &problem);
	json_decref(config);
}

static void clone_vm(struct api_call *call)
{
	static const char *const members[] = { "name", "config", NULL };
	struct problem problem;
	json_t *body = api_body(call, members, &problem);
	struct vm *source = body ? find(call, &problem) : NULL;
	const json_t *change = json_object_get(body, "config");
	const char *name = NULL;
	struct job *job = NULL;

	if (source && !text_member(body, "name", &name, &problem) && !name)
		problem_set(&problem, 400, "bad-member", "name: is missing");
	if (name && api_dry_run(call)) {
		plan_clone(call, source, name, change);
		json_decref(body);
		return;
	}
	if (name)
		job = vm_clone(source, name, change,
			       *call->key ? call->key : NULL, &problem);
	json_decref(body);
	api_answer_job(call, job, &problem);
}

static void edit_vm(struct api_call *call)
{
	static const char *const members[] = { "name", "config", NULL };
	struct problem problem;
	json_t *body = api_body(call, members, &problem);
	struct vm *vm = body ? find(call, &problem) : NULL;
	const char *name;

	if (!vm || text_member(body, "name", &name, &problem) ||
	    edit(call, vm, name, json_object_get(body, "config"), &problem))
		api_refuse(call, &problem);
	json_decref(body);
}

/* With ?dry_run=true the verb is only looked at; true: it is answered. */
static bool only_plans(struct api_call *call, const struct vm *vm,
		       enum vm_verb verb)
{
	struct problem problem;

	if (!api_dry_run(call))
		return false;
	if (vm_check(vm, verb, &problem))
		api_refuse(call, &problem);
	else
		api_answer_plan(call, vm->row.name, lifecycle_verb_name(verb),
				NULL, NULL);
	return true;
}

static void delete_vm(struct api_call *call)
{
	struct problem problem;
	struct vm *vm = find(call, &problem);
	struct job *job;

	if (vm && only_plans(call, vm, VERB_DELETE))
		return;
	job = vm ? vm_delete(vm, &problem) : NULL;
	api_answer_job(call, job, &problem);
}

/* --- verbs --------------------------------------------------------------------------- */

static const char *const no_members[] = { NULL };

/* The machine of a verb without more; NULL: it was refused. */
static struct vm *find_for_verb(struct api_call *call)
{
	struct problem problem;
	json_t *body = api_body(call, no_members, &problem);
	struct vm *vm = body ? find(call, &problem) : NULL;

	json_decref(body);
	if (!vm)
		api_refuse(call, &problem);
	return vm;
}

static void start_vm(struct api_call *call)
{
	struct vm *vm = find_for_verb(call);
	struct problem problem;

	if (vm && !only_plans(call, vm, VERB_START))
		api_answer_job(call, vm_start(vm, &problem), &problem);
}

static void say(struct api_call *call, enum vm_verb verb)
{
	struct vm *vm = find_for_verb(call);
	struct problem problem;

	if (vm && !only_plans(call, vm, verb))
		api_answer_job(call, vm_say(vm, verb, &problem), &problem);
}

static void reset_vm(struct api_call *call)
{
	say(call, VERB_RESET);
}

static void pause_vm(struct api_call *call)
{
	say(call, VERB_PAUSE);
}

static void resume_vm(struct api_call *call)
{
	say(call, VERB_RESUME);
}

struct stop {
	bool force, then_force;
	unsigned int seconds;
};

static int take_stop(const json_t *body, struct stop *stop,
		     struct problem *problem)
{
	const json_t *force = json_object_get(body, "force");
	const json_t *timeout = json_object_get(body, "timeout");
	const json_t *then = json_object_get(body, "then");
	json_int_t seconds = json_integer_value(timeout);

	if (force && !json_is_boolean(force))
		return problem_set(problem, 400, "bad-member",
				   "force: give true or false");
	if (timeout && (!json_is_integer(timeout) || seconds < 1 ||
			seconds > STOP_MAX))
		return problem_set(problem, 400, "bad-member", "timeout: give "
				   "seconds from 1 to %d", STOP_MAX);
	if (then && (!json_is_string(then) ||
		     strcmp(json_string_value(then), "force")))
		return problem_set(problem, 400, "bad-member",
				   "then: give \"force\"");
	*stop = (struct stop){ .force = json_is_true(force),
			       .then_force = then,
			       .seconds = (unsigned int)seconds };
	return 0;
}

static void stop_vm(struct api_call *call)
{
	static const char *const members[] = { "force", "timeout", "then",
					       NULL };
	struct problem problem;
	json_t *body = api_body(call, members, &problem);
	struct vm *vm = body ? find(call, &problem) : NULL;
	struct job *job = NULL;
	struct stop stop = { 0 };

	if (vm && !take_stop(body, &stop, &problem)) {
		if (only_plans(call, vm, stop.force ? VERB_FORCE : VERB_STOP)) {
			json_decref(body);
			return;
		}
		job = vm_stop(vm, stop.force, stop.seconds, stop.then_force,
			      &problem);
	}
	json_decref(body);
	api_answer_job(call, job, &problem);
}

/* --- lists ---------------------------------------------------------------------------- */

static bool wanted(const struct vm *vm, const char *label, const char *state)
{
	return (!label || spec_has_label(vm->config, label)) &&
	       (!state || !strcmp(state, lifecycle_state_name(vm->state)));
}

static int check_state(const char *state, struct problem *problem)
{
	if (!state || !strcmp(state, lifecycle_state_name(lifecycle_state(state))))
		return 0;
	return problem_set(problem, 400, "bad-argument", "state=%.40s: give "
			   "stopped, starting, running, paused, stopping, "
			   "waiting, deleting or cloning", state);
}

/* By name, those after ?after=. */
static void list_vms(struct api_call *call)
{
	const struct manager *manager = call->api->manager;
	const char *after = api_arg(call, "after");
	const char *label = api_arg(call, "label");
	const char *state = api_arg(call, "state");
	json_t *list, *answer;
	struct problem problem;
	const char *next = NULL;
	long limit;

	if (check_state(state, &problem) ||
	    api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem)) {
		api_refuse(call, &problem);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < manager->count; i++) {
		const struct vm *vm = manager->vm[i];

		if ((after && strcmp(vm->row.name, after) <= 0) ||
		    !api_sees(call, vm->row.id) || !wanted(vm, label, state))
			continue;
		if (json_array_size(list) == (size_t)limit) {
			next = json_string_value(json_object_get(
				json_array_get(list, (size_t)limit - 1),
				"name"));
			break;
		}
		json_array_append_new(list, vm_json(vm));
	}
	answer = json_pack("{so}", "vms", list);
	if (next)
		json_object_set_new(answer, "next", json_string(next));
	api_answer(call, 200, answer);
}

static const char *event_vm(struct api_call *call, struct problem *problem)
{
	const char *name = api_arg(call, "vm");
	const struct vm *vm;

	if (!name)
		return NULL;
	vm = manager_find(call->api->manager, name, problem);
	/* One that is gone is known by its id. */
	return vm ? vm->row.id : name;
}

void api_answer_events(struct api_call *call)
{
	struct registry *registry = call->api->manager->registry;
	struct problem problem;
	long since, limit;
	json_t *list, *last;

	if (api_number(call, "since", 0, LONG_MAX, 0, &since, &problem) ||
	    api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem)) {
		api_refuse(call, &problem);
		return;
	}
	list = registry_events(registry, since, (int)limit,
			       event_vm(call, &problem), &problem);
	if (!list) {
		api_refuse(call, &problem);
		return;
	}
	last = json_incref(json_object_get(
		json_array_get(list, json_array_size(list) - 1), "id"));
	if (!last)
		last = json_integer(since);
	for (size_t i = json_array_size(list); i-- > 0;)
		if (!api_sees(call, json_string_value(json_object_get(
					    json_array_get(list, i), "vm"))))
			json_array_remove(list, i);
	api_answer(call, 200, json_pack("{so so}", "events", list, "last",
					last));
}

static void get_events(struct api_call *call)
{
	int64_t last = registry_last_event(call->api->manager->registry);
	struct problem problem;
	long since, seconds;

	if (api_number(call, "since", 0, LONG_MAX, 0, &since, &problem) ||
	    api_number(call, "wait", 0, API_WAIT_MAX, 0, &seconds, &problem))
		api_refuse(call, &problem);
	else if (seconds && since >= last)
		api_wait_event(call, since, seconds);
	else
		api_answer_events(call);
}

/* The transport takes those that come with an upgrade (http/socket.c). */
static void no_socket(struct api_call *call)
{
	struct problem problem;

	if (find(call, &problem))
		problem_set(&problem, 400, "no-websocket", "%.200s is a "
			    "WebSocket (RFC 6455): ask for it with Upgrade: "
			    "websocket", call->path);
	api_refuse(call, &problem);
}

const struct api_route api_vm_routes[] = {
	{ "GET", "/v1/vms", ROLE_NONE, list_vms },
	{ "POST", "/v1/vms", ROLE_ADMIN, create_vm },
	{ "GET", "/v1/vms/{vm}", ROLE_VIEWER, get_vm },
	{ "GET", "/v1/vms/{vm}/crashes", ROLE_OPERATOR, get_crashes },
	{ "PATCH", "/v1/vms/{vm}", ROLE_ADMIN, edit_vm },
	{ "DELETE", "/v1/vms/{vm}", ROLE_ADMIN, delete_vm },
	{ "POST", "/v1/vms/{vm}/clone", ROLE_ADMIN, clone_vm },
	{ "POST", "/v1/vms/{vm}/start", ROLE_OPERATOR, start_vm },
	{ "POST", "/v1/vms/{vm}/stop", ROLE_OPERATOR, stop_vm },
	{ "POST", "/v1/vms/{vm}/reset", ROLE_OPERATOR, reset_vm },
	{ "POST", "/v1/vms/{vm}/pause", ROLE_OPERATOR, pause_vm },
	{ "POST", "/v1/vms/{vm}/resume", ROLE_OPERATOR, resume_vm },
	{ "GET", "/v1/vms/{vm}/console", ROLE_OPERATOR, no_socket },
	{ "GET", "/v1/vms/{vm}/vnc", ROLE_OPERATOR, no_socket },
	{ "GET", "/v1/events", ROLE_NONE, get_events },
	/* The transport's (http/stream.c): for other methods. */
	{ "GET", "/v1/events/stream", ROLE_NONE, get_events },
	{ 0 },
};
