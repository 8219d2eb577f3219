/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "vmm/runtime.h"

#define ANSWER_MAX (1u << 20)
#define CHUNK	   4096

struct link {
	struct loop *loop;
	int fd;
	bool greeted, *closed; /* *closed: set by link_close() */
	void (*broken)(void *ctx);
	void *broken_ctx;
	char *out; /* a request that is not sent yet */
	size_t out_size, out_sent;
	link_answer answer; /* NULL: none is under way */
	void *answer_ctx;
	char *in;
	size_t in_used, in_room;
};

static void watch(struct link *link)
{
	bool sends = link->greeted && link->out;

	loop_change(link->loop, link->fd,
		    LOOP_READ | (sends ? LOOP_WRITE : 0));
}

static void forget_request(struct link *link)
{
	free(link->out);
	link->out = NULL;
	link->answer = NULL;
}

/* Tells the owner, who will close it. */
static void break_off(struct link *link, const char *why)
{
	link_answer answer = link->answer;

	loop_remove(link->loop, link->fd);
	forget_request(link);
	if (answer)
		answer(link->answer_ctx, NULL, why);
	else if (link->broken)
		link->broken(link->broken_ctx);
}

static void take_answer(struct link *link, const json_t *line)
{
	const json_t *result = json_object_get(line, "result");
	const char *wrong = json_string_value(json_object_get(
		json_object_get(line, "error"), "message"));
	link_answer answer = link->answer;

	if (!link->greeted) {
		link->greeted = true;
		return;
	}
	forget_request(link);
	if (answer)
		answer(link->answer_ctx, result,
		       result ? NULL : wrong ? wrong : "no answer");
}

/* Takes the lines that are there. False: the link is gone or broken. */
static bool take_lines(struct link *link)
{
	bool closed = false;
	char *end;

	link->closed = &closed;
	while (link->in_used && (end = memchr(link->in, '\n', link->in_used))) {
		size_t length = (size_t)(end - link->in);
		json_t *line = json_loadb(link->in, length, 0, NULL);

		link->in_used -= length + 1;
		memmove(link->in, end + 1, link->in_used);
		if (!line) {
			break_off(link, "it does not speak the protocol");
			return false;
		}
		take_answer(link, line);
		json_decref(line);
		if (closed)
			return false;
	}
	link->closed = NULL;
	return true;
}

static ssize_t receive(struct link *link)
{
	if (link->in_room - link->in_used < CHUNK) {
		char *more = link->in_room < ANSWER_MAX ?
				     realloc(link->in, link->in_room + CHUNK) :
				     NULL;

		if (!more)
			return 0;
		link->in = more;
		link->in_room += CHUNK;
	}
	return recv(link->fd, link->in + link->in_used,
		    link->in_room - link->in_used, MSG_DONTWAIT);
}

static void ready(void *ctx, uint32_t events)
{
	struct link *link = ctx;
	ssize_t n = -1;

	if (events & (LOOP_READ | LOOP_HUP)) {
		n = receive(link);
		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			break_off(link, "it ended before it answered");
			return;
		}
		link->in_used += n > 0 ? (size_t)n : 0;
		if (n > 0 && !take_lines(link))
			return;
	}
	if (link->greeted && link->out) {
		n = send(link->fd, link->out + link->out_sent,
			 link->out_size - link->out_sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		link->out_sent += n > 0 ? (size_t)n : 0;
		if (link->out_sent == link->out_size) {
			free(link->out);
			link->out = NULL;
		}
	}
	watch(link);
}

struct link *link_open(struct loop *loop, const char *name,
		       void (*broken)(void *ctx), void *ctx)
{
	struct link *link = calloc(1, sizeof(*link));
	struct vmm_error error;
	int folder = runtime_open(&error);

	if (link && folder >= 0) {
		*link = (struct link){
			.loop = loop,
			.fd = runtime_connect_now(folder, name),
			.broken = broken,
			.broken_ctx = ctx,
		};
		if (link->fd >= 0 &&
		    !loop_add(loop, link->fd, LOOP_READ, ready, link)) {
			close(folder);
			return link;
		}
		if (link->fd >= 0)
			close(link->fd);
	}
	if (folder >= 0)
		close(folder);
	free(link);
	return NULL;
}

void link_ask(struct link *link, json_t *request, link_answer answer,
	      void *ctx)
{
	char *text = json_dumps(request, JSON_COMPACT);

	json_decref(request);
	link->answer = answer;
	link->answer_ctx = ctx;
	link->out = text;
	link->out_sent = 0;
	link->out_size = text ? strlen(text) + 1 : 0;
	if (text)
		text[link->out_size - 1] = '\n'; /* where the string ended */
	watch(link);
}

void link_close(struct link *link)
{
	if (!link)
		return;
	if (link->closed)
		*link->closed = true;
	loop_remove(link->loop, link->fd);
	close(link->fd);
	free(link->out);
	free(link->in);
	free(link);
}
