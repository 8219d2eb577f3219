/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the other machine of a shortcut: frames of all kinds, with positions
 * and descriptions that it makes up. Whatever is taken is the other's own, for
 * this card, whole and within the memory; what is sent meanwhile ends somewhere.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/passing.h"
#include "net/switch/packet.h"
#include "net/switch/shortcut.h"

static const uint8_t macs[2][NIC_MAC] = { { 0x52, 0x54, 0, 0, 0, 1 },
					  { 0x52, 0x54, 0, 0, 0, 2 } };
static struct shortcut *shortcut;
static int other; /* the other machine's end */
static uint64_t sink;

static void begin(void)
{
	struct wire_shortcut said = {
		.above = 1,
		.own = { .address4 = { 0x0a000001 } },
		.other = { .address4 = { 0x0a000002 },
			   .address6 = { { { { 0xfe, 0x80, [15] = 2 } } } } },
	};
	const struct iovec part = { &said, 1 };
	int ends[2], memory = lane_memory();

	memcpy(said.own.mac, macs[0], NIC_MAC);
	memcpy(said.other.mac, macs[1], NIC_MAC);
	if (memory < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) ||
	    passing_send(ends[1], &part, 1, memory, 0) != 1 ||
	    shortcut_begin(&shortcut, &said, ends[0]))
		abort();
	close(memory);
	other = ends[1];
}

static void end(void)
{
	shortcut_end(shortcut);
	close(other);
}

/* The next of them, `most` at most, and how many there are. */
static size_t next_bytes(struct words *words, size_t most,
			 const uint8_t **bytes)
{
	const size_t count = words->left < most ? words->left : most;

	*bytes = words->data;
	words->data += count;
	words->left -= count;
	return count;
}

static void take_frames(void)
{
	static uint8_t bytes[NIC_FRAME_MAX];
	struct nic_frame frame;

	for (unsigned int i = 0;
	     i < 64 && shortcut_peek(shortcut, &frame) == LANE_FRAME; i++) {
		if (frame.spans) {
			nic_frame_read(&frame, 0, bytes, frame.size);
			if (memcmp(bytes, macs[0], NIC_MAC) ||
			    memcmp(bytes + NIC_MAC, macs[1], NIC_MAC))
				abort();
			sink += bytes[frame.size - 1];
		}
		shortcut_take(shortcut, &frame);
	}
	shortcut_taken(shortcut);
}

/* One that the other could send, but for a few bytes. */
static void put_frame(struct words *words)
{
	struct lane ring = *shortcut->in;
	const uint8_t kind = (uint8_t)next_word(words, 1), *bytes;
	const struct nic_frame frame = {
		.size = 34 + (uint32_t)next_word(words, 1) % 200,
	};
	uint8_t *to, *ip;
	size_t count;

	ring.own = atomic_load(&ring.shared->head);
	to = lane_place(&ring, frame.size);
	if (!to)
		return;
	ip = to + PACKET_ETHERNET;
	memset(to, 0, frame.size);
	memcpy(to, macs[0], NIC_MAC);
	memcpy(to + NIC_MAC, macs[1], NIC_MAC);
	packet_put16(to + 12, kind & 1 ? PACKET_TYPE_IP4 : PACKET_TYPE_IP6);
	ip[0] = kind & 1 ? 0x45 : 0x60;
	if (kind & 1) {
		ip[IP4_PROTOCOL] = PACKET_PROTOCOL_TCP;
		packet_put32(ip + IP4_SOURCE, 0x0a000002);
	} else if (frame.size >= PACKET_ETHERNET + PACKET_IP6) {
		ip[IP6_NEXT] = PACKET_PROTOCOL_UDP;
		memcpy(ip + IP6_SOURCE, &shortcut->other.address6[0], 16);
	}
	if (kind & 2) {
		count = next_bytes(words, 1 + kind / 64, &bytes);
		memcpy(to + kind % 24, bytes, count);
	}
	lane_put(&ring, &frame);
}

/* What the other may write: anywhere near where is looked, most of all. */
static void write_bytes(struct words *words)
{
	struct lane *ring = shortcut->in;
	const uint8_t *bytes;
	size_t count = next_bytes(words, 16, &bytes);

	memcpy(ring->bytes + (ring->own & (ring->size - 1)), bytes, count);
}

static void send_frame(uint32_t size)
{
	static uint8_t bytes[NIC_FRAME_MAX];
	const struct span span = {
		bytes, NIC_FRAME_MIN + size % (NIC_FRAME_MAX - NIC_FRAME_MIN),
	};
	const struct nic_frame frame = { .span = &span, .spans = 1,
					 .size = (uint32_t)span.size };

	shortcut_send(shortcut, &frame);
	shortcut_flush(shortcut);
}

static void say(struct words *words)
{
	const uint8_t *bytes;
	size_t count = next_bytes(words, 4, &bytes);

	send(other, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	shortcut_hear(shortcut);
}

static void step(struct words *words)
{
	switch (next_word(words, 1) % 8) {
	case 0:
		atomic_store(&shortcut->in->shared->head,
			     (uint32_t)next_word(words, 4));
		break;
	case 1:
		atomic_store(&shortcut->out->shared->tail,
			     (uint32_t)next_word(words, 4));
		break;
	case 2:
		write_bytes(words);
		break;
	case 3:
		send_frame((uint32_t)next_word(words, 4));
		break;
	case 4:
		say(words);
		break;
	case 5:
		take_frames();
		break;
	default:
		put_frame(words);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words words = { data, size };

	begin();
	while (words.left)
		step(&words);
	take_frames();
	end();
	return 0;
}
