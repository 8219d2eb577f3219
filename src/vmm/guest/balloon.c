/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for statistics; see balloon.h. One timer stands for both ends of a
 * wait: the device's thread makes it fire at once.
 */
#include "vmm/guest/balloon.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "board/board.h"
#include "virtio/balloon.h"

#define PATIENCE_NS 1000000000l

struct balloon_wait {
	struct loop *loop;
	struct virtio_balloon *balloon;
	int timer;
	void (*over)(void *ctx);
	void *ctx;
};

static void set_timer(struct balloon_wait *wait, long ns)
{
	const struct itimerspec when = {
		.it_value = { .tv_sec = ns / 1000000000,
			      .tv_nsec = ns % 1000000000 },
	};

	timerfd_settime(wait->timer, 0, &when, NULL);
}

/* The devices' thread. */
static void stats_came(void *ctx)
{
	set_timer(ctx, 1);
}

static void timer_passed(void *ctx, uint32_t events)
{
	struct balloon_wait *wait = ctx;
	uint64_t passed;

	if (read(wait->timer, &passed, sizeof(passed)) == sizeof(passed))
		wait->over(wait->ctx);
}

bool balloon_wait_start(struct balloon_wait *wait)
{
	set_timer(wait, PATIENCE_NS);
	if (virtio_balloon_ask(wait->balloon))
		return true;
	set_timer(wait, 0);
	return false;
}

int balloon_wait_open(struct balloon_wait **out, struct loop *loop,
		      struct board *board, void (*over)(void *ctx), void *ctx)
{
	struct balloon_wait *wait = calloc(1, sizeof(*wait));
	int rc;

	*out = NULL;
	if (!wait)
		return -ENOMEM;
	wait->loop = loop;
	wait->balloon = board_balloon(board);
	wait->over = over;
	wait->ctx = ctx;
	wait->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rc = wait->timer < 0 ? -errno
			     : loop_add(loop, wait->timer, LOOP_READ,
					timer_passed, wait);
	if (rc) {
		if (wait->timer >= 0)
			close(wait->timer);
		free(wait);
		return rc;
	}
	virtio_balloon_on_stats(wait->balloon, stats_came, wait);
	*out = wait;
	return 0;
}

void balloon_wait_close(struct balloon_wait *wait)
{
	if (!wait)
		return;
	virtio_balloon_on_stats(wait->balloon, NULL, NULL);
	loop_remove(wait->loop, wait->timer);
	close(wait->timer);
	free(wait);
}
