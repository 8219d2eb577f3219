/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shortcuts between machines, as their switch grants and ends them: two that
 * exchange frames which may go without it, and of which none has rules, are
 * given memory of their own (wire.h). It keeps the page that counts.
 *
 * A shortcut ends when one of the two goes, gets rules or loses an address. It
 * is for the addresses that the two had when it began: when frames with others
 * keep coming, another one takes its place. Both machines are told of an end;
 * one that does not listen loses its connection.
 */
#include "net/switch/serve_impl.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "net/switch/shortcut.h"

#define RIPE_FRAMES 8u	  /* of a pair, in RIPE_MS */
#define RIPE_MS	    1000u
#define AGAIN_MS    1000u /* between two beginnings for a pair */
#define IDLE_MS	    10000u

/* What one of the two sends. */
struct way {
	struct lane_shared *ring;
	uint64_t frames, bytes, refused, dropped; /* that are counted */
};

struct serve_shortcut {
	struct serve_shortcut *next;
	unsigned int port[2]; /* the second has the switch's place */
	struct way way[2];    /* from each */
	unsigned int changes[2]; /* of each one's addresses, when it began */
	void *page;
	uint64_t seen;	  /* frames, when it was looked at */
	uint64_t seen_at; /* ms, when they had changed */
};

/* --- counts --------------------------------------------------------------------- */

/* Both machines write there: what they say is told, not relied upon. */
static uint64_t more_of(uint64_t *counted, const _Atomic uint64_t *now)
{
	uint64_t before = *counted;

	*counted = atomic_load_explicit(now, memory_order_relaxed);
	return *counted - before;
}

static void count_way(struct way *way, struct core_port *from,
		      struct core_port *to)
{
	const uint64_t frames = more_of(&way->frames, &way->ring->frames);
	const uint64_t bytes = more_of(&way->bytes, &way->ring->bytes);
	const uint64_t refused = more_of(&way->refused, &way->ring->refused);
	const uint64_t dropped = more_of(&way->dropped, &way->ring->dropped);

	from->sent.frames += frames + refused + dropped;
	from->sent.bytes += bytes;
	from->refused += refused;
	to->received.frames += frames;
	to->received.bytes += bytes;
	to->dropped += dropped;
}

static void count(struct serve *s, struct serve_shortcut *one)
{
	for (unsigned int i = 0; i < 2; i++)
		count_way(&one->way[i], &s->core.port[one->port[i]],
			  &s->core.port[one->port[!i]]);
}

void serve_count(struct serve *s)
{
	for (struct serve_shortcut *one = s->shortcut; one; one = one->next)
		count(s, one);
}

/* --- their end ------------------------------------------------------------------ */

static void tell_end(struct serve *s, unsigned int port, unsigned int other)
{
	struct wire_shortcut said = { .what = WIRE_NO_SHORTCUT };
	const struct iovec part = { &said, sizeof(said) };

	guard_claims(&s->core.guard, port, &said.own);
	guard_claims(&s->core.guard, other, &said.other);
	if (passing_send(s->line[port].fd, &part, 1, -1, MSG_DONTWAIT) < 0)
		shutdown(s->line[port].fd, SHUT_RDWR);
}

/* Nobody is told. */
static void drop(struct serve *s, struct serve_shortcut **at)
{
	struct serve_shortcut *one = *at;

	*at = one->next;
	count(s, one);
	for (unsigned int i = 0; i < 2; i++)
		s->core.port[one->port[i]].shortcuts--;
	munmap(one->page, WIRE_PAGE);
	free(one);
}

static void end(struct serve *s, struct serve_shortcut **at)
{
	const unsigned int a = (*at)->port[0], b = (*at)->port[1];

	drop(s, at);
	tell_end(s, a, b);
	tell_end(s, b, a);
}

/* Those of which `ends` is true. */
static void end_some(struct serve *s, unsigned int port,
		     bool (*ends)(struct serve *s, unsigned int port,
				  struct serve_shortcut *one))
{
	struct serve_shortcut **at = &s->shortcut;

	while (*at)
		if (ends(s, port, *at))
			end(s, at);
		else
			at = &(*at)->next;
}

static bool has(struct serve *s, unsigned int port, struct serve_shortcut *one)
{
	return one->port[0] == port || one->port[1] == port;
}

static bool is_ruled(struct serve *s, unsigned int port,
		     struct serve_shortcut *one)
{
	return core_ruled(&s->core, one->port[0]) ||
	       core_ruled(&s->core, one->port[1]);
}

static bool is_idle(struct serve *s, unsigned int port,
		    struct serve_shortcut *one)
{
	const uint64_t frames = one->way[0].frames + one->way[1].frames;
	const uint64_t now = serve_now_ms();

	if (!has(s, port, one))
		return false;
	if (frames != one->seen) {
		one->seen = frames;
		one->seen_at = now;
	}
	return now - one->seen_at > IDLE_MS;
}

