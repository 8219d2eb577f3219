/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's end of a share: requests go into places of the memory that it
 * has in common with the server (channel.h), or wait for one. Two threads: one
 * for answers, one that waits for the server's end.
 */
#include "share/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/thread.h"
#include "share/channel.h"
#include "share/start.h"
#include "vm/host.h"

_Static_assert(SHARE_HEAD == sizeof(struct fuse_in_header),
	       "the head of a request");

enum place_use {
	PLACE_FREE,
	PLACE_FILLED, /* a request is being copied */
	PLACE_SENT,
};

/* What the machine knows of a place, whatever the memory says. */
struct place {
	enum place_use use;
	uint32_t answer_at, room;
	struct share_request *request;
};

struct folder_share {
	struct share share;
	struct channel *channel;
	char *folder;
	int life;  /* our end of the server's */
	_Atomic pid_t pid;
	struct thread answers, watcher;
	_Atomic bool end, dead;
	struct channel_wait wait;

	pthread_mutex_t mutex; /* guards the rest */
	struct place place[CHANNEL_SLOTS];
	struct share_request *first, **last; /* that wait for a place */
};

static struct folder_share *folder_of(struct share *share)
{
	return (struct folder_share *)share;
}

/* --- bytes ---------------------------------------------------------------------- */

/* The request's first `size` bytes, which it has. */
static void gather(uint8_t *to, const struct share_request *r, uint32_t size)
{
	for (unsigned int i = 0; i < r->outs && size; i++) {
		size_t part = r->out[i].size < size ? r->out[i].size : size;

		memcpy(to, r->out[i].data, part);
		to += part;
		size -= (uint32_t)part;
	}
}

static void scatter(const struct share_request *r, const uint8_t *from,
		    uint32_t size)
{
	for (unsigned int i = 0; i < r->ins && size; i++) {
		size_t part = r->in[i].size < size ? r->in[i].size : size;

		memcpy(r->in[i].data, from, part);
		from += part;
		size -= (uint32_t)part;
	}
}

/* Answers without the server. */
static void refuse(struct share_request *r, int error)
{
	struct fuse_in_header head;
	struct fuse_out_header answer = {
		.len = sizeof(answer),
		.error = -error,
	};

	r->written = 0;
	if (r->in_size < sizeof(answer))
		return;
	gather((uint8_t *)&head, r, sizeof(head));
	answer.unique = head.unique;
	scatter(r, (const uint8_t *)&answer, sizeof(answer));
	r->written = sizeof(answer);
}

/* --- requests ------------------------------------------------------------------- */

/* Held: the mutex. A place for `r`; NULL: all are taken. */
static struct place *take_place(struct folder_share *s, struct share_request *r)
{
	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++) {
		struct place *p = &s->place[i];

		if (p->use != PLACE_FREE)
			continue;
		*p = (struct place){
			.use = PLACE_FILLED,
			.answer_at = channel_answer_at(r->out_size),
			.request = r,
		};
		p->room = CHANNEL_SLOT - p->answer_at;
		if (p->room > r->in_size)
			p->room = r->in_size;
		return p;
	}
	return NULL;
}

/* No lock held. True: the server is gone, and the request is over. */
static bool send_place(struct folder_share *s, struct place *p)
{
	unsigned int index = (unsigned int)(p - s->place);
	struct channel_slot *slot = &s->channel->slot[index];
	struct share_request *r = p->request;
	bool dead;

	gather(s->channel->data[index], r, r->out_size);
	slot->out_size = r->out_size;
	slot->in_room = p->room;
	pthread_mutex_lock(&s->mutex);
	dead = s->dead;
	p->use = dead ? PLACE_FREE : PLACE_SENT;
	if (!dead)
		atomic_store(&slot->state, CHANNEL_SENT);
	pthread_mutex_unlock(&s->mutex);
	if (dead)
		refuse(r, ENOTCONN);
	else
		channel_tell(&s->channel->server);
	return dead;
}

static bool submit(struct share *share, struct share_request *r)
{
	struct folder_share *s = folder_of(share);
	bool over = r->out_size > CHANNEL_OUT_MAX;
	int error = EIO;
	struct place *p = NULL;

	pthread_mutex_lock(&s->mutex);
	if (s->dead) {
		over = true;
		error = ENOTCONN;
	}
	if (!over && !s->first)
		p = take_place(s, r);
	if (!over && !p) {
		r->next = NULL;
		*s->last = r;
		s->last = &r->next;
	}
	pthread_mutex_unlock(&s->mutex);
	if (over)
		refuse(r, error);
	return over || (p && send_place(s, p));
}

/* --- answers -------------------------------------------------------------------- */

/* A request whose place has its answer; its place is free then. */
static struct share_request *finish(struct folder_share *s, unsigned int i)
{
	struct channel_slot *slot = &s->channel->slot[i];
	struct place *p = &s->place[i];
	struct share_request *r = p->request;
	uint32_t size = slot->in_size;

	if (size > p->room)
		size = p->room;
	scatter(r, s->channel->data[i] + p->answer_at, size);
	r->written = size;
	atomic_store(&slot->state, CHANNEL_FREE);
	pthread_mutex_lock(&s->mutex);
	p->use = PLACE_FREE;
	pthread_mutex_unlock(&s->mutex);
	return r;
}

