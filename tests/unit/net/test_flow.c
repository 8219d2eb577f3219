/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of datagrams beside a stack: the stack is the test's, the sockets are
 * the host's, on its loopback.
 */
#include "net/flow.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"

#define SIZE   100u
#define FRAMES 128u
#define PORT   4000

static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t router_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };

static struct flows flows;
static int server, opened; /* the latter: the stack's */
static uint16_t port;	   /* the server's */
static unsigned int passed; /* through the stack */
static uint8_t frame[FRAMES][UDP_HEADS + 2 * SIZE];
static unsigned int frames; /* that wait for flows_send() */
static uint8_t got[64][UDP_HEADS + 2 * SIZE];
static unsigned int got_count;
static size_t got_size;

/* --- the stack --------------------------------------------------------------- */

static void stack_input(void *ctx, const void *data, size_t size)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = port,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct udp_datagram d;

	passed++;
	if (opened < 0) {
		opened = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		flow_open(&flows, opened);
	}
	if (udp_parse(&d, data, size))
		sendto(opened, d.frame + UDP_HEADS, d.size, 0,
		       (struct sockaddr *)&to, sizeof(to));
}

static void guest_gets(void *ctx, const void *data, size_t size)
{
	assert_true(got_count < 64 && size <= sizeof(got[0]));
	memcpy(got[got_count++], data, size);
	got_size = size;
}

static int setup(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);

	memset(&flows, 0, sizeof(flows));
	inet_pton(AF_INET, "10.0.2.0", &flows.ends.network);
	inet_pton(AF_INET, "255.255.255.0", &flows.ends.mask);
	inet_pton(AF_INET, "10.0.2.2", &flows.ends.host);
	inet_pton(AF_INET, "10.0.2.3", &flows.ends.name_server);
	flows.ends.input = stack_input;
	flows.ends.deliver = guest_gets;
	flows.now = 1000000;
	opened = -1;
	passed = frames = got_count = 0;
	server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(server, (struct sockaddr *)&at, size), 0);
	assert_return_code(getsockname(server, (struct sockaddr *)&at, &size),
			   0);
	port = at.sin_port;
	return 0;
}

static int teardown(void **state)
{
	flows_close(&flows);
	close(server);
	if (opened >= 0)
		close(opened);
	return 0;
}

/* --- the guest ----------------------------------------------------------------- */

/* What a datagram to the server looks like. */
static struct udp_datagram plain(void)
{
	struct udp_datagram d = {
		.from_port = htons(PORT),
		.to_port = port,
		.ttl = 64,
		.size = SIZE,
	};

	inet_pton(AF_INET, "10.0.2.15", &d.from);
	d.to = flows.ends.host;
	return d;
}

/* Its first byte is `number`. */
static void send_like(const struct udp_datagram *d, uint8_t number)
{
	uint8_t *at = frame[frames++ % FRAMES];

	memset(at + UDP_HEADS, number, d->size);
	udp_build(at, d, router_mac, guest_mac, 0);
	flows_input(&flows, at, UDP_HEADS + d->size);
}

static void send_plain(uint8_t number)
{
	const struct udp_datagram d = plain();

	send_like(&d, number);
}

/* The server has datagrams of these numbers, `size` bytes each; no others. */
static void expect(unsigned int first, unsigned int count, ssize_t size)
{
	uint8_t data[2 * SIZE];

	flows_send(&flows);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(recv(server, data, sizeof(data),
				      MSG_DONTWAIT), size);
		assert_int_equal(data[0], first + i);
		assert_int_equal(data[size - 1], first + i);
	}
}

static void expect_nothing(void)
{
	uint8_t byte;

	flows_send(&flows);
	assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), -1);
}

/* --- from the guest --------------------------------------------------------------- */

static void beside(void **state)
{
	send_plain(0);
	assert_int_equal(passed, 1);
	for (unsigned int i = 1; i < 80; i++)
		send_plain((uint8_t)i);
	expect(0, 80, SIZE);
	expect_nothing();
	assert_int_equal(passed, 1);
}

