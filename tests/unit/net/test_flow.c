/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of datagrams beside a stack: the stack is the test's, the sockets are
 * the host's, on its loopback.
 */
#include "net/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"

#define SIZE   100u
#define FRAMES 128u
#define PORT   4000
#define ROOM   (UDP_HEADS6 + 2 * SIZE)

static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t router_macs[2][6] = {
	{ 0x52, 0x55, 10, 0, 2, 2 },
	{ 0x52, 0x56, 0, 0, 0, 2 },
};

static bool v6; /* all of it */
static const uint8_t *router_mac;
static uint32_t heads;
static struct flows flows;
static int server, opened; /* the latter: the stack's */
static uint16_t port;	   /* the server's */
static unsigned int passed; /* through the stack */
static uint8_t frame[FRAMES][ROOM];
static unsigned int frames; /* that wait for flows_send() */
static uint8_t got[64][ROOM];
static unsigned int got_count;
static size_t got_size;

/* --- addresses ----------------------------------------------------------------- */

static struct in6_addr address(const char *of4, const char *of6)
{
	struct in6_addr address6;
	struct in_addr address4;

	if (v6) {
		inet_pton(AF_INET6, of6, &address6);
		return address6;
	}
	inet_pton(AF_INET, of4, &address4);
	return udp_map4(address4);
}

static struct in6_addr loopback(void)
{
	return address("127.0.0.1", "::1");
}

/* A socket's; gives its size. */
static socklen_t to_host(union flow_address *at, struct in6_addr of,
			 uint16_t number)
{
	memset(at, 0, sizeof(*at));
	if (v6) {
		at->v6.sin6_family = AF_INET6;
		at->v6.sin6_addr = of;
		at->v6.sin6_port = number;
		return sizeof(at->v6);
	}
	at->v4.sin_family = AF_INET;
	memcpy(&at->v4.sin_addr, of.s6_addr + 12, 4);
	at->v4.sin_port = number;
	return sizeof(at->v4);
}

static int new_socket(void)
{
	return socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Of this address, with any port. */
static int listener(struct in6_addr of)
{
	union flow_address at;
	socklen_t size = to_host(&at, of, 0);
	int fd = new_socket();

	assert_return_code(bind(fd, &at.any, size), errno);
	return fd;
}

static uint16_t port_of(int fd)
{
	union flow_address at;
	socklen_t size = sizeof(at);

	assert_return_code(getsockname(fd, &at.any, &size), 0);
	return v6 ? at.v6.sin6_port : at.v4.sin_port;
}

/* --- the stack --------------------------------------------------------------- */

static void stack_input(void *ctx, const void *data, size_t size)
{
	union flow_address to;
	socklen_t length = to_host(&to, loopback(), port);
	struct udp_datagram d;

	passed++;
	if (opened < 0) {
		opened = new_socket();
		flow_open(&flows, opened);
	}
	if (udp_parse(&d, data, size))
		sendto(opened, d.frame + heads, d.size, 0, &to.any, length);
}

static void guest_gets(void *ctx, const void *data, size_t size)
{
	assert_true(got_count < 64 && size <= sizeof(got[0]));
	memcpy(got[got_count++], data, size);
	got_size = size;
}

static int set_up(bool of_v6)
{
	v6 = of_v6;
	heads = udp_heads(v6);
	router_mac = router_macs[v6];
	memset(&flows, 0, sizeof(flows));
	*(v6 ? &flows.ends.v6 : &flows.ends.v4) = (struct flow_network){
		.network = address("10.0.2.0", "fd00::"),
		.mask = address("255.255.255.0", "ffff:ffff:ffff:ffff::"),
		.host = address("10.0.2.2", "fd00::2"),
	};
	memset(&flows.ends.v4.mask, 0xff, 12);
	flows.ends.input = stack_input;
	flows.ends.deliver = guest_gets;
	flows.now = 1000000;
	opened = -1;
	passed = frames = got_count = 0;
	server = listener(loopback());
	port = port_of(server);
	return 0;
}

static int setup4(void **state)
{
	return set_up(false);
}

static int setup6(void **state)
{
	return set_up(true);
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
		.v6 = v6,
		.ttl = 64,
		.size = SIZE,
		.from = address("10.0.2.15", "fd00::15"),
		.to = address("10.0.2.2", "fd00::2"),
	};

	return d;
}

/* Its first byte is `number`. */
static void send_like(const struct udp_datagram *d, uint8_t number)
{
	uint8_t *at = frame[frames++ % FRAMES];

	memset(at + heads, number, d->size);
	udp_build(at, d, router_mac, guest_mac, 0);
	flows_input(&flows, at, heads + d->size);
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
	d.to = loopback();
	send_like(&d, 4);
	send_like(&d, 5);
	assert_int_equal(passed, 3);
	d.from.s6_addr[15]++;
	send_like(&d, 6);
	send_like(&d, 7);
	assert_int_equal(passed, 5); /* this stack has one socket alone */
	expect(0, 8, SIZE);
	at = frame[frames++ % FRAMES];
	d = plain();
	memset(at + heads, 8, SIZE);
	udp_build(at, &d, router_mac, router_mac, 0);
	flows_input(&flows, at, heads + SIZE);
	assert_int_equal(passed, 6);
	expect(8, 1, SIZE);
}

