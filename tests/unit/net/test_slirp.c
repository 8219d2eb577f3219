/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack of the mode "user", libslirp and what is around it: frames of a
 * guest's in, frames for it out, sockets of the host's loopback between them.
 * A wait that has no end fails by the limit of the test.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/host.h"
#include "fake/test.h"
#include "net/flow.h"
#include "net/sum.h"
#include "net/user.h"

#define ETHERNET 14u
#define IP6	 40u
#define LARGE	 1452u /* data of a datagram, as much as an MTU of 1500 has room for */
#define FRAMES	 64u

static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 1 };

static struct user_plan plan;
static struct in_addr guest;
static struct user_stack *stack;
static int there = -1; /* a socket of this host's */
static struct sockaddr_in6 at6;
static struct sockaddr_in at4;

static struct {
	uint8_t frame[2048];
	size_t size;
} got[FRAMES];
static unsigned int got_count;

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* --- the guest ----------------------------------------------------------------- */

static void guest_gets(void *ctx, const void *frame, size_t size)
{
	assert_true(got_count < FRAMES && size <= sizeof(got[0].frame));
	memcpy(got[got_count].frame, frame, size);
	got[got_count++].size = size;
}

/* Of what an IPv6 packet of `size` bytes carries, with the pseudo header. */
static uint64_t sum6(const uint8_t *ip, size_t size)
{
	uint8_t pseudo[4] = { 0, ip[6] };
	uint64_t sum = sum_more(0, ip + 8, 32);

	put16(pseudo + 2, (unsigned int)(size - IP6));
	return sum_more(sum_more(sum, pseudo, 4), ip + IP6, size - IP6);
}

static void send_frame(const uint8_t *frame, size_t size)
{
	user_net_stack.input(stack, frame, size);
	user_net_stack.flush(stack);
}

/* The guest's address, as who asks for the router's tells it. */
static void say_hello(void)
{
	uint8_t arp[42] = { [12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 };
	uint8_t ask[86] = { [12] = 0x86, 0xdd, 0x60, [18] = 0, 32, 58, 255,
			    [54] = 135, [78] = 1, 1 };

	memset(arp, 0xff, 6);
	memcpy(arp + 6, guest_mac, 6);
	memcpy(arp + 22, guest_mac, 6);
	memcpy(arp + 28, &guest, 4);
	memcpy(arp + 38, &plan.host, 4);
	send_frame(arp, sizeof(arp));
	memcpy(ask + 6, guest_mac, 6);
	memcpy(ask + 22, &plan.guest6, 16);
	memcpy(ask + 38, &plan.host6, 16);
	memcpy(ask + 62, &plan.host6, 16);
	memcpy(ask + 80, guest_mac, 6);
	sum_store(ask + 56, sum6(ask + ETHERNET, sizeof(ask) - ETHERNET));
	send_frame(ask, sizeof(ask));
	got_count = 0;
}

static size_t datagram4(uint8_t *frame, size_t size)
{
	uint8_t *ip = frame + ETHERNET;

	memset(frame, 0x5a, ETHERNET + 28 + size);
	memcpy(frame + 6, guest_mac, 6);
	put16(frame + 12, 0x0800);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned int)(28 + size));
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, &guest, 4);
	memcpy(ip + 16, &plan.host, 4);
	sum_store(ip + 10, sum_more(0, ip, 20));
	put16(ip + 20, 4000);
	memcpy(ip + 22, &at4.sin_port, 2);
	put16(ip + 24, (unsigned int)(8 + size));
	return ETHERNET + 28 + size;
}

