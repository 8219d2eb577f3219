/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network card as it is controlled: filters, offloads, several queues,
 * link and announcement.
 */
#include <stdio.h>

#include "net_rig.h"

/* --- filters and offloads --------------------------------------------------------- */

/* Whether a frame to this address gets through. */
static bool hears(const char *mac)
{
	uint64_t before = atomic_load(&card->nic.received.frames);
	uint8_t to[64] = { 0 };
	unsigned int v[6];

	sscanf(mac, "%x:%x:%x:%x:%x:%x", &v[0], &v[1], &v[2], &v[3], &v[4],
	       &v[5]);
	for (unsigned int i = 0; i < 6; i++)
		to[i] = (uint8_t)v[i];
	offer_room(0, 100);
	assert_true(fake_net_give(&net, to, 60));
	return atomic_load(&card->nic.received.frames) > before;
}

#define ME	  "52:54:00:12:34:56"
#define OTHER	  "52:54:00:12:34:57"
#define GROUP	  "01:00:5e:00:00:01"
#define ALL	  "ff:ff:ff:ff:ff:ff"

static void hears_all_unasked(void **state)
{
	start(0);
	assert_true(hears(ME) && hears(OTHER) && hears(GROUP) && hears(ALL));
}

static void receive_modes(void **state)
{
	const uint8_t on = 1, off = 0;

	start(CTRL);
	assert_true(hears(ME) && hears(ALL));
	assert_false(hears(OTHER) || hears(GROUP));
	assert_int_equal(command(0, 0, &on, 1), 0);
	assert_true(hears(OTHER) && hears(GROUP));
	assert_int_equal(command(0, 0, &off, 1), 0);
	assert_int_equal(command(0, 1, &on, 1), 0);
	assert_true(hears(GROUP) && !hears(OTHER));
	assert_int_equal(command(0, 2, &on, 1), 0);
	assert_true(hears(OTHER));
	assert_int_equal(command(0, 3, &on, 1), 0);
	assert_true(!hears(GROUP) && hears(ALL));
	assert_int_equal(command(0, 4, &on, 1), 0);
	assert_false(hears(ME));
	assert_int_equal(command(0, 5, &on, 1), 0);
	assert_false(hears(ALL));
	assert_int_equal(command(0, 6, &on, 1), 1);
	assert_int_equal(command(0, 0, "ab", 2), 1);
	assert_int_equal(command(0, 0, NULL, 0), 1);
}

static void address_table(void **state)
{
	static const uint8_t table[] = {
		1, 0, 0, 0, 0x52, 0x54, 0, 0x12, 0x34, 0x57,
		1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1,
	};
	static const uint8_t none[8];
	static uint8_t many[8 + 65 * NIC_MAC];

	start(CTRL);
	assert_int_equal(command(1, 0, table, sizeof(table)), 0);
	assert_true(hears(ME) && hears(OTHER) && hears(GROUP) && hears(ALL));
	assert_false(hears("52:54:00:12:34:58") || hears("01:00:5e:00:00:02"));
	/* Cut off, or too long: the old one stays. */
	for (uint32_t i = 0; i < sizeof(table); i++)
		assert_int_equal(command(1, 0, table, i), 1);
	memcpy(many, table, sizeof(table));
	assert_int_equal(command(1, 0, many, sizeof(table) + 1), 1);
	memset(many, 0xff, 4);
	assert_int_equal(command(1, 0, many, sizeof(table)), 1);
	assert_true(hears(OTHER));
	assert_int_equal(command(1, 0, none, sizeof(none)), 0);
	assert_false(hears(OTHER) || hears(GROUP));
	/* More than we list: all of the kind. */
	memset(many, 0, sizeof(many));
	many[0] = 65;
	assert_int_equal(command(1, 0, many, sizeof(many)), 0);
	assert_true(hears(OTHER) && !hears(GROUP));
}

static void own_address(void **state)
{
	static const uint8_t mac[] = { 2, 0, 0, 0, 0, 9 };

	start(CTRL);
	assert_int_equal(command(1, 1, mac, 6), 1); /* not agreed upon */
	start(CTRL | NET_F_CTRL_MAC_ADDR);
	assert_int_equal(command(1, 1, mac, 5), 1);
	assert_int_equal(command(1, 1, mac, 6), 0);
	assert_true(hears("02:00:00:00:00:09"));
	assert_false(hears(ME));
	assert_int_equal(driver_config(&driver, 5, 1), 9);
	start(CTRL);
	assert_true(hears(ME)); /* as it was, after a reset */
	assert_int_equal(driver_config(&driver, 5, 1), 0x56);
}

static bool hears_vlan(unsigned int vlan)
{
	uint64_t before = atomic_load(&card->nic.received.frames);

	frame[12] = 0x81;
	frame[13] = 0;
	frame[14] = (uint8_t)(0xe0 | vlan >> 8);
	frame[15] = (uint8_t)vlan;
	offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 60));
	return atomic_load(&card->nic.received.frames) > before;
}

static void vlans(void **state)
{
	const uint16_t vlan = 0x123, beyond = 4096;

	start(CTRL);
	assert_true(hears_vlan(0x123)); /* nobody asked for a filter */
	start(CTRL | NET_F_CTRL_VLAN);
	assert_false(hears_vlan(0x123));
	assert_int_equal(command(2, 0, &vlan, 2), 0);
	assert_true(hears_vlan(0x123));
	assert_false(hears_vlan(0x124));
	assert_true(hears(ME)); /* without a tag */
	assert_int_equal(command(2, 1, &vlan, 2), 0);
	assert_false(hears_vlan(0x123));
	assert_int_equal(command(2, 0, &beyond, 2), 1);
	assert_int_equal(command(2, 2, &vlan, 2), 1);
}

