/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and ports as people write them, and who has a port.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"

static void networks(void **state)
{
	static const char *const bad[] = {
		"", "10.0.2.0", "10.0.2.0/", "10.0.2.0/0", "10.0.2.0/33",
		"10.0.2.0/24x", "10.0.2.1/24", "10.0.2/24", "/24",
		"10.0.2.0/+24", "fd00::/24", "10.0.2.0/4294967320",
	};
	struct in6_addr in6;
	unsigned int bits;
	uint32_t network;

	assert_true(address_parse_net4("10.0.2.0/24", &network, &bits));
	assert_int_equal(network, 0x0a000200);
	assert_int_equal(bits, 24);
	assert_true(address_parse_net4("192.168.7.32/27", &network, &bits));
	assert_true(address_parse_net4("192.0.2.7/32", &network, &bits));
	assert_true(address_parse_net4("128.0.0.0/1", &network, &bits));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_parse_net4(bad[i], &network, &bits));
	assert_true(address_parse_net6("fd00:7::/64", &in6, &bits));
	assert_true(address_parse_net6("::1/128", &in6, &bits));
	assert_false(address_parse_net6("fd00:7::1/64", &in6, &bits));
	assert_false(address_parse_net6("fd00:7::/129", &in6, &bits));
	assert_false(address_parse_net6("10.0.2.0/24", &in6, &bits));
}

static void macs(void **state)
{
	static const char *const bad[] = {
		"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:567",
		"52-54-00-12-34-56", "52:54:00:12:34:5g", "00:00:00:00:00:00",
		"01:00:5e:00:00:01", "52:54:00:12:34:56:", "5254:00:12:34:56:0",
	};
	char text[ADDRESS_MAC];
	uint8_t mac[NIC_MAC];

	assert_true(address_parse_mac("52:54:00:aB:34:56", mac));
	assert_string_equal(address_mac(text, mac), "52:54:00:ab:34:56");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_parse_mac(bad[i], mac));
}

static void made_macs(void **state)
{
	uint8_t a[NIC_MAC], b[NIC_MAC];

	net_make_mac(a, "web", 0);
	net_make_mac(b, "web", 0);
	assert_memory_equal(a, b, NIC_MAC);
	assert_int_equal(a[0] & 3, 2); /* local, of one card */
	net_make_mac(b, "web", 1);
	assert_memory_not_equal(a, b, NIC_MAC);
	net_make_mac(b, "web2", 0);
	assert_memory_not_equal(a, b, NIC_MAC);
}

static void ports(void **state)
{
	static const char *const good[] = {
		"8080:80", "1:65535", "5353:53/udp", "127.0.0.1:8080:80",
		"[::1]:8080:80", "*:8080:80/udp",
	};
	static const char *const bad[] = {
		"", "80", "80:", ":80", "0:80", "80:0", "65536:80", "80:65536",
		"80:80/", "80:80/sctp", "80:80:80:80", "::1:80:80", "[::1:80:80",
		"[::1]80:80", "host:80:80", "[*:80:80", "-1:80", "8080:80 ",
		"0x50:80", "999999999999:80", ":8080:80", "[]:8080:80",
	};
	struct net_publish publish;
	char text[ADDRESS_PUBLISH];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(address_parse_publish(good[i], &publish));
		assert_string_equal(address_publish(text, &publish), good[i]);
	}
	assert_true(address_parse_publish("80:80/tcp", &publish));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_parse_publish(bad[i], &publish));
}

static const char *host_text(const struct sockaddr_storage *host, char *text)
{
	const void *in = host->ss_family == AF_INET6 ?
				 (const void *)&((const struct sockaddr_in6 *)
							 host)->sin6_addr :
				 (const void *)&((const struct sockaddr_in *)
							 host)->sin_addr;

	return inet_ntop(host->ss_family, in, text, NET_ADDRESS);
}

static void listening(void **state)
{
	struct sockaddr_storage host[ADDRESS_HOSTS];
	struct net_publish publish;
	char text[NET_ADDRESS];

	address_parse_publish("8080:80", &publish);
	assert_int_equal(address_hosts(&publish, host), 2);
	assert_string_equal(host_text(&host[0], text), "127.0.0.1");
	assert_string_equal(host_text(&host[1], text), "::1");
	assert_int_equal(((struct sockaddr_in *)&host[0])->sin_port,
			 htons(8080));
	address_parse_publish("*:8080:80", &publish);
	assert_int_equal(address_hosts(&publish, host), 2);
	assert_string_equal(host_text(&host[0], text), "0.0.0.0");
	assert_string_equal(host_text(&host[1], text), "::");
	address_parse_publish("[fd00::5]:8080:80", &publish);
	assert_int_equal(address_hosts(&publish, host), 1);
	assert_string_equal(host_text(&host[0], text), "fd00::5");
	assert_int_equal(address_size(&host[0]), sizeof(struct sockaddr_in6));
	address_parse_publish("192.0.2.1:8080:80", &publish);
	assert_int_equal(address_hosts(&publish, host), 1);
	assert_string_equal(host_text(&host[0], text), "192.0.2.1");
}

static void expect_holder(bool udp)
{
	struct sockaddr_storage host[ADDRESS_HOSTS];
	struct net_publish publish;
	socklen_t size = sizeof(host[0]);
	char text[ADDRESS_HOLDER], mine[40];
	int fd;

	address_parse_publish("1:1", &publish);
	address_hosts(&publish, host);
	((struct sockaddr_in *)&host[0])->sin_port = 0;
	fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&host[0],
			      sizeof(struct sockaddr_in)), 0);
	assert_true(udp || !listen(fd, 1));
	assert_int_equal(getsockname(fd, (struct sockaddr *)&host[0], &size),
			 0);
	address_holder(text, &host[0], udp);
	snprintf(mine, sizeof(mine), "(process %d)", getpid());
	assert_non_null(strstr(text, mine));
	close(fd);
}

static void holders(void **state)
{
	expect_holder(false);
	expect_holder(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(macs),
		cmocka_unit_test(made_macs),
		cmocka_unit_test(ports),
		cmocka_unit_test(listening),
		cmocka_unit_test(holders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
