/* SPDX-License-Identifier: Apache-2.0 */
#include "net/window.h"

/*
 * Less than half of this is as good as closed: a sender with larger segments
 * waits for more (RFC 9293, 3.8.6.2.1). The stack's windows are not scaled.
 */
#define WINDOW_FULL 65536u

void window_note(struct windows *w, const struct tcp_segment *segment)
{
	const bool open = segment->window >= WINDOW_FULL / 2 ||
			  (segment->flags & (TCP_SYN | TCP_RST)) ||
			  !(segment->flags & TCP_ACK);
	unsigned int i = 0;

	if (open && !w->count)
		return;
	while (i < w->count && !tcp_is_reply(segment, &w->closed[i]))
		i++;
	if (open) {
		if (i < w->count)
			w->closed[i] = w->closed[--w->count];
		return;
	}
	if (i == WINDOWS_MAX)
		return;
	/*
	 * A place before that of the byte that the stack waits for: it has to
	 * answer. What it sent is acknowledged as long ago, so nothing follows
	 * of that.
	 */
	tcp_answer(&w->closed[i], segment, segment->ack - 1,
		   segment->sequence - WINDOW_FULL, TCP_ACK);
	if (i == w->count)
		w->count++;
}
