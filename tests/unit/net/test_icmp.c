/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors on their way to a guest: which ones are mended. That they are what a
 * guest takes then is tested with libslirp (test_slirp.c).
 */
#include "net/icmp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "net/sum.h"

#define IP   14
#define ICMP 54
#define MOST (IP + 1280u)

static struct icmp_host host;
static uint8_t frame[4000], copy[ICMP_LONG];

static int setup(void **state)
{
	inet_pton(AF_INET, "10.0.2.2", &host.host);
	inet_pton(AF_INET6, "fd00::2", &host.host6);
	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 37 + 5);
	return 0;
}

/* What ICMP says, in IPv6; only what is looked at is there. */
static void over6(const char *from, uint8_t type)
{
	memcpy(frame + 12, "\x86\xdd\x60", 3);
	frame[IP + 6] = IPPROTO_ICMPV6;
	inet_pton(AF_INET6, from, frame + IP + 8);
	frame[ICMP] = type;
}

static void over4(const char *from)
{
	memcpy(frame + 12, "\x08\x00\x45", 3);
	frame[IP + 9] = IPPROTO_ICMP;
	inet_pton(AF_INET, from, frame + IP + 12);
}

/* From a copy without a byte behind it; 0: it stays as it is. */
static size_t mended(size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	size_t length = size;
	const void *out;

	memcpy(exact, frame, size);
	memset(copy, 0, sizeof(copy));
	out = icmp_mend(&host, exact, &length, copy);
	assert_memory_equal(exact, frame, size);
	assert_true(out == copy || (out == exact && length == size));
	free(exact);
	return out == copy ? length : 0;
}

static void loopback4(void **state)
{
	over4("127.0.0.1");
	for (size_t size = 0; size < 1600; size++)
		assert_int_equal(mended(size), size >= IP + 28 &&
				 size <= ICMP_LONG ? size : 0);
	assert_int_equal(mended(100), 100);
	assert_memory_equal(copy + IP + 12, &host.host, 4);
	assert_int_equal(sum_end(sum_more(0, copy + IP, 20)), 0);
	assert_memory_equal(copy, frame, IP + 10);
	assert_memory_equal(copy + IP + 16, frame + IP + 16, 100 - IP - 16);
}

static void others4(void **state)
{
	over4("10.0.2.2");
	assert_int_equal(mended(100), 0);
	over4("127.0.0.1");
	frame[IP] = 0x46;
	assert_int_equal(mended(100), 0);
	over4("127.0.0.1");
	frame[IP + 9] = IPPROTO_UDP;
	assert_int_equal(mended(100), 0);
	over4("127.0.0.1");
	frame[13] = 6;
	assert_int_equal(mended(100), 0);
}

static void loopback6(void **state)
{
	over6("::1", 1);
	for (size_t size = 0; size < sizeof(frame); size++)
		assert_int_equal(mended(size), size < ICMP + 8 ? 0 :
				 size > MOST ? MOST : size);
	assert_int_equal(mended(ICMP + 8 + 49), ICMP + 8 + 49);
	assert_memory_equal(copy + IP + 8, &host.host6, 16);
	assert_int_equal(copy[IP + 4] << 8 | copy[IP + 5], 8 + 49);
	assert_memory_equal(copy + ICMP + 4, frame + ICMP + 4, 4 + 49);
}

/* Of others alone those that are too long, and they keep their source. */
static void others6(void **state)
{
	over6("2001:db8::1", 1);
	assert_int_equal(mended(MOST), 0);
	assert_int_equal(mended(MOST + 1), MOST);
	assert_memory_equal(copy + IP + 8, frame + IP + 8, 32);
	assert_int_equal(copy[IP + 4] << 8 | copy[IP + 5], 1240);
	/* An answer to a ping may be long, and what is not ICMP no error. */
	over6("::1", 129);
	assert_int_equal(mended(3000), 0);
	over6("::1", 1);
	frame[IP + 6] = IPPROTO_TCP;
	assert_int_equal(mended(3000), 0);
	over6("::1", 1);
	frame[IP] = 0x45;
	assert_int_equal(mended(3000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(loopback4, setup),
		cmocka_unit_test_setup(others4, setup),
		cmocka_unit_test_setup(loopback6, setup),
		cmocka_unit_test_setup(others6, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
