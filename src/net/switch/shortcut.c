/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/shortcut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "vm/host.h"

/* Both sides hear of the end, this one's thread too. */
static void leave(struct shortcut *s)
{
	atomic_store(&s->gone, true);
	shutdown(s->fd, SHUT_RDWR);
}

static void tell(struct shortcut *s)
{
	const char byte = 0;

	/* A full socket has enough to wake it. */
	if (send(s->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN)
		leave(s);
}

/* --- its beginning and end ------------------------------------------------ */

/* The memory waits in the socket: it was put there before this end was given. */
static int map_rings(struct lane_pair *rings, int fd)
{
	int memory, err;
	char byte;

	if (passing_receive(fd, &byte, 1, &memory, MSG_DONTWAIT) != 1 ||
	    memory < 0)
		return -EPROTO;
	err = lane_map(rings, memory);
	close(memory);
	return err;
}

int shortcut_begin(struct shortcut **out, const struct wire_shortcut *said,
		   int fd)
{
	struct shortcut *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = map_rings(&s->rings, fd);
	if (err) {
		free(s);
		return err;
	}
	s->fd = fd;
	s->out = said->above ? &s->rings.to_machine : &s->rings.to_switch;
	s->in = said->above ? &s->rings.to_switch : &s->rings.to_machine;
	s->own = said->own;
	s->other = said->other;
	tell(s);
	*out = s;
	return 0;
}

void shortcut_end(struct shortcut *s)
{
	atomic_store(&s->out->shared->over, 1);
	atomic_store(&s->in->shared->over, 1);
	lane_unmap(&s->rings);
	close(s->fd);
	free(s);
}

/* --- sending ------------------------------------------------------------------ */

bool shortcut_leads(const struct shortcut *s, const uint8_t *head,
		    uint32_t size)
{
	return !atomic_load(&s->gone) && atomic_load(&s->heard) &&
	       claims_pass(&s->own, s->other.mac, head, size);
}

static uint8_t *place(struct lane *ring, uint32_t size)
{
	uint8_t *to = lane_place(ring, size);

	return to || ring->broken || !lane_starve(ring, size) ?
		       to : lane_place(ring, size);
}

/* There is no room. True: it is not waited for any longer. */
static bool wait_or_drop(struct shortcut *s)
{
	const uint64_t now = host_monotonic_ns();

	patience_use(&s->patience, s->waits ? now - s->waits : 0);
	s->waits = now;
	if (!s->patience.ns)
		atomic_fetch_add_explicit(&s->out->shared->dropped, 1,
					  memory_order_relaxed);
	return !s->patience.ns;
}

bool shortcut_send(struct shortcut *s, const struct nic_frame *frame)
{
	uint8_t *to = place(s->out, frame->size);

	if (!to && s->out->broken) {
		leave(s);
		return true;
	}
	if (!to) {
		s->told = true;
		shortcut_flush(s);
		return wait_or_drop(s);
	}
	nic_frame_read(frame, 0, to, frame->size);
	lane_put(s->out, frame);
	patience_earn(&s->patience, frame->size);
	s->waits = 0;
	s->told = true;
	return true;
}

void shortcut_flush(struct shortcut *s)
{
	if (s->told && lane_wakes_reader(s->out))
		tell(s);
	s->told = false;
}

/* --- taking ------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

enum lane_state shortcut_peek(struct shortcut *s, struct nic_frame *frame)
{
	const uint8_t *bytes;
	enum lane_state state = lane_peek(s->in, frame, &bytes);
	uint32_t head;

	if (state == LANE_BROKEN)
		leave(s);
	if (state != LANE_FRAME)
		return state;
	head = frame->size < CLAIMS_HEAD ? frame->size : CLAIMS_HEAD;
	memcpy(s->head, bytes, head);
	if (!claims_pass(&s->other, s->own.mac, s->head, head))
		return state;
	s->span[0] = (struct span){ s->head, head };
	s->span[1] = (struct span){ (void *)(bytes + head),
				    frame->size - head };
	frame->span = s->span;
	frame->spans = frame->size > head ? 2 : 1;
	return state;
}

void shortcut_take(struct shortcut *s, const struct nic_frame *frame)
{
	lane_take(s->in, frame->size);
	if (!frame->spans) {
		count(&s->in->shared->refused, 1);
		return;
	}
	count(&s->in->shared->frames, 1);
	count(&s->in->shared->bytes, frame->size);
}

void shortcut_taken(struct shortcut *s)
{
	if (lane_wakes_writer(s->in))
		tell(s);
}

bool shortcut_hear(struct shortcut *s)
{
	char bytes[16];
	ssize_t size = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (size > 0)
		atomic_store(&s->heard, true);
	return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}