static void stacks_own(void **state)
{
	static const char *const to[][2] = {
		{ "10.0.2.3", "fd00::3" },
		{ "10.0.2.255", "fd00::ffff:0:0:1" },
		{ "255.255.255.255", "ff02::1" },
		{ "10.0.2.99", "fe80::2" },
	};
	static const uint16_t to_port[] = { 53, 67, 69, 547 };
	struct udp_datagram d = plain();

	for (unsigned int i = 0; i < 4; i++) {
		d.to = address(to[i][0], to[i][1]);
		send_like(&d, 0);
		send_like(&d, 0);
		assert_int_equal(passed, 4 * i + 2);
		d.to = plain().to;
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

/* One that is not whole may be of any port, and change where the stack sends. */
static void damaged(void **state)
{
	uint8_t *at = frame[FRAMES - 1];
	struct udp_datagram d = plain();

	send_plain(0);
	send_plain(1);
	udp_build(at, &d, router_mac, guest_mac, 0);
	if (v6)
		at[18] ^= 1; /* its length */
	else
		at[20] = 0x20; /* a fragment */
	assert_false(flows_input(&flows, at, heads + SIZE));
	expect(0, 2, SIZE);
	send_plain(2);
	assert_int_equal(passed, 2);
	send_plain(3);
	at[v6 ? 20 : 23] = 6; /* TCP says nothing of them */
	assert_false(flows_input(&flows, at, heads + SIZE));
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
	union flow_address to;
	const socklen_t length = to_host(&to, loopback(), port_of(opened));

	memset(data, number, sizeof(data));
	assert_int_equal(sendto(fd, data, size, 0, &to.any, length), size);
}

static void answers(void **state)
{
	const struct udp_datagram asked = plain();
	struct udp_datagram d;

	send_plain(0);
	for (uint8_t i = 0; i < 40; i++)
		answer_from(server, i, SIZE);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, FLOW_BATCH);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 40);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(udp_parse(&d, got[i], heads + SIZE));
		assert_memory_equal(got[i], guest_mac, 6);
		assert_memory_equal(got[i] + 6, router_mac, 6);
		assert_memory_equal(&d.from, &asked.to, 16);
		assert_int_equal(d.from_port, port);
		assert_memory_equal(&d.to, &asked.from, 16);
		assert_int_equal(d.to_port, htons(PORT));
		assert_int_equal(d.ttl, v6 ? 255 : 64);
		assert_int_equal(got[i][heads], i);
		assert_int_equal(got[i][heads + SIZE - 1], i);
	}
	/* Nothing waits: it does not either. */
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 40);
	answer_from(server, 0, 0);
	assert_true(flow_receive(&flows, opened));
	assert_int_equal(got_count, 41);
	assert_int_equal(got_size, heads);
}

/* Another one of the host's keeps its address. */
static void another(void **state)
{
	const struct in6_addr at = address("127.0.0.2", "::1");
	struct udp_datagram d = plain();
	int fd = listener(at);

	d.to = v6 ? loopback() : d.to;
	send_like(&d, 0);
	answer_from(fd, 1, SIZE);
	assert_true(flow_receive(&flows, opened));
	assert_true(udp_parse(&d, got[0], heads + SIZE));
	assert_memory_equal(&d.from, &at, 16);
	assert_int_equal(d.from_port, port_of(fd));
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

#define TEST4(f) cmocka_unit_test_setup_teardown(f, setup4, teardown)
#define TEST6(f) cmocka_unit_test_setup_teardown(f, setup6, teardown)

/* A host may have no IPv6. */
static bool has_loopback6(void)
{
	union flow_address at = { .v6 = { .sin6_family = AF_INET6,
					  .sin6_addr = in6addr_loopback } };
	const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool has = fd >= 0 && !bind(fd, &at.any, sizeof(at.v6));

	if (fd >= 0)
		close(fd);
	return has;
}

int main(void)
{
	const struct CMUnitTest ipv4[] = {
		TEST4(beside),	     TEST4(sizes),	TEST4(changes),
		TEST4(stacks_own),   TEST4(damaged),	TEST4(once_a_second),
		TEST4(refused),	     TEST4(goes),	TEST4(left),
		TEST4(answers),	     TEST4(another),	TEST4(not_settled),
	};
	const struct CMUnitTest ipv6[] = {
		TEST6(beside),	     TEST6(sizes),	TEST6(changes),
		TEST6(stacks_own),   TEST6(damaged),	TEST6(once_a_second),
		TEST6(refused),	     TEST6(goes),	TEST6(left),
		TEST6(answers),	     TEST6(another),	TEST6(not_settled),
	};
	int failed = cmocka_run_group_tests(ipv4, NULL, NULL);

	if (has_loopback6())
		failed += cmocka_run_group_tests(ipv6, NULL, NULL);
	return failed;
}
