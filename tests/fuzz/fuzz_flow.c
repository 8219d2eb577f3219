/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes flows of datagrams beside a stack (net/flow.h): whatever a guest
 * sends, and whenever sockets come and go. The host refuses all that is sent
 * beside the stack here, so the stack has to get each frame once, in its turn.
 */
#include "fuzz_device.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/flow.h"

#define FRAMES 256u
#define FLOWS  16u

static struct {
	uint8_t *data;
	size_t size;
} frame[FRAMES];
static unsigned int frames, seen; /* given; that the stack has got */
static struct {
	struct in6_addr from;
	uint16_t port;
	int fd;
} opened[FLOWS];
static unsigned int opened_count;
static struct flows flows;
static int nowhere = -1;

static void open_one(const struct udp_datagram *d)
{
	for (unsigned int i = 0; i < opened_count; i++)
		if (!memcmp(&opened[i].from, &d->from, sizeof(d->from)) &&
		    opened[i].port == d->from_port)
			return;
	if (opened_count == FLOWS)
		return;
	opened[opened_count].from = d->from;
	opened[opened_count].port = d->from_port;
	opened[opened_count].fd = dup(nowhere);
	flow_open(&flows, opened[opened_count++].fd);
}

static void stack_input(void *ctx, const void *data, size_t size)
{
	struct udp_datagram d;

	if (seen >= frames || data != frame[seen].data ||
	    size != frame[seen].size)
		abort();
	seen++;
	if (udp_parse(&d, data, size))
		open_one(&d);
}

/* A socket that fails has nothing for the guest. */
static void guest_gets(void *ctx, const void *data, size_t size)
{
	abort();
}

static void close_one(unsigned int which)
{
	if (!opened_count)
		return;
	which %= opened_count;
	flow_close(&flows, opened[which].fd);
	close(opened[which].fd);
	opened[which] = opened[--opened_count];
}

static void give(void)
{
	const unsigned int last = frames - 1;

	if (flows_input(&flows, frame[last].data, frame[last].size))
		return;
	if (flows.count)
		abort();
	stack_input(NULL, frame[last].data, frame[last].size);
}

static struct in6_addr address(bool v6, uint8_t host)
{
	struct in6_addr six = { .s6_addr = { 0xfd, [15] = host } };

	return v6 ? six
		  : udp_map4((struct in_addr){ htonl(0x0a000200 + host) });
}

/* Few enough of each kind that they are often alike. */
static void give_datagram(const uint8_t word[3])
{
	const bool v6 = word[1] & 8;
	const struct udp_datagram d = {
		.from = address(v6, 15 + (word[0] & 1)),
		.to = address(v6, word[0] >> 1 & 3),
		.from_port = htons(1000 + (word[0] >> 3 & 3)),
		.to_port = htons(52 + (word[0] >> 5 & 1)),
		.v6 = v6,
		.ttl = word[1] & 1 ? 64 : word[1] >> 6,
		.size = 1 + (word[1] >> 4 & 3),
	};
	static const uint8_t mac[UDP_MAC] = { 2 };

	frame[frames].size = udp_heads(v6) + d.size;
	frame[frames].data = calloc(1, frame[frames].size);
	udp_build(frame[frames].data, &d, mac, mac, 0);
	/* Some of them damaged. */
	if (word[2] & 0x80)
		frame[frames].data[word[2] % (udp_heads(v6) + 1)] ^= word[1];
	frames++;
	give();
}

static size_t give_raw(const uint8_t *data, size_t size)
{
	const size_t part = data[0] < size - 1 ? data[0] : size - 1;

	frame[frames].size = part;
	frame[frames].data = malloc(part ? part : 1);
	memcpy(frame[frames++].data, data + 1, part);
	give();
	return part + 1;
}

static void control(uint8_t what)
{
	switch (what & 3) {
	case 0:
		flows.now += what << 2;
		break;
	case 1:
		close_one(what >> 2);
		break;
	case 2:
		flow_leave(&flows, htons(1000 + (what >> 2 & 3)));
		break;
	default:
		flows_send(&flows);
		if (opened_count)
			flow_receive(&flows,
				     opened[(what >> 2) % opened_count].fd);
	}
}

static struct flow_network network(bool v6)
{
	struct flow_network n = {
		.network = address(v6, 0),
		.host = address(v6, 2),
	};

	memset(&n.mask, 0xff, v6 ? 8 : 15);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (nowhere < 0)
		nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	memset(&flows, 0, sizeof(flows));
	flows.ends.v4 = network(false);
	flows.ends.v6 = network(true);
	flows.ends.input = stack_input;
	flows.ends.deliver = guest_gets;
	frames = seen = opened_count = 0;
	while (size > 4 && frames < FRAMES) {
		const uint8_t kind = *data++;
		size_t used = 3;

		size--;
		if (kind < 192)
			give_datagram(data);
		else if (kind < 240)
			used = give_raw(data, size);
		else
			control(data[0]);
		data += used;
		size -= used;
	}
	flows_send(&flows);
	if (seen != frames)
		abort();
	while (opened_count)
		close_one(0);
	flows_close(&flows);
	while (frames)
		free(frame[--frames].data);
	return 0;
}
