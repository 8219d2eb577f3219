/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's tokens, and the audit log.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "manage/api/impl.h"
#include "manage/vm/vm.h"
#include "vmm/runtime.h"

#define PAGE	    100
#define PAGE_MAX    1000
#define SECONDS_MAX (100ll * 366 * 86400)

/* --- as JSON ---------------------------------------------------------------------- */

static json_t *grant_json(struct api *api, const struct token_grant *grant)
{
	struct problem problem;
	const struct vm *vm = manager_find(api->manager, grant->vm, &problem);

	/* One that is gone has no name; its id is never given again. */
	return json_pack("{ss ss* ss}", "vm", grant->vm, "name",
			 vm ? vm->row.name : NULL, "role",
			 role_name(grant->role));
}

static json_t *token_json(struct api *api, const struct token *token)
{
	json_t *json = json_pack("{sI ss sb ss sI}", "id",
				 (json_int_t)token->id, "name", token->name,
				 "certificate", token->certificate, "role",
				 role_name(token->role), "created",
				 (json_int_t)token->created);
	json_t *grants = json_array();

	for (unsigned int i = 0; i < token->grants; i++)
		json_array_append_new(grants,
				      grant_json(api, &token->grant[i]));
	json_object_set_new(json, "grants", grants);
	if (token->expires)
		json_object_set_new(json, "expires",
				    json_integer(token->expires));
	return json;
}

/* --- making one ------------------------------------------------------------------- */

static int bad(struct problem *problem, const char *what)
{
	return problem_set(problem, 400, "bad-member", "%s", what);
}

static int take_role(const json_t *value, enum role *role,
		     struct problem *problem)
{
	*role = ROLE_NONE;
	if (!value)
		return 0;
	*role = json_is_string(value) ? role_find(json_string_value(value)) :
					ROLES;
	return *role == ROLES ? bad(problem, "role: give none, viewer, "
					     "operator or admin") :
				0;
}

static int take_grant(struct api *api, const json_t *item, struct token *token,
		      struct problem *problem)
{
	const char *name = json_string_value(json_object_get(item, "vm"));
	struct token_grant *grant = &token->grant[token->grants];
	const struct vm *vm;

	if (!name || json_object_size(item) != 2 ||
	    !json_object_get(item, "role"))
		return bad(problem, "grants: give a list of {\"vm\", \"role\"}");
	if (take_role(json_object_get(item, "role"), &grant->role, problem))
		return -1;
	if (grant->role == ROLE_ADMIN || grant->role == ROLE_NONE)
		return bad(problem, "grants: a role on one machine is viewer "
				    "or operator");
	vm = manager_find(api->manager, name, problem);
	if (!vm)
		return -1;
	snprintf(grant->vm, sizeof(grant->vm), "%s", vm->row.id);
	token->grants++;
	return 0;
}

static int take_grants(struct api *api, const json_t *list,
		       struct token *token, struct problem *problem)
{
	const json_t *item;
	size_t i;

	if (list && (!json_is_array(list) ||
		     json_array_size(list) > TOKEN_GRANTS_MAX))
		return bad(problem, "grants: give a list of at most 64");
	json_array_foreach(list, i, item)
		if (take_grant(api, item, token, problem))
			return -1;
	return 0;
}

static int take_token(struct api *api, const json_t *body, struct token *token,
		      struct problem *problem)
{
	const json_t *name = json_object_get(body, "name");
	const json_t *certificate = json_object_get(body, "certificate");
	const json_t *seconds = json_object_get(body, "seconds");

	if (!json_is_string(name) ||
	    json_string_length(name) != strlen(json_string_value(name)) ||
	    !runtime_name_valid(json_string_value(name)))
		return problem_set(problem, 400, "bad-name", "name: give 1 to "
				   "%d letters, digits and - _ . with no . "
				   "first", TOKEN_NAME_MAX);
	snprintf(token->name, sizeof(token->name), "%s",
		 json_string_value(name));
	if (certificate && !json_is_boolean(certificate))
		return bad(problem, "certificate: give true or false");
	token->certificate = json_is_true(certificate);
	if (seconds && (!json_is_integer(seconds) ||
			json_integer_value(seconds) < 1 ||
			json_integer_value(seconds) > SECONDS_MAX))
		return bad(problem, "seconds: give a number from 1 to a "
				    "hundred years");
	if (seconds)
		token->expires = time(NULL) + json_integer_value(seconds);
	if (take_role(json_object_get(body, "role"), &token->role, problem) ||
	    take_grants(api, json_object_get(body, "grants"), token, problem))
		return -1;
	if (token->role == ROLE_NONE && !token->grants)
		return bad(problem, "give a role (viewer, operator or admin) "
				    "or grants");
	return 0;
}

