/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of lodged's API (docs/api/openapi.yaml), one request at a time,
 * over its Unix socket, or that of another computer by TLS (elsewhere.h). Where
 * no lodged of our own runs, a private one is started.
 */
#ifndef LODGE_CLI_DAEMON_API_H
#define LODGE_CLI_DAEMON_API_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/daemon/elsewhere.h"
#include "vmm/error.h"

struct api_client {
	int fd;
	char token[ELSEWHERE_TOKEN_MAX]; /* "": none */
};

enum api_start {
	API_START,    /* one if none runs */
	API_IF_KEPT,  /* only where machines are kept */
};

/*
 * 0; 1: none runs and none is to be started; -1 with `error`, with nothing
 * open.
 */
int api_open(struct api_client *client, enum api_start start,
	     struct vmm_error *error);
void api_close(struct api_client *client);

/*
 * One request; the body's reference is taken (NULL: none). A GET that lodged
 * left unanswered at its end is made of the next one. Gives the answer and its
 * HTTP status; NULL with `error` when there is none, or *status is 400 and
 * above: then `error` is its detail.
 */
json_t *api_call(struct api_client *client, const char *method,
		 const char *path, json_t *body, int *status,
		 struct vmm_error *error);

/* "/v1/vms/NAME" and what follows; the name escaped. */
void api_vm_path(char *path, size_t size, const char *name, const char *more);

/* The same below another path, such as "/v1/tokens/". */
void api_path(char *path, size_t size, const char *below, const char *name,
	      const char *more);

#endif
