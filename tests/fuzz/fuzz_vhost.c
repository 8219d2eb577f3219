/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a vhost-user back end may do: its answers while a connection is
 * made, and what it writes into the rings, which are between frames that come
 * and go. Frames that it gives lie within the buffers, and no ring has more
 * under way than it has.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/vhost/front.h"

#define BUFFERS (VHOST_RING_SIZE * VHOST_SLOT)

static _Alignas(4096) uint8_t tables[2][VHOST_RING_BYTES];
static _Alignas(4096) uint8_t buffers[2][BUFFERS];
static struct vhost_ring rings[2];
static uint8_t data_of_frame[NIC_FRAME_MAX];

static void check(const struct vhost_ring *ring)
{
	if (ring->under_way > VHOST_RING_SIZE ||
	    ring->idles > VHOST_RING_SIZE)
		abort();
}

static void check_frame(const struct vhost_ring *ring,
			const struct vhost_frame *frame)
{
	uint32_t size = 0;

	for (unsigned int i = 0; i < frame->nic.spans; i++) {
		const uint8_t *at = frame->span[i].data;

		if (at < ring->buffers || at > ring->buffers + BUFFERS ||
		    frame->span[i].size >
			    (size_t)(ring->buffers + BUFFERS - at))
			abort();
		size += (uint32_t)frame->span[i].size;
	}
	if (size != frame->nic.size)
		abort();
	if (frame->malformed)
		return;
	if (size < NIC_FRAME_MIN || size > NIC_FRAME_MAX)
		abort();
	nic_frame_read(&frame->nic, 0, data_of_frame, size);
}

static void send_one(struct words *w)
{
	const struct span span = { data_of_frame,
				   14 + next_word(w, 2) % 65500 };
	const struct nic_frame frame = { .span = &span,
					 .spans = 1,
					 .size = (uint32_t)span.size };

	vhost_ring_send(&rings[1], &frame);
}

/* What the other side says: mostly words that make sense. */
static void answer(struct words *w, struct vhost_ring *ring)
{
	uint8_t *used = ring->tables + VHOST_USED;
	unsigned int at = ring->seen % VHOST_RING_SIZE;
	uint16_t index = ring->seen;
	unsigned int count = next_word(w, 1) % 8;

	for (unsigned int i = 0; i < count; i++, index++) {
		uint32_t entry[2] = { (uint32_t)next_word(w, 1),
				      (uint32_t)next_word(w, 2) % 4200 };

		memcpy(used + 4 + 8 * ((at + i) % VHOST_RING_SIZE), entry, 8);
		if (entry[0] < VHOST_RING_SIZE)
			memcpy(ring->buffers + entry[0] * VHOST_SLOT + 10,
			       &(uint16_t){ (uint16_t)(1 + entry[1] % 3) }, 2);
	}
	memcpy(used + 2, &index, 2);
}

static void run_rings(struct words *w)
{
	struct vhost_frame frame;
	uint32_t at;

	memset(tables, 0, sizeof(tables));
	for (unsigned int i = 0; i < 2; i++)
		vhost_ring_init(&rings[i], tables[i], buffers[i], 1u << 20,
				VHOST_SLOT);
	rings[0].merges = next_word(w, 1) & 1;
	vhost_ring_offer(&rings[0]);
	while (w->left) {
		struct vhost_ring *ring = &rings[next_word(w, 1) & 1];

		switch (next_word(w, 1) % 6) {
		case 0:
			send_one(w);
			break;
		case 1:
			vhost_ring_reclaim(&rings[1]);
			break;
		case 2:
			if (vhost_ring_peek(&rings[0], &frame)) {
				check_frame(&rings[0], &frame);
				vhost_ring_done(&rings[0], &frame);
			}
			break;
		case 3:
			at = (uint32_t)next_word(w, 2) % VHOST_RING_BYTES;
			ring->tables[at] = (uint8_t)next_word(w, 1);
			break;
		case 4:
			at = (uint32_t)next_word(w, 3) % BUFFERS;
			ring->buffers[at] = (uint8_t)next_word(w, 1);
			break;
		default:
			answer(w, ring);
			break;
		}
		vhost_ring_notifies(ring);
		check(&rings[0]);
		check(&rings[1]);
	}
}

static void run_front(const uint8_t *data, size_t size)
{
	const struct vhost_wish wish = { .pairs = 2,
					 .mtu = 1500,
					 .wake = -1,
					 .patience = 1000000000 };
	static struct vhost_front front;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	if (size > 65536)
		size = 65536;
	if (send(pair[1], data, size, 0) < 0)
		abort();
	shutdown(pair[1], SHUT_WR);
	if (!vhost_front_begin(&front, pair[0], &wish)) {
		if (!front.pairs || front.pairs > wish.pairs)
			abort();
		vhost_front_end(&front, 1);
	}
	if (front.fd >= 0 || front.memory)
		abort();
	close(pair[1]);
}

/* Answers as they should be, with the input's bytes here and there. */
static void run_answers(struct words *w)
{
	static const uint32_t asked[] = { 1, 15, 17, 5, 18, 18, 18, 18 };
	uint8_t bytes[sizeof(asked) / 4 * 20];
	size_t size = 0;

	for (size_t i = 0; i < sizeof(asked) / 4; i++) {
		uint32_t head[3] = { asked[i], 5, 8 };
		uint64_t number = asked[i] == 1	 ? 0x4000bb83u :
				  asked[i] == 15 ? 0xffff :
				  asked[i] == 17 ? 1 + next_word(w, 1) % 9 : 0;

		if (asked[i] == 1)
			number |= 1ull << 32 | 1ull << 30;
		memcpy(bytes + size, head, 12);
		memcpy(bytes + size + 12, &number, 8);
		size += 20;
	}
	while (w->left > 2)
		bytes[next_word(w, 1) % size] ^= (uint8_t)next_word(w, 1);
	run_front(bytes, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words words = { data + 1, size - 1 };

	if (!size)
		return 0;
	switch (data[0] % 8) {
	case 0:
		run_front(data + 1, size - 1);
		break;
	case 1:
		run_answers(&words);
		break;
	default:
		run_rings(&words);
		break;
	}
	return 0;
}