static void create_token(struct api_call *call)
{
	static const char *const members[] = { "name", "role", "grants",
					       "certificate", "seconds",
					       NULL };
	struct api *api = call->api;
	struct problem problem;
	json_t *body = api_body(call, members, &problem), *answer;
	struct token *made = calloc(1, sizeof(*made));
	const struct token *token = NULL;
	char text[TOKEN_TEXT_SIZE];

	if (body && made && !take_token(api, body, made, &problem))
		token = tokens_add(&api->access.tokens, made, text, &problem);
	if (body && !made)
		problem_set(&problem, 500, "no-memory", "out of memory");
	free(made);
	json_decref(body);
	if (!token) {
		api_refuse(call, &problem);
		return;
	}
	answer = token_json(api, token);
	if (*text)
		json_object_set_new(answer, "token", json_string(text));
	explicit_bzero(text, sizeof(text));
	snprintf(call->location, sizeof(call->location), "/v1/tokens/%s",
		 token->name);
	api_answer(call, 201, answer);
}

/* --- the others --------------------------------------------------------------------- */

static const struct token *find(struct api_call *call, struct problem *problem)
{
	const struct token *token =
		tokens_by_name(&call->api->access.tokens, call->part[2]);

	if (!token)
		problem_set(problem, 404, "no-such-token", "there is no token "
			    "%.80s; lodge token list shows them",
			    call->part[2]);
	return token;
}

static void get_token(struct api_call *call)
{
	struct problem problem;
	const struct token *token = find(call, &problem);

	if (token)
		api_answer(call, 200, token_json(call->api, token));
	else
		api_refuse(call, &problem);
}

static void revoke_token(struct api_call *call)
{
	struct problem problem;
	const struct token *token = find(call, &problem);
	json_t *answer = token ? token_json(call->api, token) : NULL;

	if (token && !tokens_remove(&call->api->access.tokens, call->part[2],
				    &problem)) {
		api_answer(call, 200, answer);
		return;
	}
	json_decref(answer);
	api_refuse(call, &problem);
}

static void list_tokens(struct api_call *call)
{
	const struct tokens *tokens = &call->api->access.tokens;
	json_t *list = json_array(), *answer;
	struct problem problem;
	long after, limit;

	if (api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem) ||
	    api_number(call, "after", 0, LONG_MAX, 0, &after, &problem)) {
		json_decref(list);
		api_refuse(call, &problem);
		return;
	}
	answer = json_pack("{so}", "tokens", list);
	for (size_t i = 0; i < tokens->count; i++) {
		if (tokens->token[i]->id <= after)
			continue;
		if (json_array_size(list) == (size_t)limit) {
			json_object_set_new(answer, "next",
					    json_integer(after));
			break;
		}
		after = tokens->token[i]->id;
		json_array_append_new(list, token_json(call->api,
						       tokens->token[i]));
	}
	api_answer(call, 200, answer);
}

static void get_audit(struct api_call *call)
{
	struct problem problem;
	json_t *list = NULL, *last;
	long since, limit;

	if (!api_number(call, "since", 0, LONG_MAX, 0, &since, &problem) &&
	    !api_number(call, "limit", 1, PAGE_MAX, PAGE, &limit, &problem))
		list = audit_list(call->api->access.audit, since, (int)limit,
				  !api_arg(call, "since"), &problem);
	if (!list) {
		api_refuse(call, &problem);
		return;
	}
	last = json_incref(json_object_get(
		json_array_get(list, json_array_size(list) - 1), "id"));
	api_answer(call, 200, json_pack("{so so}", "audit", list, "last",
					last ? last : json_integer(since)));
}

const struct api_route api_token_routes[] = {
	{ "GET", "/v1/tokens", ROLE_ADMIN, list_tokens },
	{ "POST", "/v1/tokens", ROLE_ADMIN, create_token },
	{ "GET", "/v1/tokens/{token}", ROLE_ADMIN, get_token },
	{ "DELETE", "/v1/tokens/{token}", ROLE_ADMIN, revoke_token },
	{ "GET", "/v1/audit", ROLE_ADMIN, get_audit },
	{ 0 },
};