static size_t datagram6(uint8_t *frame, size_t size)
{
	uint8_t *ip = frame + ETHERNET;

	memset(frame, 0x5a, ETHERNET + IP6 + 8 + size);
	memcpy(frame + 6, guest_mac, 6);
	put16(frame + 12, 0x86dd);
	memset(ip, 0, IP6 + 8);
	ip[0] = 0x60;
	put16(ip + 4, (unsigned int)(8 + size));
	ip[6] = 17;
	ip[7] = 64;
	memcpy(ip + 8, &plan.guest6, 16);
	memcpy(ip + 24, &plan.host6, 16);
	put16(ip + 40, 4000);
	memcpy(ip + 42, &at6.sin6_port, 2);
	put16(ip + 44, (unsigned int)(8 + size));
	sum_store(ip + 46, sum6(ip, IP6 + 8 + size));
	return ETHERNET + IP6 + 8 + size;
}

/* Until the guest has a frame: false, it has none after a while. */
static bool wait_while(int ms)
{
	struct pollfd *fd;
	unsigned int count;
	int timeout, result = 1;

	while (!got_count && result > 0) {
		fd = user_net_stack.wait(stack, &count, &timeout);
		assert_non_null(fd);
		result = poll(fd, count, ms);
		user_net_stack.serve(stack, result);
	}
	return got_count;
}

/* The host tells of so many closed ports a second and no more. */
static void send_until_told(const uint8_t *frame, size_t size)
{
	do {
		send_frame(frame, size);
	} while (!wait_while(100));
}

/* --- one stack ------------------------------------------------------------------ */

static void open_stack(void)
{
	stack = user_net_stack.open(&plan, guest_gets, NULL);
	assert_non_null(stack);
	say_hello();
}

static void close_stack(void)
{
	user_net_stack.close(stack);
}

static int setup(void **state)
{
	plan = (struct user_plan){ .prefix6_length = 64 };
	inet_pton(AF_INET, "10.0.2.0", &plan.network);
	inet_pton(AF_INET, "255.255.255.0", &plan.mask);
	inet_pton(AF_INET, "10.0.2.2", &plan.host);
	inet_pton(AF_INET, "10.0.2.3", &plan.name_server);
	inet_pton(AF_INET, "10.0.2.15", &plan.first);
	inet_pton(AF_INET6, "fd6c:6f64:6765::", &plan.prefix6);
	inet_pton(AF_INET6, "fd6c:6f64:6765::2", &plan.host6);
	inet_pton(AF_INET6, "fd6c:6f64:6765::3", &plan.name_server6);
	inet_pton(AF_INET6, "fd6c:6f64:6765::ff:fe00:1", &plan.guest6);
	guest = plan.first;
	open_stack();
	return 0;
}

static int teardown(void **state)
{
	close_stack();
	if (there >= 0)
		close(there);
	there = -1;
	return 0;
}

static bool listens(int family)
{
	struct sockaddr *at = (struct sockaddr *)&at6;
	socklen_t size = sizeof(at6);

	at6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
				     .sin6_addr = in6addr_loopback };
	at4 = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	if (family == AF_INET) {
		at = (struct sockaddr *)&at4;
		size = sizeof(at4);
	}
	there = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return there >= 0 && !bind(there, at, size) &&
	       !getsockname(there, at, &size);
}

/* Connected to itself: what others send there finds nobody. */
static bool nobody_listens(int family)
{
	return listens(family) &&
	       !connect(there, family == AF_INET ? (struct sockaddr *)&at4 :
						   (struct sockaddr *)&at6,
			family == AF_INET ? sizeof(at4) : sizeof(at6));
}

/* --- nobody there ----------------------------------------------------------------- */

/* The guest is told by the host as it knows it (RFC 792). */
static void closed4(void **state)
{
	uint8_t sent[ETHERNET + 28 + LARGE];
	const uint8_t *ip = got[0].frame + ETHERNET;

	assert_true(nobody_listens(AF_INET));
	send_until_told(sent, datagram4(sent, 100));
	assert_memory_equal(got[0].frame, guest_mac, 6);
	assert_true(got[0].size >= ETHERNET + 28 + 28);
	assert_int_equal(ip[9], IPPROTO_ICMP);
	assert_int_equal(sum_end(sum_more(0, ip, 20)), 0);
	assert_memory_equal(ip + 12, &plan.host, 4);
	assert_memory_equal(ip + 16, &guest, 4);
	assert_int_equal(ip[20], 3);
	assert_int_equal(ip[21], 3);
	assert_int_equal(sum_end(sum_more(0, ip + 20,
					  got[0].size - ETHERNET - 20)), 0);
	assert_memory_equal(ip + 28 + 12, sent + ETHERNET + 12, 16);
}

