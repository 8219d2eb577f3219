/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a machine's control socket (docs/control.md) that does not
 * wait: one request at a time, whose answer comes by a call.
 */
#ifndef LODGE_MANAGE_VM_LINK_H
#define LODGE_MANAGE_VM_LINK_H

#include <jansson.h>

struct link;
struct loop;

/*
 * The answer: `result` (not to be kept), or NULL with what is wrong. The link
 * may take the next request, or be closed, from here.
 */
typedef void (*link_answer)(void *ctx, const json_t *result,
			    const char *wrong);

/*
 * Connects to the machine `name` of the control folder. NULL: it does not
 * listen. A link that breaks answers what is under way with NULL, else calls
 * `broken`; then it is to be closed.
 */
struct link *link_open(struct loop *loop, const char *name,
		       void (*broken)(void *ctx), void *ctx);

/* Sends a request, which is taken; none may be under way. */
void link_ask(struct link *link, json_t *request, link_answer answer,
	      void *ctx);

/* Nothing is answered after this. NULL is fine. */
void link_close(struct link *link);

#endif
