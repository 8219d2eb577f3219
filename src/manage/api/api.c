/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes, arguments, bodies, answers, and calls that wait.
 */
#include "manage/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "manage/api/impl.h"
#include "manage/figures.h"
#include "manage/registry/flush.h"
#include "manage/vm/vm.h"
#include "vmm/nearest.h"

#define FIGURES_SECONDS 1 /* for processes that answer */

/* --- what a request says ---------------------------------------------------------- */

json_t *api_body(const struct api_call *call, const char *const *members,
		 struct problem *problem)
{
	json_error_t why;
	const char *name;
	json_t *value, *body;
	unsigned int i;

	if (!call->body_size)
		return json_object();
	body = json_loadb(call->body, call->body_size, JSON_REJECT_DUPLICATES,
			  &why);
	if (!json_is_object(body)) {
		problem_set(problem, 400, "bad-json", "the body is no JSON "
			    "object%s%.100s", body ? "" : ": ",
			    body ? "" : why.text);
		json_decref(body);
		return NULL;
	}
	json_object_foreach(body, name, value) {
		for (i = 0; members[i] && strcmp(members[i], name); i++)
			;
		if (members[i])
			continue;
		problem_set(problem, 400, "bad-member", "the body has a "
			    "member %.60s, which there is not", name);
		json_decref(body);
		return NULL;
	}
	return body;
}

/* --- answers ------------------------------------------------------------------------ */

static bool changes(const struct api_call *call)
{
	return strcmp(call->method, "GET") != 0;
}

static void unlink_call(struct api_call **at, const struct api_call *call)
{
	while (*at && *at != call)
		at = &(*at)->next;
	if (*at)
		*at = call->next;
}

/* It waits no more. */
static void leave(struct api_call *call)
{
	if (!call->api)
		return;
	timer_stop(&call->api->manager->timers, &call->limit);
	unlink_call(&call->api->waiting, call);
	unlink_call(&call->api->held, call);
	figures_free(call->figures);
	call->figures = NULL;
}

/* 64-bit FNV-1a: tells versions apart, whoever wants may make two alike. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

/* Whether a header's list has this entity tag, weakly compared. */
static bool lists_etag(const char *list, const char *etag)
{
	return !strcmp(list, "*") || strstr(list, etag);
}

static void make_etag(struct api_call *call)
{
	uint64_t hash = hash_of(call->text);

	if (call->generation)
		snprintf(call->etag, sizeof(call->etag), "\"%lld-%016llx\"",
			 (long long)call->generation, (unsigned long long)hash);
	else if (!strcmp(call->method, "GET"))
		snprintf(call->etag, sizeof(call->etag), "\"%016llx\"",
			 (unsigned long long)hash);
	if (strcmp(call->method, "GET") || !*call->if_none_match ||
	    !lists_etag(call->if_none_match, call->etag))
		return;
	call->status = 304;
	free(call->text);
	call->text = NULL;
}

void api_note(struct api *api, const struct api_call *call)
{
	const struct audit_line line = {
		.who = *call->caller.who ? call->caller.who : NULL,
		.where = access_place(&call->peer),
		.method = call->method,
		.path = call->path,
		.status = call->status,
		.detail = json_string_value(json_object_get(
			call->answer, call->problem ? "detail" : "name")),
	};

	audit_add(api->access.audit, &line);
}

/* Makes what is sent, and hands it over. */
static void deliver(struct api_call *call)
{
	struct api *api = call->api;

	call->api = NULL;
	if (call->answer)
		call->text = json_dumps(call->answer, JSON_COMPACT);
	if (call->answer)
		call->type = call->problem ? "application/problem+json" :
					     "application/json";
	if (call->text && (call->status == 200 || call->status == 201))
		make_etag(call);
	if (call->status / 100 < 6)
		api->answers[call->status / 100]++;
	/* What changes something, or was refused for who asked; no floods. */
	if (call->status == 401 || call->status == 403 ||
	    (changes(call) && call->status != 429))
		api_note(api, call);
	call->answered(call->ctx);
}