void serve_part(struct serve *s, unsigned int port)
{
	end_some(s, port, has);
}

void serve_part_ruled(struct serve *s)
{
	end_some(s, CORE_OWN, is_ruled);
}

/* --- their beginning -------------------------------------------------------------- */

static struct serve_shortcut **find(struct serve *s, unsigned int a,
				    unsigned int b)
{
	struct serve_shortcut **at = &s->shortcut;

	while (*at && !(has(s, a, *at) && has(s, b, *at)))
		at = &(*at)->next;
	return at;
}

static struct serve_pair *pair_of(struct serve *s, unsigned int a,
				  unsigned int b)
{
	return a < b ? &s->pair[a][b] : &s->pair[b][a];
}

bool serve_note(struct serve *s, unsigned int from, unsigned int to,
		const struct core_frame *frame, uint64_t now)
{
	struct serve_pair *pair = pair_of(s, from, to);
	struct claims claims;

	if (core_ruled(&s->core, from) || core_ruled(&s->core, to) ||
	    (pair->tried && now - pair->tried < AGAIN_MS))
		return false;
	guard_claims(&s->core.guard, from, &claims);
	if (!claims_pass(&claims, s->core.port[to].mac, frame->head,
			 frame->head_size))
		return false;
	if (now - pair->since > RIPE_MS) {
		pair->since = now;
		pair->frames = 0;
	}
	return ++pair->frames >= RIPE_FRAMES;
}

static bool has_place(struct serve *s, unsigned int port)
{
	serve_count(s);
	end_some(s, port, is_idle);
	return s->core.port[port].shortcuts < SHORTCUT_MAX;
}

/* Its end of the shortcut, in which the memory waits. */
static bool give_end(struct serve *s, const struct serve_shortcut *one,
		     unsigned int side, int fd)
{
	const int line = s->line[one->port[side]].fd;
	struct wire_shortcut said = { .what = WIRE_SHORTCUT, .above = side };
	const struct iovec part = { &said, sizeof(said) };

	guard_claims(&s->core.guard, one->port[side], &said.own);
	guard_claims(&s->core.guard, one->port[!side], &said.other);
	return passing_send(line, &part, 1, fd, MSG_DONTWAIT) ==
	       (ssize_t)sizeof(said);
}

/* When the second fails, the first hears that its socket has no other end. */
static bool give_ends(struct serve *s, const struct serve_shortcut *one,
		      int memory)
{
	char byte = 0;
	const struct iovec part = { &byte, 1 };
	int ends[2];
	bool done;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, ends))
		return false;
	done = passing_send(ends[0], &part, 1, memory, MSG_DONTWAIT) == 1 &&
	       passing_send(ends[1], &part, 1, memory, MSG_DONTWAIT) == 1 &&
	       give_end(s, one, 0, ends[0]) && give_end(s, one, 1, ends[1]);
	close(ends[0]);
	close(ends[1]);
	return done;
}

/* Whether it may lead more than it does. */
static bool is_stale(const struct serve *s, const struct serve_shortcut *one)
{
	for (unsigned int i = 0; i < 2; i++)
		if (s->core.guard.port[one->port[i]].changes !=
		    one->changes[i])
			return true;
	return atomic_load(&one->way[0].ring->over);
}

static void begin(struct serve *s, unsigned int a, unsigned int b, int memory)
{
	struct serve_shortcut *one = calloc(1, sizeof(*one));
	void *page = mmap(NULL, WIRE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  memory, 0);

	if (page == MAP_FAILED)
		page = NULL;
	if (one && page) {
		one->port[0] = a;
		one->port[1] = b;
		one->page = page;
		one->way[0].ring = page;
		one->way[1].ring = (void *)((uint8_t *)page + WIRE_SECOND);
		one->seen_at = serve_now_ms();
		for (unsigned int i = 0; i < 2; i++)
			one->changes[i] =
				s->core.guard.port[one->port[i]].changes;
	}
	if (one && page && give_ends(s, one, memory)) {
		one->next = s->shortcut;
		s->shortcut = one;
		s->core.port[a].shortcuts++;
		s->core.port[b].shortcuts++;
		return;
	}
	if (page)
		munmap(page, WIRE_PAGE);
	free(one);
}

void serve_join(struct serve *s, unsigned int a, unsigned int b)
{
	struct serve_pair *pair = pair_of(s, a, b);
	struct serve_shortcut **at = find(s, a, b);
	int memory;

	*pair = (struct serve_pair){ .tried = serve_now_ms() };
	if (s->line[a].fd < 0 || s->line[b].fd < 0)
		return;
	if (*at && !is_stale(s, *at))
		return;
	if (*at)
		end(s, at);
	if (!has_place(s, a) || !has_place(s, b))
		return;
	memory = lane_memory();
	if (memory < 0)
		return;
	begin(s, a, b, memory);
	close(memory);
}
