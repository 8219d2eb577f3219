/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API without its transport: a request in, an answer out, at once or
 * later. docs/api/openapi.yaml describes it.
 */
#ifndef LODGE_MANAGE_API_API_H
#define LODGE_MANAGE_API_API_H

#include <jansson.h>
#include <stdbool.h>

#include "manage/access/access.h"
#include "manage/manager.h"
#include "manage/task.h"

#define API_ARGS_MAX  16
#define API_ARG_MAX   256
#define API_PATH_MAX  512
#define API_BODY_MAX  (1u << 20)
#define API_PARTS_MAX 8

struct api_call;

struct api {
	struct manager *manager;
	struct access access;
	struct tasks tasks;
	struct api_call *waiting;
	struct api_call *held; /* answered when what they changed is kept */
	int64_t began; /* Unix time */
	uint64_t answers[6]; /* by the hundreds of their status */
	unsigned int clients; /* the transport's */
	const char *ended_by; /* how a person ends this lodged; NULL: kill */
};

struct api_call {
	/* The request; the caller's until it is answered. */
	char method[8];
	char path[API_PATH_MAX]; /* decoded, without the query */
	char arg[API_ARGS_MAX][API_ARG_MAX]; /* "name=value", decoded */
	unsigned int args;
	bool args_lost; /* there were more, or one was longer */
	char if_match[80], if_none_match[80]; /* "": none */
	char key[REGISTRY_KEY_MAX + 2]; /* Idempotency-Key; "" */
	char program[64]; /* User-Agent; "" */
	const char *body;
	size_t body_size;
	struct peer peer;
	char bearer[TOKEN_TEXT_SIZE + 1]; /* a token's text; "" */

	/* The answer, for answered(), which takes both bodies. */
	int status;
	json_t *answer;	   /* NULL: none */
	char *text;	   /* the same as it is sent; NULL: nothing is */
	const char *type;  /* of the text */
	bool problem;	   /* it is problem+json */
	char etag[48];	   /* with quotes; "": none */
	char location[96]; /* "": none */
	unsigned int seconds; /* to wait, of 429 */
	void (*answered)(void *ctx);
	void *ctx;

	/* The API's own. */
	struct api *api;
	struct caller caller;
	struct api_call *next;
	char *part[API_PARTS_MAX]; /* of the path */
	char parts[API_PATH_MAX];
	int64_t generation; /* of what is answered, for its ETag; 0: none */
	uint64_t version; /* it is held for this commit; 0: it is not */
	uint64_t job; /* it waits for this; 0: not */
	int64_t since; /* it waits for an event after this; -1: not */
	struct figures *figures; /* it waits for these; NULL: not */
	void (*tell)(struct api_call *call); /* answers with them */
	struct timer limit;
};

/* 0, or -1 with `problem`. */
int api_init(struct api *api, struct manager *manager,
	     struct problem *problem);

/*
 * Finds out whether the caller may do what the path says, without doing it:
 * for what the transport does itself. The machine of the path (its {vm}), or
 * NULL with `problem`.
 */
struct vm *api_admit(struct api *api, struct api_call *call, enum role role,
		     struct problem *problem);

/* Answers the call, now or later. */
void api_handle(struct api *api, struct api_call *call);

/* Writes down what the transport has done of a call, in its `status`. */
void api_note(struct api *api, const struct api_call *call);

/* Refuses one that the transport could not take. */
void api_refuse_unread(struct api *api, struct api_call *call,
		       const struct problem *problem);

/* It is not to be answered any more; also when it was. */
void api_cancel(struct api_call *call);

/* Ends all that wait, with what there is. */
void api_close(struct api *api);

#endif
