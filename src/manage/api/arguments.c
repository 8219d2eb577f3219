/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request says behind its path, and how each of that is to be said: who
 * writes dryrun=true wants no machine deleted.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "manage/api/impl.h"
#include "vmm/nearest.h"


const char *api_arg(const struct api_call *call, const char *name)
{
	size_t length = strlen(name);

	for (unsigned int i = 0; i < call->args; i++)
		if (!strncmp(call->arg[i], name, length) &&
		    call->arg[i][length] == '=')
			return call->arg[i] + length + 1;
	return NULL;
}

int api_number(const struct api_call *call, const char *name, long min,
	       long max, long otherwise, long *number,
	       struct problem *problem)
{
	const char *text = api_arg(call, name);
	char *end;

	*number = otherwise;
	if (!text)
		return 0;
	*number = strtol(text, &end, 10);
	if (*text && !*end && strspn(text, "0123456789") == strlen(text) &&
	    *number >= min && *number <= max)
		return 0;
	return problem_set(problem, 400, "bad-argument",
			   "%s=%.40s: give a number from %ld to %ld", name,
			   text, min, max);
}

static int refuse_name(const char *arg, struct problem *problem)
{
	static const char *const names[] = { "after", "dry_run", "label",
					     "limit", "name", "since", "state",
					     "vm", "wait" };
	const size_t count = sizeof(names) / sizeof(names[0]);
	char name[40];
	const char *like;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg, "="), arg);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return arg[strlen(name)] ? 0 :
			       problem_set(problem, 400, "bad-argument",
					   "%s: give %s=VALUE", name, name);
	like = nearest_word(name, names, count, sizeof(names[0]));
	return problem_set(problem, 400, "bad-argument",
			   "%s: there is no such argument%s%s%s", name,
			   like ? "; did you mean " : "", like ? like : "",
			   like ? "?" : "");
}

static bool have_one_name(const char *arg, const char *other)
{
	size_t length = strcspn(arg, "=");

	return length && !strncmp(arg, other, length) && other[length] == '=';
}

static int check_names(const struct api_call *call, struct problem *problem)
{
	if (call->args_lost)
		return problem_set(problem, 400, "bad-argument", "give at most "
				   "%d arguments, each of at most %d "
				   "characters", API_ARGS_MAX,
				   API_ARG_MAX - 1);
	for (unsigned int i = 0; i < call->args; i++) {
		if (*call->arg[i] && refuse_name(call->arg[i], problem))
			return -1;
		for (unsigned int k = 0; k < i; k++)
			if (have_one_name(call->arg[i], call->arg[k]))
				return problem_set(problem, 400,
						   "bad-argument", "%.*s: is "
						   "there twice",
						   (int)strcspn(call->arg[i],
								"="),
						   call->arg[i]);
	}
	return 0;
}

int api_check_arguments(const struct api_call *call,
			struct problem *problem)
{
	const char *dry = api_arg(call, "dry_run");
	long seconds;

	if (check_names(call, problem))
		return -1;
	if (dry && strcmp(dry, "true") && strcmp(dry, "false"))
		return problem_set(problem, 400, "bad-argument",
				   "dry_run=%.40s: give true or false", dry);
	if (strlen(call->key) > REGISTRY_KEY_MAX)
		return problem_set(problem, 400, "bad-argument",
				   "Idempotency-Key: give at most %d "
				   "characters", REGISTRY_KEY_MAX);
	/* Who only wants to look must not do it by mistake. */
	if (dry && strcmp(call->method, "GET") &&
	    strncmp(call->path, "/v1/vms", 7))
		return problem_set(problem, 400, "bad-argument", "dry_run: is "
				   "for requests that change a machine");
	return api_number(call, "wait", 0, API_WAIT_MAX, 0, &seconds, problem);
}
