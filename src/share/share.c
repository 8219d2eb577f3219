/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's end of a share: requests go into places of the memory that it
 * has in common with the server (channel.h), or wait for one. Two threads: one
 * for answers, one that waits for the server's end.
 *
 * To change threads twice takes ten times as long as to serve most requests. So
 * a patient submitter looks for its answer first. Looks that were for nothing
 * make it skip some, twice as many each time.
 */
#include "share/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "host/linux/thread.h"
#include "share/channel.h"
#include "share/start.h"
#include "vm/host.h"

_Static_assert(SHARE_HEAD == sizeof(struct fuse_in_header),
	       "the head of a request");

#define LOOK_NS	  150000u /* enough to wake the server, three times its work */
#define SKIPS_MAX 256u

enum place_use {
	PLACE_FREE,
	PLACE_FILLED, /* a request or an answer is being copied */
	PLACE_SENT,
	PLACE_LOOKED_AT, /* sent, and the submitter takes the answer */
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
	int process; /* see start.h */
	struct thread answers, watcher;
	_Atomic bool end, dead;
	struct channel_wait wait;
	_Atomic uint32_t skip, skips; /* looks: now; after the next vain one */

	pthread_mutex_t mutex; /* guards the rest */
	struct place place[CHANNEL_SLOTS];
	struct share_request *first, **last; /* that wait for a place */
	_Atomic bool queued;		     /* there are some */
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
static bool send_place(struct folder_share *s, struct place *p, bool look)
{
	unsigned int index = (unsigned int)(p - s->place);
	struct channel_slot *slot = &s->channel->slot[index];
	struct share_request *r = p->request;
	bool dead;

	gather(s->channel->data[index], r, r->out_size);
	slot->out_size = r->out_size;
	slot->in_room = p->room;
	atomic_store(&slot->looked_at, look);
	pthread_mutex_lock(&s->mutex);
	dead = s->dead;
	p->use = dead ? PLACE_FREE : look ? PLACE_LOOKED_AT : PLACE_SENT;
	if (!dead)
		atomic_store(&slot->state, CHANNEL_SENT);
	pthread_mutex_unlock(&s->mutex);
	if (dead)
		refuse(r, ENOTCONN);
	else
		channel_tell(&s->channel->server);
	return dead;
}

/* --- taking an answer ------------------------------------------------------------ */

/* Held: the mutex. */
static bool answered(struct folder_share *s, unsigned int i)
{
	return s->place[i].use == PLACE_SENT &&
	       atomic_load(&s->channel->slot[i].state) == CHANNEL_DONE;
}

/* True: the answer is there, and the caller's to take. */
static bool claim(struct folder_share *s, unsigned int i)
{
	bool mine;

	if (atomic_load(&s->channel->slot[i].state) != CHANNEL_DONE)
		return false;
	pthread_mutex_lock(&s->mutex);
	mine = answered(s, i);
	if (mine)
		s->place[i].use = PLACE_FILLED;
	pthread_mutex_unlock(&s->mutex);
	return mine;
}

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

static bool may_look(struct folder_share *s)
{
	uint32_t skip = atomic_load(&s->skip);

	if (!skip)
		return true;
	/* When two do this at once, one skip counts for both. */
	atomic_store(&s->skip, skip - 1);
	return false;
}

static void note_look(struct folder_share *s, bool seen)
{
	uint32_t skips = atomic_load(&s->skips);

	if (seen) {
		atomic_store(&s->skips, skips / 2);
		return;
	}
	skips = skips ? 2 * skips : 1;
	atomic_store(&s->skips, skips < SKIPS_MAX ? skips : SKIPS_MAX);
	atomic_store(&s->skip, skips);
}

static bool see_answer(const struct channel_slot *slot)
{
	uint64_t end = eager_now() + LOOK_NS;

	do {
		for (int i = 0; i < EAGER_PAUSES; i++) {
			if (atomic_load_explicit(&slot->state,
						 memory_order_acquire) ==
			    CHANNEL_DONE)
				return true;
			__builtin_ia32_pause();
		}
	} while (eager_now() < end);
	return false;
}

/* The place is like others from now on. True: the server is gone. */
static bool stop_looking(struct folder_share *s, struct place *p)
{
	bool dead;

	pthread_mutex_lock(&s->mutex);
	dead = s->dead;
	p->use = dead ? PLACE_FREE : PLACE_SENT;
	pthread_mutex_unlock(&s->mutex);
	return dead;
}

/*
 * True: it is over. False: its answer is for the thread of answers, which the
 * server wakes when it sees that nobody looks; so there is one more look after
 * that was said.
 */
static bool look_for(struct folder_share *s, struct place *p)
{
	unsigned int i = (unsigned int)(p - s->place);
	bool seen = see_answer(&s->channel->slot[i]);
	struct share_request *r = p->request;

	note_look(s, seen);
	if (!seen) {
		if (stop_looking(s, p)) {
			refuse(r, ENOTCONN);
			return true;
		}
		atomic_store(&s->channel->slot[i].looked_at, 0);
		if (!claim(s, i))
			return false;
	}
	finish(s, i);
	if (s->queued)
		channel_wake(&s->channel->machine);
	return true;
}

static bool submit(struct share *share, struct share_request *r)
{
	struct folder_share *s = folder_of(share);
	bool over = r->out_size > CHANNEL_OUT_MAX;
	bool look = r->patient && may_look(s);
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
		s->queued = true;
	}
	pthread_mutex_unlock(&s->mutex);
	if (over)
		refuse(r, error);
	if (over || !p)
		return over;
	return send_place(s, p, look) || (look && look_for(s, p));
}

/* --- answers -------------------------------------------------------------------- */

/* Held: the mutex. The first one that waits waits no more. */
static void unqueue(struct folder_share *s)
{
	s->first = s->first->next;
	if (s->first)
		return;
	s->last = &s->first;
	s->queued = false;
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
		if (send_place(s, p, false))
			r->done(r);
	}
}

static void take_answers(struct folder_share *s)
{
	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++) {
		struct share_request *r;

		if (!claim(s, i))
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

	bool none = !s->end && !s->dead;

	pthread_mutex_lock(&s->mutex);
	for (unsigned int i = 0; i < CHANNEL_SLOTS && none; i++)
		none = s->place[i].use == PLACE_FREE ? !s->first :
						       !answered(s, i);
	pthread_mutex_unlock(&s->mutex);
	return none;
}

static void answer(void *ctx)
{
	struct folder_share *s = ctx;
	struct channel_side *side = &s->channel->machine;

	while (!s->end && !s->dead) {
		atomic_store(&side->waiting, 0);
		take_answers(s);
		send_more(s);
		channel_sleep(side, &s->wait, no_answer, s);
	}
	/* What it has answered before it ended counts. */
	take_answers(s);
	give_up(s);
}

static void watch(void *ctx)
{
	struct folder_share *s = ctx;
	struct pollfd ended = { s->process, POLLIN, 0 };
	int status;

	while ((s->process < 0 ? waitpid(s->pid, &status, 0) :
				 poll(&ended, 1, -1)) < 0 && errno == EINTR)
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
	if (s->pid && s->process < 0)
		kill(s->pid, SIGKILL);
	if (s->channel)
		channel_wake(&s->channel->machine);
	thread_join(&s->watcher);
	thread_join(&s->answers);
	if (s->process >= 0)
		close(s->process);
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
	s->process = started.process;
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
		s->life = s->process = -1;
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
