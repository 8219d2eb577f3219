/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's end of a share, with servers of every kind: honest ones, such
 * as lie in the memory that both have, and such as end.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fake/test.h"
#include "share/channel.h"
#include "share/share.h"
#include "share/start.h"

#define ROOM  48u
#define GUARD 0xa5
#define MANY  100 /* requests, more than places */

enum manner {
	HONEST, /* the request's first bytes, as many as there is room for */
	LIAR,	/* more than there is room for */
	WILD,	/* and marks of all kinds on all places */
	SILENT, /* takes requests, answers none */
};

static enum manner manner;

struct ask {
	struct share_request request;
	struct span out, in[2];
	struct fuse_in_header head;
	uint8_t answer[ROOM], guard[16];
	_Atomic bool over;
};

static struct share *share;
static struct ask ask[MANY];

/* --- servers --------------------------------------------------------------------- */

static void reply(struct channel *channel, unsigned int i)
{
	struct channel_slot *slot = &channel->slot[i];
	uint8_t *to = channel->data[i] + channel_answer_at(slot->out_size);

	memcpy(to, channel->data[i], slot->in_room < slot->out_size ?
					     slot->in_room : slot->out_size);
	slot->in_size = slot->in_room < slot->out_size ? slot->in_room :
							 slot->out_size;
	if (manner != HONEST) {
		memset(to, 0x11, 4096);
		slot->in_size = 0xffffffff;
		slot->out_size = slot->in_room = 0xffffffff;
	}
	atomic_store(&slot->state, CHANNEL_DONE);
	if (!atomic_load(&slot->looked_at))
		channel_tell(&channel->machine);
}

static void serve(struct channel *channel)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (unsigned int i = 0; i < CHANNEL_SLOTS; i++) {
			uint32_t sent = CHANNEL_SENT;

			if (manner == WILD && i % 3)
				atomic_store(&channel->slot[i].state,
					     i % 2 ? CHANNEL_DONE : 77);
			else if (atomic_compare_exchange_strong(
					 &channel->slot[i].state, &sent,
					 CHANNEL_TAKEN) &&
				 manner != SILENT)
				reply(channel, i);
		}
		sched_yield();
	}
}

/* In place of the one that starts lodge-share. */
int start_server(const struct share_config *config, struct start_result *result,
		 struct share_error *error)
{
	struct channel *channel = mmap(NULL, sizeof(*channel),
				       PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(channel != MAP_FAILED);
	*result = (struct start_result){ channel, dup(0), fork(), -1 };
	if (!result->pid)
		serve(channel);
	return result->pid < 0 ? -1 : 0;
}

/* --- requests -------------------------------------------------------------------- */

static void done(struct share_request *request)
{
	atomic_store(&((struct ask *)request->ctx)->over, true);
}

static void submit(struct ask *a, uint64_t unique)
{
	memset(a, 0, sizeof(*a));
	memset(a->guard, GUARD, sizeof(a->guard));
	a->head = (struct fuse_in_header){ .len = sizeof(a->head),
					   .unique = unique };
	a->out = (struct span){ &a->head, sizeof(a->head) };
	a->in[0] = (struct span){ a->answer, 10 };
	a->in[1] = (struct span){ a->answer + 10, ROOM - 10 };
	a->request = (struct share_request){
		.out = &a->out, .outs = 1, .out_size = sizeof(a->head),
		.in = a->in, .ins = 2, .in_size = ROOM,
		.patient = unique % 2, .done = done, .ctx = a,
	};
	if (share_submit(share, &a->request))
		a->over = true;
}

static void wait_for(struct ask *a)
{
	while (!atomic_load(&a->over))
		sched_yield();
	for (unsigned int i = 0; i < sizeof(a->guard); i++)
		assert_int_equal(a->guard[i], GUARD);
	assert_true(a->request.written <= ROOM);
}

static void open_share(enum manner wanted)
{
	const struct share_config config = { .folder = "/x", .cpus = 1 };
	struct share_error error;

	manner = wanted;
	assert_int_equal(share_open(&share, &config, &error), 0);
}

static bool is_refusal(const struct ask *a)
{
	struct fuse_out_header out;

	memcpy(&out, a->answer, sizeof(out));
	return a->request.written == sizeof(out) && out.error == -ENOTCONN &&
	       out.unique == a->head.unique && out.len == sizeof(out);
}

static void honest(void **state)
{
	open_share(HONEST);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < MANY; i++)
			submit(&ask[i], (uint64_t)i + 1);
		for (int i = 0; i < MANY; i++) {
			wait_for(&ask[i]);
			assert_int_equal(ask[i].request.written,
					 sizeof(ask[i].head));
			assert_memory_equal(ask[i].answer, &ask[i].head,
					    sizeof(ask[i].head));
		}
	}
	share_close(share);
}

static void liar(void **state)
{
	open_share(LIAR);
	for (int i = 0; i < MANY; i++)
		submit(&ask[i], (uint64_t)i);
	for (int i = 0; i < MANY; i++) {
		wait_for(&ask[i]);
		assert_int_equal(ask[i].request.written, ROOM);
	}
	share_close(share);
}

/* Each request ends once, with whatever: at the latest with the server. */
static void wild(void **state)
{
	open_share(WILD);
	for (int i = 0; i < MANY; i++)
		submit(&ask[i], (uint64_t)i);
	kill(share_server(share), SIGKILL);
	for (int i = 0; i < MANY; i++)
		wait_for(&ask[i]);
	share_close(share);
}

static void killed(void **state)
{
	open_share(SILENT);
	for (int i = 0; i < MANY; i++)
		submit(&ask[i], (uint64_t)i);
	assert_false(ask[0].over);
	kill(share_server(share), SIGKILL);
	for (int i = 0; i < MANY; i++) {
		wait_for(&ask[i]);
		assert_true(is_refusal(&ask[i]));
	}
	assert_int_equal(share_server(share), 0);
	submit(&ask[0], 5);
	assert_true(ask[0].over && is_refusal(&ask[0]));
	/* Without room for it, there is no refusal either. */
	ask[0].request.in_size = ask[0].request.ins = 0;
	assert_true(share_submit(share, &ask[0].request));
	assert_int_equal(ask[0].request.written, 0);
	share_close(share);
}

/* More than any request of a driver has. */
static void too_large(void **state)
{
	open_share(HONEST);
	submit(&ask[0], 1);
	wait_for(&ask[0]);
	ask[0].request.out_size = CHANNEL_OUT_MAX + 1;
	assert_true(share_submit(share, &ask[0].request));
	assert_int_equal(ask[0].request.written,
			 sizeof(struct fuse_out_header));
	share_close(share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest), cmocka_unit_test(liar),
		cmocka_unit_test(wild),	  cmocka_unit_test(killed),
		cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