static void offloads(void **state)
{
	uint64_t bits = NET_F_GUEST_CSUM;

	start(CTRL | NET_F_CTRL_OFFLOADS | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4);
	assert_int_equal(atomic_load(&card->nic.can),
			 NIC_CAN_SUM | NIC_CAN_TCP4);
	assert_int_equal(command(5, 0, &bits, 8), 0);
	assert_int_equal(atomic_load(&card->nic.can), NIC_CAN_SUM);
	bits |= NET_F_GUEST_TSO6; /* not agreed upon */
	assert_int_equal(command(5, 0, &bits, 8), 1);
	bits = 0;
	assert_int_equal(command(5, 0, &bits, 4), 1);
	assert_int_equal(command(5, 0, &bits, 8), 0);
	assert_int_equal(atomic_load(&card->nic.can), 0);
}

static void bad_commands(void **state)
{
	const struct driver_desc shorter[] = { { CT_AT, 1, 0 },
					       { ACK_AT, 1, VIRTQ_WRITE } };

	start(CTRL);
	assert_int_equal(command(6, 0, NULL, 0), 1);
	assert_int_equal(command(255, 255, frame, 100), 1);
	assert_int_equal(command(4, 0, "\2\0", 2), 1); /* no MQ */
	assert_int_equal(command(3, 0, NULL, 0), 1);
	assert_int_equal(command(2, 0, "\2\0", 2), 1);
	assert_int_equal(driver_status(&driver), 0x0f);
	driver_offer(&driver, 2, shorter, 2);
	driver_notify(&driver, 2);
	assert_int_equal(driver_status(&driver), 0x4f);
}

/* --- several queues --------------------------------------------------------------- */

/* UDP from `from` to `to`, of two hosts. */
static void udp(uint8_t *f, uint8_t from, uint8_t to)
{
	memset(f, 0, 64);
	f[12] = 0x08;
	f[14] = 0x45;
	f[23] = 17;
	f[26 + 3] = from;
	f[30 + 3] = to;
	f[34 + 1] = from;
	f[36 + 1] = to;
}

/* A flow is received where it was sent, once the driver has heard of it. */
static void steering(void **state)
{
	const struct header plain = { 0 };
	const uint16_t pairs = 2, none = 0, many = 3;
	uint8_t f[64];
	uint32_t written;
	uint16_t id;

	offered = 0;
	start(CTRL | NET_F_MQ);
	assert_int_equal(command(4, 0, &none, 2), 1);
	assert_int_equal(command(4, 0, &many, 2), 1);
	assert_int_equal(command(4, 0, &pairs, 2), 0);
	assert_int_equal(command(0, 0, "\1", 1), 0);
	udp(f, 1, 2);
	driver_poke(&driver, TX_AT, &plain, HEADER);
	driver_poke(&driver, TX_AT + HEADER, f, 64);
	driver_offer(&driver, 3, &(struct driver_desc){ TX_AT, 76, 0 }, 1);
	driver_notify(&driver, 3);
	assert_true(driver_take(&driver, 3, &id, &written));
	assert_int_equal(fake_net_last(&net)->queue, 1);
	offer_room(0, 100);
	offer_room(2, 100);
	udp(f, 2, 1);
	assert_true(fake_net_give(&net, f, 64));
	assert_true(nothing(0));
	assert_int_equal(collect(2, 1, 0), 76);
	udp(f, 9, 1);
	assert_true(fake_net_give(&net, f, 64));
	assert_int_equal(collect(0, 0, 0), 76);
	/* One pair again: all goes there. */
	assert_int_equal(command(4, 0, "\1\0", 2), 0);
	offer_room(0, 100);
	udp(f, 2, 1);
	assert_true(fake_net_give(&net, f, 64));
	assert_int_equal(collect(0, 2, 0), 76);
}

/* --- link, announcement -------------------------------------------------------------- */

static void link_changes(void **state)
{
	const struct header plain = { 0 };
	struct nic *nic = net.net.nic;

	start(NET_F_STATUS);
	nic->ops->link(nic, true);
	assert_int_equal(rig.sent_count, 0); /* no news */
	nic->ops->link(nic, false);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(driver_config(&driver, 6, 2), 0);
	assert_false(transmit(&plain, 60));
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(atomic_load(&nic->sent.dropped), 1);
	assert_int_equal(atomic_load(&nic->received.dropped), 1);
	nic->ops->link(nic, true);
	assert_int_equal(driver_config(&driver, 6, 2), 1);
	assert_true(transmit(&plain, 60));
}

static void announces(void **state)
{
	struct nic *nic = net.net.nic;

	start(CTRL | NET_F_STATUS);
	nic->ops->announce(nic);
	assert_int_equal(driver_config(&driver, 6, 2), 1);
	start(CTRL | NET_F_STATUS | NET_F_GUEST_ANNOUNCE);
	nic->ops->announce(nic);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(driver_config(&driver, 6, 2), 3);
	assert_int_equal(command(3, 0, "x", 1), 1);
	assert_int_equal(command(3, 1, NULL, 0), 1);
	assert_int_equal(command(3, 0, NULL, 0), 0);
	assert_int_equal(driver_config(&driver, 6, 2), 1);
	assert_int_equal(command(3, 0, NULL, 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hears_all_unasked),
		TEST(receive_modes),
		TEST(address_table),
		TEST(own_address),
		TEST(vlans),
		TEST(offloads),
		TEST(bad_commands),
		BOTH(steering),
		TEST(link_changes),
		TEST(announces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
