/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/access/access.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/host.h"

/* Wrong tokens of an address: so many at once, then one a second. */
#define WRONG_BURST 10
#define WRONG_RATE  1

#define BURST 2 /* seconds of a client's rate that may come at once */

int access_open(struct access *access, struct registry *registry,
		struct problem *problem)
{
	*access = (struct access){ .rate = ACCESS_RATE };
	if (tokens_load(&access->tokens, registry, problem))
		return -1;
	access->audit = audit_open(registry, problem);
	return access->audit ? 0 : -1;
}

void access_close(struct access *access)
{
	tokens_free(&access->tokens);
	audit_close(access->audit);
	access->audit = NULL;
}

const char *access_place(const struct peer *peer)
{
	return peer->local ? "unix" : peer->address;
}

static int too_many(struct problem *problem, unsigned int seconds)
{
	return problem_set(problem, 429, "too-many", "too many requests; try "
			   "again in %u s", seconds);
}

static int take_token(struct access *access, const struct peer *peer,
		      const char *bearer, struct caller *caller,
		      unsigned int *seconds, struct problem *problem)
{
	const struct token *token = NULL;
	char key[CLIENT_KEY_MAX + 1];

	if (*bearer)
		token = tokens_by_text(&access->tokens, bearer);
	else if (*peer->certificate)
		token = tokens_by_certificate(&access->tokens,
					      peer->certificate);
	if (!token) {
		/* Nobody guesses one: this is for the log's sake. */
		snprintf(key, sizeof(key), "wrong %s", access_place(peer));
		if (!clients_take(&access->clients, key, WRONG_RATE,
				  WRONG_BURST, host_monotonic_ns(), seconds))
			return too_many(problem, *seconds);
		return problem_set(problem, 401, "no-token", *bearer ?
				   "this token is unknown, revoked or expired; "
				   "an admin makes another: lodge token create" :
				   "say who you are: Authorization: Bearer "
				   "TOKEN, which lodge token create gives");
	}
	caller->role = token->role;
	caller->token = token->id;
	snprintf(caller->who, sizeof(caller->who), "%s %s",
		 token->certificate ? "certificate" : "token", token->name);
	return 0;
}

int access_find(struct access *access, const struct peer *peer,
		const char *bearer, struct caller *caller,
		unsigned int *seconds, struct problem *problem)
{
	*caller = (struct caller){ .role = ROLE_NONE };
	if (peer->local && !*bearer &&
	    (peer->uid == geteuid() || !peer->uid)) {
		caller->role = ROLE_ADMIN;
		snprintf(caller->who, sizeof(caller->who), "uid %u",
			 (unsigned int)peer->uid);
		return 0;
	}
	if (take_token(access, peer, bearer, caller, seconds, problem))
		return -1;
	if (access->rate &&
	    !clients_take(&access->clients, caller->who, access->rate,
			  BURST * (double)access->rate, host_monotonic_ns(),
			  seconds))
		return too_many(problem, *seconds);
	return 0;
}

enum role access_role(const struct access *access,
		      const struct caller *caller, const char *vm)
{
	const struct token *token;

	if (!caller->token)
		return caller->role;
	/* It may have been revoked while the call waited. */
	token = tokens_by_id(&access->tokens, caller->token);
	if (!token)
		return ROLE_NONE;
	return vm ? token_role(token, vm) : token->role;
}
