/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames two cards may exchange without their switch: their own TCP and
 * UDP, and nothing that the switch would look into, answer or refuse.
 */
#include "net/switch/claims.h"

#include <string.h>

#include "fake/test.h"
#include "net/switch/packet.h"

#define IP	     PACKET_ETHERNET
#define OWN	     0x0a010010u
#define SIZE	     120u
#define MORE_OPTIONS 15u /* words of an IPv4 header, at most */

static struct claims from;
static uint8_t to[NIC_MAC] = { 0x52, 0x54, 0, 0, 0, 2 };
static uint8_t frame[SIZE];

static bool passes(void)
{
	return claims_pass(&from, to, frame, CLAIMS_HEAD);
}

/* A segment of TCP, from the second of the addresses. */
static void make4(void)
{
	uint8_t *ip = frame + IP;

	memset(frame, 0, sizeof(frame));
	memcpy(frame, to, NIC_MAC);
	memcpy(frame + NIC_MAC, from.mac, NIC_MAC);
	packet_put16(frame + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	ip[IP4_PROTOCOL] = PACKET_PROTOCOL_TCP;
	packet_put16(ip + IP4_FRAGMENT, 0x4000); /* not to be cut */
	packet_put32(ip + IP4_SOURCE, OWN + 1);
	packet_put16(ip + PACKET_IP4, 1234);
	packet_put16(ip + PACKET_IP4 + 2, 80);
}

static void make6(void)
{
	uint8_t *ip = frame + IP;

	make4();
	memset(ip, 0, SIZE - IP);
	packet_put16(frame + 12, PACKET_TYPE_IP6);
	ip[0] = 0x60;
	ip[IP6_NEXT] = PACKET_PROTOCOL_TCP;
	memcpy(ip + IP6_SOURCE, &from.address6[1], 16);
	packet_put16(ip + PACKET_IP6, 1234);
	packet_put16(ip + PACKET_IP6 + 2, 80);
}

static int setup(void **state)
{
	static const uint8_t six[2][2] = { { 0xfe, 0x80 }, { 0xfd, 0 } };

	from = (struct claims){ .mac = { 0x52, 0x54, 0, 0, 0, 1 },
				.address4 = { OWN, OWN + 1 } };
	for (unsigned int i = 0; i < 2; i++) {
		memcpy(&from.address6[i], six[i], 2);
		from.address6[i].s6_addr[15] = 1;
	}
	return 0;
}

static void test_ip4(void **state)
{
	uint8_t *ip = frame + IP;

	make4();
	assert_true(passes());
	packet_put32(ip + IP4_SOURCE, OWN);
	assert_true(passes());
	packet_put32(ip + IP4_SOURCE, OWN + 2);
	assert_false(passes());
	packet_put32(ip + IP4_SOURCE, 0); /* a free place is no address */
	assert_false(passes());

	make4();
	packet_put16(ip + IP4_FRAGMENT, 0x2000); /* the first of several */
	assert_false(passes());
	packet_put16(ip + IP4_FRAGMENT, 1);
	assert_false(passes());

	make4();
	ip[0] = 0x65;
	assert_false(passes());
	ip[0] = 0x44;
	assert_false(passes());
	ip[0] = 0x40 | MORE_OPTIONS;
	assert_true(passes());
	assert_false(claims_pass(&from, to, frame, CLAIMS_HEAD - 1));
	ip[0] = 0x45;
	assert_true(claims_pass(&from, to, frame, IP + PACKET_IP4 + 4));
	assert_false(claims_pass(&from, to, frame, IP + PACKET_IP4 + 3));
	assert_false(claims_pass(&from, to, frame, IP + PACKET_IP4 - 1));

	ip[IP4_PROTOCOL] = PACKET_PROTOCOL_ICMP;
	assert_false(passes());
}

static void test_ip6(void **state)
{
	uint8_t *ip = frame + IP;

	make6();
	assert_true(passes());
	memcpy(ip + IP6_SOURCE, &from.address6[0], 16);
	assert_true(passes());
	ip[IP6_SOURCE + 15] = 9;
	assert_false(passes());
	memset(ip + IP6_SOURCE, 0, 16);
	assert_false(passes());

	make6();
	ip[0] = 0x40;
	assert_false(passes());
	make6();
	assert_true(claims_pass(&from, to, frame, IP + PACKET_IP6 + 4));
	assert_false(claims_pass(&from, to, frame, IP + PACKET_IP6 + 3));
	assert_false(claims_pass(&from, to, frame, IP + PACKET_IP6 - 1));
	ip[IP6_NEXT] = PACKET_PROTOCOL_ICMP6;
	assert_false(passes());
	ip[IP6_NEXT] = PACKET_PROTOCOL_FRAGMENT;
	assert_false(passes());
	ip[IP6_NEXT] = 0; /* options, hop by hop */
	assert_false(passes());
}

/* The switch answers names and DHCP, and lets nobody else be such a server. */
static void test_services(void **state)
{
	static const uint16_t services[] = { PACKET_DNS, PACKET_DHCP_SERVER,
					     PACKET_DHCP6_SERVER };

	for (unsigned int six = 0; six < 2; six++) {
		uint8_t *ports = frame + IP + (six ? PACKET_IP6 : PACKET_IP4);

		for (unsigned int i = 0; i < 3; i++) {
			if (six)
				make6();
			else
				make4();
			packet_put16(ports + 2, services[i]);
			assert_true(passes()); /* TCP */
			frame[IP + (six ? IP6_NEXT : IP4_PROTOCOL)] =
				PACKET_PROTOCOL_UDP;
			assert_false(passes());
			packet_put16(ports + 2, 5000);
			assert_true(passes());
			packet_put16(ports, services[i]);
			assert_false(passes());
		}
	}
}

static void test_ethernet(void **state)
{
	make4();
	frame[5] ^= 1; /* to another card */
	assert_false(passes());
	make4();
	memset(frame, 255, NIC_MAC); /* to all */
	assert_false(passes());
	make4();
	frame[NIC_MAC + 5] ^= 4; /* from another card */
	assert_false(passes());
	make4();
	packet_put16(frame + 12, PACKET_TYPE_ARP);
	assert_false(passes());
	packet_put16(frame + 12, 0x8100); /* with a tag */
	assert_false(passes());
	make4();
	assert_false(claims_pass(&from, to, frame, PACKET_ETHERNET - 1));
	assert_false(claims_pass(&from, to, frame, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ip4, setup),
		cmocka_unit_test_setup(test_ip6, setup),
		cmocka_unit_test_setup(test_services, setup),
		cmocka_unit_test_setup(test_ethernet, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