void api_answer(struct api_call *call, int status, json_t *answer)
{
	struct api *api = call->api;
	struct flush *flush = registry_flush(api->manager->registry);

	leave(call);
	call->status = status;
	call->answer = answer;
	call->version = flush_made(flush);
	if (!changes(call) || flush_kept(flush) >= call->version) {
		deliver(call);
		return;
	}
	call->next = api->held;
	api->held = call;
}

void api_answer_text(struct api_call *call, const char *type, char *text)
{
	call->text = text;
	call->type = type;
	api_answer(call, 200, NULL);
}

bool api_if_match(const struct api_call *call, int64_t generation)
{
	const char *at = call->if_match;
	char *end;

	if (!*at || !strcmp(at, "*"))
		return true;
	/* A list of "GENERATION-HASH"; weak ones never match (RFC 9110, 13.1.1). */
	while ((at += strspn(at, " ,")) && *at == '"') {
		long long number = strtoll(at + 1, &end, 10);

		if (number == generation && end > at + 1 &&
		    (*end == '"' || *end == '-'))
			return true;
		at = strchr(at + 1, '"');
		if (!at)
			return false;
		at++;
	}
	return false;
}

static json_t *problem_json(const struct problem *problem)
{
	char type[80];

	snprintf(type, sizeof(type), "urn:lodge:problem:%s", problem->code);
	return json_pack("{ss ss si ss}", "type", type, "code", problem->code,
			 "status", problem->status, "detail", problem->text);
}

void api_refuse(struct api_call *call, const struct problem *problem)
{
	call->problem = true;
	api_answer(call, problem->status, problem_json(problem));
}

void api_cancel(struct api_call *call)
{
	leave(call);
}

/* What was changed is on the disk; or it could not be written there. */
static void release(struct api *api)
{
	struct flush *flush = registry_flush(api->manager->registry);
	uint64_t kept = flush_kept(flush);
	int err = flush_error(flush);
	struct api_call *call, *next;

	for (call = api->held; call; call = next) {
		struct problem problem;

		next = call->next;
		if (call->version > kept)
			continue;
		unlink_call(&api->held, call);
		if (err && !call->problem) {
			problem_set(&problem, err == ENOSPC ? 507 : 500,
				    "registry", "done, but the registry "
				    "cannot be written: %s; make room and try "
				    "again", strerror(err));
			json_decref(call->answer);
			call->answer = problem_json(&problem);
			call->status = problem.status;
			call->problem = true;
		}
		deliver(call);
		/* Whoever was told may have ended others. */
		next = api->held;
	}
}

static void more_is_kept(void *ctx, uint32_t events)
{
	struct api *api = ctx;

	flush_seen(registry_flush(api->manager->registry));
	release(api);
}

bool api_dry_run(const struct api_call *call)
{
	const char *text = api_arg(call, "dry_run");

	return text && !strcmp(text, "true");
}

void api_answer_plan(struct api_call *call, const char *name,
		     const char *verb, json_t *config, json_t *missing)
{
	api_answer(call, 200,
		   json_pack("{sb ss ss sO* so*}", "dry_run", 1, "name", name,
			     "verb", verb, "config", config, "missing",
			     missing));
}

/* --- waiting -------------------------------------------------------------------------- */

static void wait_over(void *ctx)
{
	struct api_call *call = ctx;
	struct api *api = call->api;

	if (call->figures) {
		call->tell(call);
	} else if (call->job) {
		const struct job *job = job_find(&api->manager->jobs,
						 call->job);

		api_answer(call, 202, job ? job_json(job) : json_object());
	} else {
		api_answer_events(call);
	}
}

static void wait_for(struct api_call *call, long seconds)
{
	struct api *api = call->api;

	call->next = api->waiting;
	api->waiting = call;
	call->limit.fire = wait_over;
	call->limit.ctx = call;
	timer_set(&api->manager->timers, &call->limit,
		  (uint64_t)seconds * 1000);
}