static void told6(size_t size)
{
	uint8_t sent[ETHERNET + IP6 + 8 + LARGE];
	const uint8_t *ip = got[0].frame + ETHERNET;
	size_t told = IP6 + 8 + size;

	if (told > 1280 - IP6 - 8)
		told = 1280 - IP6 - 8;
	send_until_told(sent, datagram6(sent, size));
	assert_memory_equal(got[0].frame, guest_mac, 6);
	assert_memory_equal(ip + 8, &plan.host6, 16);
	assert_memory_equal(ip + 24, &plan.guest6, 16);
	assert_int_equal(got[0].size, ETHERNET + IP6 + 8 + told);
	assert_int_equal(ip[4] << 8 | ip[5], 8 + told);
	assert_int_equal(ip[6], IPPROTO_ICMPV6);
	assert_int_equal(ip[IP6], 1);
	assert_int_equal(ip[IP6 + 1], 4);
	assert_int_equal(sum_end(sum6(ip, IP6 + 8 + told)), 0);
	assert_memory_equal(ip + IP6 + 8, sent + ETHERNET, told);
}

/* An error as long as it may be (RFC 4443, 2.4 (c)). */
static void closed6(void **state)
{
	static const size_t size[] = { 1, 1184, 1185, LARGE };

	if (!nobody_listens(AF_INET6))
		skip();
	for (unsigned int i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		told6(size[i]);
		close_stack();
		open_stack();
	}
}

/* --- beside libslirp -------------------------------------------------------------- */

/* The host's answer to all that came; a second later the next is libslirp's. */
static void answer(const struct sockaddr_storage *to, socklen_t size)
{
	got_count = 0;
	assert_int_equal(sendto(there, "an answer", 9, 0,
				(const struct sockaddr *)to, size), 9);
	while (!got_count)
		wait_while(-1);
	assert_int_equal(got_count, 1);
}

/* Frames made beside it are those that it makes, but for IPv4's id and sum. */
static void alike(size_t (*datagram)(uint8_t *frame, size_t size), bool v6)
{
	uint8_t sent[ETHERNET + IP6 + 8 + 100], data[200];
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	const size_t whole = datagram(sent, 100);

	send_frame(sent, whole);
	for (unsigned int i = 0; i < 3; i++)
		send_frame(sent, whole);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(recvfrom(there, data, sizeof(data), 0,
					  (struct sockaddr *)&from, &size), 100);
		assert_memory_equal(data, sent + whole - 100, 100);
	}
	answer(&from, size);
	got[1] = got[0];
	fake_time_advance(FLOW_PASS_MS * 1000000ull);
	answer(&from, size);
	if (!v6) {
		assert_int_not_equal(got[1].frame[18] & 0x80, 0);
		memcpy(got[1].frame + 18, got[0].frame + 18, 2);
		memcpy(got[1].frame + 24, got[0].frame + 24, 2);
	}
	assert_int_equal(got[1].size, got[0].size);
	assert_memory_equal(got[1].frame, got[0].frame, got[0].size);
	assert_memory_equal(got[0].frame + got[0].size - 9, "an answer", 9);
}

static void alike4(void **state)
{
	assert_true(listens(AF_INET));
	alike(datagram4, false);
}

static void alike6(void **state)
{
	if (!listens(AF_INET6))
		skip();
	alike(datagram6, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(closed4),
		TEST(closed6),
		TEST(alike4),
		TEST(alike6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
