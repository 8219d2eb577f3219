/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to a card, from the ring of its switch and from its shortcuts: by the
 * uplink's thread, or by a processor that is halted.
 */
#include "net/switch/uplink_impl.h"

#include <stddef.h>

#define BATCH 64 /* frames of a ring in a row */
#define LOOKS 4	 /* at the rings, before a processor gives up */
#define LAST  64 /* batches of a shortcut that ends */

/* --- frames of the rings --------------------------------------------------------- */

/* False: the card has no room for it. */
static bool give(struct uplink *u, const struct nic_frame *frame)
{
	struct nic *nic = u->net.nic;

	if (!nic->ops->receive(nic, frame))
		return false;
	u->frames++;
	u->bytes += frame->size;
	return true;
}

/* Held: `taking`, here and below. LANE_FRAME: the card has no room, or that
 * were many. */
static enum lane_state take_down(struct uplink *u, bool *blocked)
{
	struct lane *ring = &u->connection.rings.to_machine;
	enum lane_state state = LANE_EMPTY;
	struct nic_frame frame;
	const uint8_t *bytes;
	unsigned int count = 0;

	while (count < BATCH) {
		struct span span;

		state = lane_peek(ring, &frame, &bytes);
		if (state != LANE_FRAME)
			break;
		span = (struct span){ (void *)bytes, frame.size };
		frame.span = &span;
		frame.spans = 1;
		*blocked = !give(u, &frame);
		if (*blocked)
			break;
		lane_take(ring, frame.size);
		count++;
	}
	if (count)
		lane_wakes_waiter(ring);
	return state;
}

static enum lane_state take_across(struct uplink *u, struct shortcut *way,
				   bool *blocked)
{
	enum lane_state state = LANE_EMPTY;
	struct nic_frame frame;
	unsigned int count = 0;

	while (count < BATCH) {
		state = shortcut_peek(way, &frame);
		if (state != LANE_FRAME)
			break;
		*blocked = frame.spans && !give(u, &frame);
		if (*blocked)
			break;
		shortcut_take(way, &frame);
		count++;
	}
	if (count)
		shortcut_taken(way);
	return state;
}

/*
 * `fresh`: there was a frame before the switch's were looked at, and now there
 * are none of those. What came by the switch before the first of a shortcut
 * goes first.
 */
static bool may_begin(struct shortcut *way, bool fresh)
{
	way->begun = way->begun || fresh;
	return way->begun;
}

/* Frames of the rings, with an answer as take_down() gives it. */
static enum lane_state take_all(struct uplink *u, bool *blocked)
{
	bool fresh[SHORTCUT_MAX], more = false;
	enum lane_state state;

	for (unsigned int i = 0; i < u->shortcuts; i++)
		fresh[i] = lane_more(u->shortcut[i]->in);
	*blocked = false;
	state = take_down(u, blocked);
	u->turn++;
	for (unsigned int n = 0; n < u->shortcuts && !*blocked; n++) {
		const unsigned int i = (u->turn + n) % u->shortcuts;
		struct shortcut *way = u->shortcut[i];

		if (may_begin(way, fresh[i] && state == LANE_EMPTY))
			more |= take_across(u, way, blocked) == LANE_FRAME;
		else
			more |= lane_more(way->in);
	}
	return state == LANE_EMPTY && more ? LANE_FRAME : state;
}

enum lane_state uplink_deliver(struct uplink *u, bool *blocked)
{
	struct nic *nic = u->net.nic;
	enum lane_state state;

	u->frames = 0;
	u->bytes = 0;
	state = take_all(u, blocked);
	if (u->frames)
		nic->ops->flush(nic);
	return state;
}

void uplink_drain(struct uplink *u, struct shortcut *way)
{
	bool blocked = false;

	for (unsigned int n = 0; n < LAST && !blocked &&
	     take_across(u, way, &blocked) == LANE_FRAME; n++)
		;
	u->net.nic->ops->flush(u->net.nic);
}

/* --- by a halted processor ------------------------------------------------------- */

static struct uplink *of_idle(struct host_idle *idle)
{
	return (struct uplink *)((char *)idle - offsetof(struct uplink, idle));
}

static void leave_taking(struct uplink *u, bool wake)
{
	pthread_mutex_unlock(&u->taking);
	if (atomic_exchange(&u->missed, false) || wake)
		poll_thread_wake(&u->thread);
}

/* Who closes says so, and changes a word then. */
static bool may_sleep(const struct uplink *u)
{
	return !atomic_load(&u->closing);
}

/* What there is, until there is none. False: there is more, for the thread. */
static bool take_and_watch(struct uplink *u)
{
	bool blocked, watched = false;
	enum lane_state state;

	for (unsigned int i = 0; i < LOOKS && !watched; i++) {
		if (atomic_load(&u->closing))
			return false;
		state = uplink_deliver(u, &blocked);
		turns_took(&u->turns, u->frames, u->bytes);
		if (state != LANE_EMPTY)
			return false;
		watched = inbox_watch_again(&u->inbox);
	}
	return watched && may_sleep(u);
}

/* Held: `taking`. *wake: the thread is to look, if it does not begin. */
static bool begin_watch(struct uplink *u, bool *wake)
{
	const bool looks = atomic_load(&u->looks);

	*wake = false;
	if (atomic_load(&u->closing) || u->connection.fd < 0)
		return false;
	if (turns_may_look(&u->turns))
		turns_look(&u->turns);
	if (looks ? take_and_watch(u) : inbox_watch(&u->inbox, wake)) {
		if (may_sleep(u))
			return true;
		*wake = inbox_unwatch(&u->inbox);
	} else if (looks) {
		turns_leave(&u->turns);
		*wake = true;
	}
	return false;
}

static bool begin_idle(struct host_idle *idle, struct host_watch *watch)
{
	struct uplink *u = of_idle(idle);
	bool wake;

	if (atomic_load(&u->closing) || pthread_mutex_trylock(&u->taking))
		return false;
	if (begin_watch(u, &wake)) {
		*watch = inbox_news(&u->inbox);
		return true;
	}
	leave_taking(u, wake);
	return false;
}

static bool work_idle(struct host_idle *idle)
{
	struct uplink *u = of_idle(idle);

	if (turns_may_look(&u->turns))
		turns_look(&u->turns);
	return take_and_watch(u);
}

/*
 * What came for the processor woke nobody else. Where the thread looks now and
 * then, what comes now waits for that, or for the next halt.
 */
static void end_idle(struct host_idle *idle)
{
	struct uplink *u = of_idle(idle);
	bool blocked, left;

	atomic_store(&u->missed, false);
	left = uplink_deliver(u, &blocked) != LANE_EMPTY;
	if (left)
		turns_leave(&u->turns);
	if (atomic_load(&u->looks))
		inbox_hush(&u->inbox);
	else
		left |= inbox_unwatch(&u->inbox);
	leave_taking(u, left);
}

const struct host_idle uplink_idle = { begin_idle, work_idle, end_idle };

void uplink_stop_taking(struct uplink *u)
{
	atomic_store(&u->closing, true);
	inbox_disturb(&u->inbox);
	pthread_mutex_lock(&u->taking);
}

void uplink_let_take(struct uplink *u)
{
	pthread_mutex_unlock(&u->taking);
	atomic_store(&u->closing, false);
}