static void tell_job(struct api_call *call, const struct job *job)
{
	if (job->state == JOB_FAILED)
		api_refuse(call, &job->problem);
	else
		api_answer(call, job->state == JOB_DONE ? 200 : 202,
			   job_json(job));
}

void api_answer_job(struct api_call *call, struct job *job,
		    const struct problem *problem)
{
	struct problem bad;
	long seconds;

	if (!job) {
		api_refuse(call, problem);
		return;
	}
	snprintf(call->location, sizeof(call->location), "/v1/jobs/%llu",
		 (unsigned long long)job->id);
	/* It was looked at before. */
	api_number(call, "wait", 0, API_WAIT_MAX, 0, &seconds, &bad);
	call->job = job->id;
	if (job->state == JOB_ACTIVE && seconds)
		wait_for(call, seconds);
	else
		tell_job(call, job);
}

void api_wait_job(struct api_call *call, struct job *job)
{
	struct problem bad;
	long seconds;

	/* It was looked at before. */
	api_number(call, "wait", 0, API_WAIT_MAX, 0, &seconds, &bad);
	call->job = job->id;
	if (job->state == JOB_ACTIVE && seconds)
		wait_for(call, seconds);
	else
		api_answer(call, job->state == JOB_ACTIVE ? 202 : 200,
			   job_json(job));
}

void api_wait_event(struct api_call *call, int64_t since, long seconds)
{
	call->since = since;
	wait_for(call, seconds);
}

static void figures_came(void *ctx)
{
	struct api_call *call = ctx;

	call->tell(call);
}

void api_wait_figures(struct api_call *call, const struct vm *vm,
		      void (*tell)(struct api_call *call))
{
	struct problem problem;

	call->tell = tell;
	call->figures = figures_ask(call->api->manager, vm, figures_came, call);
	if (!call->figures) {
		problem_set(&problem, 500, "no-memory", "out of memory");
		api_refuse(call, &problem);
	} else if (figures_wait(call->figures)) {
		wait_for(call, FIGURES_SECONDS);
	} else {
		tell(call);
	}
}

/* Calls that wait may be answered, and others wait, while we look. */
static struct api_call *find_waiting(struct api *api, uint64_t job,
				     int64_t event)
{
	struct api_call *call;

	for (call = api->waiting; call; call = call->next)
		if (job ? call->job == job :
			  call->since >= 0 && call->since < event)
			return call;
	return NULL;
}

static void job_ended(void *ctx, const struct job *job)
{
	struct api_call *call;

	while ((call = find_waiting(ctx, job->id, 0)))
		tell_job(call, job);
}

static void event_came(void *ctx)
{
	struct api *api = ctx;
	int64_t last = registry_last_event(api->manager->registry);
	struct api_call *call;

	while ((call = find_waiting(api, 0, last)))
		api_answer_events(call);
}

/* --- routes ----------------------------------------------------------------------------- */

static size_t count_seen(const struct api_call *call)
{
	const struct manager *manager = call->api->manager;
	size_t count = 0;

	for (size_t i = 0; i < manager->count; i++)
		count += api_sees(call, manager->vm[i]->row.id);
	return count;
}

static void get_root(struct api_call *call)
{
	struct api *api = call->api;

	api_answer(call, 200,
		   json_pack("{ss ss si si sI sI sI s{ss ss}}", "program",
			     "lodged",
			     "version", LODGE_VERSION, "api", 1, "pid",
			     (int)getpid(), "began", (json_int_t)api->began,
			     "vms", (json_int_t)count_seen(call), "last_event",
			     (json_int_t)registry_last_event(
				     api->manager->registry), "you", "name",
			     call->caller.who, "role",
			     role_name(call->caller.role)));
}

static const struct api_route own_routes[] = {
	{ "GET", "/v1", ROLE_NONE, get_root },
	{ 0 },
};