/* Held: the mutex. The first one that waits waits no more. */
static void unqueue(struct folder_share *s)
{
	s->first = s->first->next;
	if (!s->first)
		s->last = &s->first;
}

/* Requests that waited for places get those that are free. */
static void send_more(struct folder_share *s)
{
	for (;;) {
		struct place *p = NULL;
		struct share_request *r;

		pthread_mutex_lock(&s->mutex);
		r = s->dead ? NULL : s->first;
		if (r)
			p = take_place(s, r);
		if (p)
			unqueue(s);
		pthread_mutex_unlock(&s->mutex);
		if (!p)
			return;
		if (send_place(s, p))
			r->done(r);
	}
}

static bool sent(struct folder_share *s, unsigned int i)
{
	bool is;

	pthread_mutex_lock(&s->mutex);
	is = s->place[i].use == PLACE_SENT;
	pthread_mutex_unlock(&s->mutex);
	return is;
}

static void take_answers(struct folder_share *s)
{
	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++) {
		struct channel_slot *slot = &s->channel->slot[i];
		struct share_request *r;

		if (atomic_load(&slot->state) != CHANNEL_DONE || !sent(s, i))
			continue;
		r = finish(s, i);
		send_more(s);
		r->done(r);
	}
}

/* One that the server has, or that waits, and that is over now; or NULL. */
static struct share_request *take_lost(struct folder_share *s)
{
	struct share_request *r = NULL;

	pthread_mutex_lock(&s->mutex);
	for (unsigned int i = 0; i < CHANNEL_SLOTS && !r; i++) {
		if (s->place[i].use != PLACE_SENT)
			continue;
		r = s->place[i].request;
		s->place[i].use = PLACE_FREE;
	}
	if (!r && s->first) {
		r = s->first;
		unqueue(s);
	}
	pthread_mutex_unlock(&s->mutex);
	return r;
}

/* The server is gone, and nobody sends it anything any more. */
static void give_up(struct folder_share *s)
{
	struct share_request *r;

	while ((r = take_lost(s))) {
		refuse(r, ENOTCONN);
		r->done(r);
	}
}

static bool no_answer(void *ctx)
{
	struct folder_share *s = ctx;

	if (s->end || s->dead)
		return false;
	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++)
		if (atomic_load(&s->channel->slot[i].state) == CHANNEL_DONE)
			return false;
	return true;
}

static void answer(void *ctx)
{
	struct folder_share *s = ctx;
	struct channel_side *side = &s->channel->machine;

	while (!s->end && !s->dead) {
		atomic_store(&side->waiting, 0);
		take_answers(s);
		channel_sleep(side, &s->wait, no_answer, s);
	}
	/* What it has answered before it ended counts. */
	take_answers(s);
	give_up(s);
}

static void watch(void *ctx)
{
	struct folder_share *s = ctx;
	int status;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	pthread_mutex_lock(&s->mutex);
	s->dead = true;
	pthread_mutex_unlock(&s->mutex);
	if (!s->end)
		host_log(HOST_LOG_WARN, "share %s: its server has ended; the "
			 "guest gets errors there", s->folder);
	channel_wake(&s->channel->machine);
}

/* --- opening, closing ------------------------------------------------------------- */

pid_t share_server(struct share *share)
{
	return folder_of(share)->pid;
}

/* The server has nothing to lose: what it wrote is the host's. */
static void stop(struct share *share)
{
	struct folder_share *s = folder_of(share);

	s->end = true;
	if (s->life >= 0)
		close(s->life);
	if (s->pid)
		kill(s->pid, SIGKILL);
	if (s->channel)
		channel_wake(&s->channel->machine);
	thread_join(&s->watcher);
	thread_join(&s->answers);
	if (s->channel)
		munmap(s->channel, sizeof(*s->channel));
	pthread_mutex_destroy(&s->mutex);
	free(s->folder);
	free(s);
}

static const struct share_ops folder_ops = {
	.submit = submit,
	.close = stop,
};

static int start(struct folder_share *s, const struct share_config *config,
		 struct share_error *error)
{
	struct start_result started;
	int rc;

	if (start_server(config, &started, error))
		return -1;
	s->channel = started.channel;
	s->life = started.life;
	s->pid = started.pid;
	rc = thread_start(&s->watcher, "share-end", watch, s);
	if (!rc)
		rc = thread_start(&s->answers, "share", answer, s);
	if (!rc)
		return 0;
	snprintf(error->text, sizeof(error->text), "share %s: %s",
		 config->folder, strerror(-rc));
	return -1;
}

int share_open(struct share **out, const struct share_config *config,
	       struct share_error *error)
{
	struct folder_share *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (s) {
		s->share.ops = &folder_ops;
		s->last = &s->first;
		s->life = -1;
		s->wait.busy = config->cpus + 1;
		pthread_mutex_init(&s->mutex, NULL);
		s->folder = strdup(config->folder);
	}
	if (!s || !s->folder) {
		snprintf(error->text, sizeof(error->text), "out of memory");
	} else if (!start(s, config, error)) {
		*out = &s->share;
		return 0;
	}
	if (s)
		stop(&s->share);
	return -1;
}
