/* SPDX-License-Identifier: Apache-2.0 */
#include "net/closing.h"

static struct closing *slot_of(struct closings *closings,
			       const struct tcp_segment *segment)
{
	return &closings->slot[tcp_hash(segment) % CLOSING_SLOTS];
}

/* The stack ends its direction; once more, if the guest did not hear. */
static void begin(struct closing *c, const struct tcp_segment *segment)
{
	const uint32_t end = segment->sequence + segment->size + 1;

	if (c->used && c->stack_end == end && tcp_is_reply(segment, &c->guest))
		return;
	*c = (struct closing){ .used = true, .stack_end = end };
	tcp_answer(&c->guest, segment, 0, 0, TCP_ACK);
}

void closing_note_stack(struct closings *closings,
			const struct tcp_segment *segment)
{
	const unsigned int kind = segment->flags &
				  (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK);
	struct closing *c = slot_of(closings, segment);

	if ((kind & TCP_FIN) && !(kind & (TCP_SYN | TCP_RST))) {
		begin(c, segment);
		return;
	}
	if (!c->used || !tcp_is_reply(segment, &c->guest))
		return;
	if (kind != TCP_ACK) {
		c->used = false;
		return;
	}
	if (!c->both || segment->ack != c->guest_end ||
	    segment->sequence != c->stack_end)
		return;
	c->used = false;
	if (closings->due_count < CLOSING_DUE)
		tcp_answer(&closings->due[closings->due_count++], segment,
			   segment->ack, segment->sequence, TCP_RST | TCP_ACK);
}

void closing_note_guest(struct closings *closings,
			const struct tcp_segment *segment)
{
	struct closing *c;

	if (!(segment->flags & (TCP_SYN | TCP_FIN | TCP_RST)))
		return;
	c = slot_of(closings, segment);
	if (!c->used || !tcp_is_same(segment, &c->guest))
		return;
	if (segment->flags & (TCP_SYN | TCP_RST)) {
		c->used = false;
		return;
	}
	c->both = segment->ack == c->stack_end;
	c->guest_end = segment->sequence + segment->size + 1;
}

bool closing_next(struct closings *closings, struct tcp_plain *reset)
{
	if (!closings->due_count)
		return false;
	*reset = closings->due[--closings->due_count];
	return true;
}