/* Of different sizes: in their order, each as it is. */
static void sizes(void **state)
{
	struct udp_datagram d = plain();

	send_plain(0);
	send_plain(1);
	send_plain(2);
	d.size = SIZE - 1;
	send_like(&d, 3);
	d.size = SIZE + 7;
	send_like(&d, 4);
	send_like(&d, 5);
	d.size = 1;
	send_like(&d, 6);
	send_like(&d, 7);
	send_plain(8);
	expect(0, 3, SIZE);
	expect(3, 1, SIZE - 1);
	expect(4, 2, SIZE + 7);
	expect(6, 2, 1);
	expect(8, 1, SIZE);
	assert_int_equal(passed, 1);
}

/* The stack hears of each change, in its order. */
static void changes(void **state)
{
	struct udp_datagram d = plain();
	uint8_t *at;

	send_plain(0);
	send_plain(1);
	d.ttl = 9;
	send_like(&d, 2);
	assert_int_equal(passed, 2);
	send_like(&d, 3);
	assert_int_equal(passed, 2);
	d.to.s_addr = htonl(INADDR_LOOPBACK);
	send_like(&d, 4);
	send_like(&d, 5);
	assert_int_equal(passed, 3);
	d.from.s_addr++;
	send_like(&d, 6);
	send_like(&d, 7);
	assert_int_equal(passed, 5); /* this stack has one socket alone */
	expect(0, 8, SIZE);
	at = frame[frames++ % FRAMES];
	d = plain();
	memset(at + UDP_HEADS, 8, SIZE);
	udp_build(at, &d, router_mac, router_mac, 0);
	flows_input(&flows, at, UDP_HEADS + SIZE);
	assert_int_equal(passed, 6);
	expect(8, 1, SIZE);
}

static void stacks_own(void **state)
{
	static const char *const to[] = { "10.0.2.3", "10.0.2.255",
					  "255.255.255.255" };
	static const uint16_t to_port[] = { 53, 67, 69 };
	struct udp_datagram d = plain();

	for (unsigned int i = 0; i < 3; i++) {
		inet_pton(AF_INET, to[i], &d.to);
		send_like(&d, 0);
		send_like(&d, 0);
		assert_int_equal(passed, 4 * i + 2);
		d.to = flows.ends.host;
		d.to_port = htons(to_port[i]);
		send_like(&d, 0);
		send_like(&d, 0);
		assert_int_equal(passed, 4 * i + 4);
		d.to_port = port;
	}
}

/* So that the stack does not forget the flow. */
static void once_a_second(void **state)
{
	for (unsigned int second = 0; second < 3; second++) {
		send_plain(0);
		send_plain(1);
		flows.now += FLOW_PASS_MS - 1;
		send_plain(2);
		flows.now += 1;
		assert_int_equal(passed, second + 1);
		expect(0, 3, SIZE);
	}
}

/* A fragment may be of any port, and change where the stack sends it. */
static void fragments(void **state)
{
	uint8_t *at = frame[FRAMES - 1];
	struct udp_datagram d = plain();

	send_plain(0);
	send_plain(1);
	udp_build(at, &d, router_mac, guest_mac, 0);
	at[20] = 0x20;
	assert_false(flows_input(&flows, at, UDP_HEADS + SIZE));
	expect(0, 2, SIZE);
	send_plain(2);
	assert_int_equal(passed, 2);
	send_plain(3);
	at[23] = 6; /* TCP says nothing of them */
	assert_false(flows_input(&flows, at, UDP_HEADS + SIZE));
	send_plain(4);
	assert_int_equal(passed, 2);
	expect(2, 3, SIZE);
}

