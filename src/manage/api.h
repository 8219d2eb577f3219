/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API without its transport: a request in, an answer out, at once or
 * later. docs/api/openapi.yaml describes it.
 */
#ifndef LODGE_MANAGE_API_H
#define LODGE_MANAGE_API_H

#include <jansson.h>
#include <stdbool.h>

#include "manage/manager.h"

#define API_ARGS_MAX  16
#define API_ARG_MAX   256
#define API_PATH_MAX  512
#define API_BODY_MAX  (1u << 20)
#define API_PARTS_MAX 8

struct api_call;

struct api {
	struct manager *manager;
	struct api_call *waiting;
	int64_t began; /* Unix time */
};

struct api_call {
	/* The request; the caller's until it is answered. */
	char method[8];
	char path[API_PATH_MAX]; /* decoded, without the query */
	char arg[API_ARGS_MAX][API_ARG_MAX]; /* "name=value", decoded */
	unsigned int args;
	char if_match[80]; /* "": none */
	char key[REGISTRY_KEY_MAX + 2]; /* Idempotency-Key; "" */
	const char *body;
	size_t body_size;

	/* The answer, for answered(): the body is to be json_decref()ed. */
	int status;
	json_t *answer;	   /* NULL: none */
	bool problem;	   /* it is problem+json */
	char etag[32];	   /* with quotes; "": none */
	char location[96]; /* "": none */
	void (*answered)(void *ctx);
	void *ctx;

	/* The API's own. */
	struct api *api;
	struct api_call *next;
	char *part[API_PARTS_MAX]; /* of the path */
	char parts[API_PATH_MAX];
	uint64_t job; /* it waits for this; 0: not */
	int64_t since; /* it waits for an event after this; -1: not */
	struct timer limit;
};

void api_init(struct api *api, struct manager *manager);

/* Answers the call, now or later. */
void api_handle(struct api *api, struct api_call *call);

/* It is not to be answered any more; also when it was. */
void api_cancel(struct api_call *call);

/* Ends all that wait, with what there is. */
void api_close(struct api *api);

#endif