static const struct api_route *const tables[] = {
	own_routes, api_vm_routes, api_metrics_routes, api_token_routes,
	api_image_routes, api_job_routes, api_uses_routes, api_figure_routes,
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/*
 * A command of this host that is of another version: before anything is done,
 * as neither can know what the other means.
 */
static int check_version(const struct api_call *call, struct problem *problem)
{
	const char *version = call->program + sizeof(API_PROGRAM) - 1;
	char kill[24];

	if (!call->peer.local ||
	    strncmp(call->program, API_PROGRAM, sizeof(API_PROGRAM) - 1) ||
	    !strcmp(version, LODGE_VERSION))
		return 0;
	snprintf(kill, sizeof(kill), "kill %d", (int)getpid());
	return problem_set(problem, 409, "other-version", "the lodged that "
			   "runs is version %s, and this is lodge %s; end it "
			   "with %s, machines go on, and try again",
			   LODGE_VERSION, version,
			   call->api->ended_by ? call->api->ended_by : kill);
}

/* Cuts the path into its parts. False: too many, or an empty one. */
static bool cut_path(struct api_call *call)
{
	char *rest = call->parts, *part;
	unsigned int count = 0;

	snprintf(call->parts, sizeof(call->parts), "%s", call->path);
	memset(call->part, 0, sizeof(call->part));
	if (*rest++ != '/')
		return false;
	while ((part = strsep(&rest, "/"))) {
		if (!*part || count + 1 == API_PARTS_MAX)
			return false;
		call->part[count++] = part;
	}
	return true;
}

static bool path_matches(const struct api_call *call, const char *pattern)
{
	unsigned int i = 0;

	while (*pattern) {
		size_t length = strcspn(++pattern, "/");
		const char *part = call->part[i++];

		if (!part || (*pattern != '{' &&
			      (strlen(part) != length ||
			       strncmp(part, pattern, length))))
			return false;
		pattern += length;
	}
	return !call->part[i];
}

static const struct api_route *route_at(unsigned int i)
{
	for (unsigned int t = 0; t < TABLES; t++)
		for (const struct api_route *at = tables[t]; at->method; at++)
			if (!i--)
				return at;
	return NULL;
}

static const struct api_route *find_route(const struct api_call *call,
					  struct problem *problem)
{
	const struct api_route *route;
	char methods[64] = "";

	for (unsigned int i = 0; (route = route_at(i)); i++) {
		if (!path_matches(call, route->path))
			continue;
		if (!strcmp(route->method, call->method))
			return route;
		snprintf(methods + strlen(methods),
			 sizeof(methods) - strlen(methods), "%s%s",
			 *methods ? ", " : "", route->method);
	}
	if (*methods)
		problem_set(problem, 405, "bad-method", "%s takes %s",
			    call->path, methods);
	else
		problem_set(problem, 404, "no-such-path", "there is no %.200s; "
			    "the API is below /v1", call->path);
	return NULL;
}

/* --- who may ----------------------------------------------------------------------------- */

bool api_sees(const struct api_call *call, const char *vm)
{
	return access_role(&call->api->access, &call->caller, vm) >=
	       ROLE_VIEWER;
}

static int not_allowed(const struct api_call *call, enum role role,
		       enum role has, const char *vm, struct problem *problem)
{
	return problem_set(problem, 403, "not-allowed", "this takes the role "
			   "%s%s%s, and %s has %s; lodge token create makes a "
			   "token for it", role_name(role), vm ? " on " : "",
			   vm ? vm : "", call->caller.who, role_name(has));
}

/* Of the machine of the path; one that he may not see is not there. */
static int check_vm(struct api_call *call, enum role role,
		    struct problem *problem)
{
	const struct caller *caller = &call->caller;
	const struct vm *vm = manager_find(call->api->manager, call->part[2],
					   problem);
	enum role has = access_role(&call->api->access, caller,
				    vm ? vm->row.id : NULL);

	if (has < ROLE_VIEWER)
		return problem_set(problem, 404, "no-such-vm", "there is no "
				   "machine %.80s, or none that %s may see",
				   call->part[2], caller->who);
	if (has < role)
		return not_allowed(call, role, has, vm ? vm->row.name : NULL,
				   problem);
	/* Where there is none, the route says so, with the nearest name. */
	return 0;
}

static int check(struct api_call *call, const struct api_route *route,
		 struct problem *problem)
{
	enum role has = access_role(&call->api->access, &call->caller, NULL);

	if (strstr(route->path, "{vm}"))
		return check_vm(call, route->role, problem);
	return has >= route->role ? 0 :
				    not_allowed(call, route->role, has, NULL,
						problem);
}

/* Texts that go into answers. */
static int check_texts(const struct api_call *call, struct problem *problem)
{
	json_t *text = json_string(call->path);

	for (unsigned int i = 0; text && i < call->args; i++) {
		json_decref(text);
		text = json_string(call->arg[i]);
	}
	json_decref(text);
	return text ? 0 : problem_set(problem, 400, "bad-argument", "the path "
				      "or an argument is no UTF-8");
}

/* The request as such, and who sent it. */
static int check_caller(struct api_call *call, struct problem *problem)
{
	if (check_texts(call, problem)) {
		strcpy(call->path, "?");
		return -1;
	}
	if (access_find(&call->api->access, &call->peer, call->bearer,
			&call->caller, &call->seconds, problem))
		return -1;
	return cut_path(call) ? 0 :
				problem_set(problem, 404, "no-such-path",
					    "there is no %.200s", call->path);
}

static void begin(struct api *api, struct api_call *call)
{
	call->api = api;
	call->caller = (struct caller){ .role = ROLE_NONE };
	call->seconds = 0;
	call->since = -1;
	call->figures = NULL;
	call->job = 0;
	call->problem = false;
	call->answer = NULL;
	call->text = NULL;
	call->type = NULL;
	call->generation = 0;
	call->etag[0] = call->location[0] = '\0';
}

void api_refuse_unread(struct api *api, struct api_call *call,
		       const struct problem *problem)
{
	/* Whom api_admit() has found stays known. */
	if (!call->api)
		begin(api, call);
	api_refuse(call, problem);
}

/* What the request leads to, when its caller may; NULL with `problem`. */
static const struct api_route *admit(struct api_call *call,
				     struct problem *problem)
{
	const struct api_route *route = NULL;

	if (check_caller(call, problem))
		return NULL;
	if (!check_version(call, problem) && !api_check_arguments(call, problem))
		route = find_route(call, problem);
	return route && !check(call, route, problem) ? route : NULL;
}

void api_handle(struct api *api, struct api_call *call)
{
	const struct api_route *route;
	struct problem problem;

	begin(api, call);
	route = admit(call, &problem);
	if (route)
		route->handle(call);
	else
		api_refuse(call, &problem);
}

struct vm *api_admit(struct api *api, struct api_call *call, enum role role,
		     struct problem *problem)
{
	begin(api, call);
	if (check_caller(call, problem) || check_vm(call, role, problem))
		return NULL;
	return manager_find(api->manager, call->part[2], problem);
}

int api_init(struct api *api, struct manager *manager,
	     struct problem *problem)
{
	*api = (struct api){ .manager = manager, .tasks.manager = manager,
			     .began = time(NULL) };
	manager->jobs.on_end = job_ended;
	manager->jobs.on_end_ctx = api;
	manager->on_event = event_came;
	manager->on_event_ctx = api;
	loop_add(manager->loop,
		 flush_descriptor(registry_flush(manager->registry)),
		 LOOP_READ, more_is_kept, api);
	return access_open(&api->access, manager->registry, problem);
}

void api_close(struct api *api)
{
	struct manager *manager = api->manager;
	struct flush *flush = registry_flush(manager->registry);

	while (api->waiting)
		wait_over(api->waiting);
	flush_wait(flush);
	release(api);
	loop_remove(manager->loop, flush_descriptor(flush));
	manager->on_event = NULL;
	manager->jobs.on_end = NULL;
	access_close(&api->access);
	tasks_close(&api->tasks);
}