/* What the host does not take is the stack's, each of it. */
static void refused(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int kept;

	send_plain(0);
	kept = fcntl(opened, F_DUPFD_CLOEXEC, 0);
	dup3(null, opened, O_CLOEXEC);
	send_plain(1);
	send_plain(2);
	send_plain(3);
	flows_send(&flows);
	assert_int_equal(passed, 4);
	/* One at a time, until the stack has had one. */
	dup3(kept, opened, O_CLOEXEC);
	send_plain(1);
	send_plain(2);
	expect(0, 3, SIZE);
	assert_int_equal(passed, 4);
	close(null);
	close(kept);
}

/* --- sockets ----------------------------------------------------------------------- */

static void goes(void **state)
{
	send_plain(0);
	send_plain(1);
	/* What waits goes before its socket does. */
	flow_close(&flows, opened);
	expect(0, 2, SIZE);
	send_plain(2);
	assert_int_equal(passed, 2);
	send_plain(3);
	assert_int_equal(passed, 3);
	flow_close(&flows, opened);
	flow_close(&flows, -1);
	flow_close(&flows, 100000);
	/* None that the stack opens for something else. */
	flow_open(&flows, opened);
	assert_false(flow_receive(&flows, opened));
}

static void left(void **state)
{
	send_plain(0);
	flow_leave(&flows, htons(PORT + 1));
	send_plain(1);
	assert_int_equal(passed, 1);
	flow_leave(&flows, htons(PORT));
	send_plain(2);
	send_plain(3);
	assert_int_equal(passed, 3);
	expect(0, 4, SIZE);
}

/* --- to the guest -------------------------------------------------------------------- */

static void answer_from(int fd, uint8_t number, size_t size)
{
	uint8_t data[2 * SIZE];
	struct sockaddr_in to;
	socklen_t length = sizeof(to);

	getsockname(opened, (struct sockaddr *)&to, &length);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(data, number, sizeof(data));
	assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *)&to,
				length), size);
}

static void answers(void **state)
{
	struct udp_datagram d;

	send_plain(0);
	for (uint8_t i = 0; i < 40; i++)
		answer_from(server, i, SIZE);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, FLOW_BATCH);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 40);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(udp_parse(&d, got[i], UDP_HEADS + SIZE));
		assert_memory_equal(got[i], guest_mac, 6);
		assert_memory_equal(got[i] + 6, router_mac, 6);
		assert_int_equal(d.from.s_addr, flows.ends.host.s_addr);
		assert_int_equal(d.from_port, port);
		assert_int_equal(d.to.s_addr, plain().from.s_addr);
		assert_int_equal(d.to_port, htons(PORT));
		assert_int_equal(d.ttl, 64);
		assert_int_equal(got[i][UDP_HEADS], i);
		assert_int_equal(got[i][UDP_HEADS + SIZE - 1], i);
	}
	/* Nothing waits: it does not either. */
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 40);
	answer_from(server, 0, 0);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 41);
	assert_int_equal(got_size, UDP_HEADS);
}

/* Another one of the host's keeps its address. */
static void another(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct udp_datagram d;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.2", &at.sin_addr);
	assert_return_code(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	send_plain(0);
	answer_from(fd, 1, SIZE);
	assert_true(flow_receive(&flows, opened));
	assert_true(udp_parse(&d, got[0], UDP_HEADS + SIZE));
	assert_int_equal(d.from.s_addr, at.sin_addr.s_addr);
	close(fd);
}

/* When the stack is to have one as well. */
static void not_settled(void **state)
{
	struct udp_datagram d = plain();

	send_plain(0);
	answer_from(server, 1, SIZE);
	flows.now += FLOW_PASS_MS;
	assert_false(flow_receive(&flows, opened));
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 1);
	d.to_port = htons(53);
	send_like(&d, 2);
	assert_false(flow_receive(&flows, opened));
	assert_false(flow_receive(&flows, opened));
	assert_false(flow_receive(&flows, server));
	assert_false(flow_receive(&flows, -1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(beside),	     TEST(sizes),     TEST(changes),
		TEST(stacks_own),    TEST(fragments), TEST(once_a_second),
		TEST(refused),	     TEST(goes),      TEST(left),
		TEST(answers),	     TEST(another),   TEST(not_settled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
