/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network card: frames both ways, what they leave open, the control queue,
 * filters, several queues, link, saved state.
 */
#include "virtio/net.h"

#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "fake/roundtrip.h"
#include "fake_net.h"
#include "virtio/net_impl.h"

#define PAIRS 2
#define PACKED VIRTIO_F_RING_PACKED

#define TX_AT	(DRIVER_DATA)
#define RX_AT	(DRIVER_DATA + 0x20000u)
#define RX_STEP 0x1000u
#define CT_AT	(DRIVER_DATA + 0x60000u)
#define ACK_AT	(DRIVER_DATA + 0x6f000u)
#define HEADER	12u

static struct pci_rig rig;
static struct fake_net net;
static struct virtio_net *card;
static struct driver driver;
static uint64_t ring; /* feature */
static uint8_t frame[NIC_FRAME_MAX], back[NIC_FRAME_MAX + HEADER];

static const uint8_t own[NIC_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

struct header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, buffers;
};

static int setup(void **state)
{
	struct virtio_net_config config = {
		.net = &net.net,
		.mtu = 9000,
		.queues = PAIRS,
	};

	ring = 0;
	memcpy(config.mac, own, NIC_MAC);
	fake_net_init(&net);
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_net_create(&card, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_net_pci(card),
				    DRIVER_DEVFN), 0);
	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(frame, own, NIC_MAC);
	frame[12] = 0x08;
	frame[13] = 0;
	return 0;
}

static int setup_packed(void **state)
{
	setup(state);
	ring = PACKED | VIRTIO_F_EVENT_IDX;
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(net.parts, 1);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* With the control queue: all five, else receive and transmit alone. */
static void start(uint64_t features)
{
	driver_start(&driver, &rig, features | ring,
		     features & NET_F_MQ	     ? 2 * PAIRS + 1 :
		     features & NET_F_CTRL_VQ ? 3 :
						       2,
		     16);
	rig.sent_count = 0;
}

/* --- sending ------------------------------------------------------------------ */

static void offer_frame(const struct header *h, uint32_t size)
{
	const struct driver_desc descs[] = {
		{ TX_AT, HEADER, 0 },
		{ TX_AT + HEADER, size, 0 },
	};

	driver_poke(&driver, TX_AT, h, HEADER);
	driver_poke(&driver, TX_AT + HEADER, frame, size);
	driver_offer(&driver, 1, descs, 2);
	driver_notify(&driver, 1);
}

/* Whether the frame was given to the net; it is used in any case. */
static bool transmit(const struct header *h, uint32_t size)
{
	unsigned int before = net.sent;
	uint32_t written;
	uint16_t id;

	offer_frame(h, size);
	assert_true(driver_take(&driver, 1, &id, &written));
	assert_int_equal(written, 0);
	return net.sent > before;
}

static void configuration(void **state)
{
	assert_int_equal(net.starts, 0);
	start(0);
	assert_int_equal(net.starts, 1);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10411af4);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 8, 4), 0x02000001);
	for (unsigned int i = 0; i < NIC_MAC; i++)
		assert_int_equal(driver_config(&driver, i, 1), own[i]);
	assert_int_equal(driver_config(&driver, 6, 2), 1);
	assert_int_equal(driver_config(&driver, 8, 2), PAIRS);
	assert_int_equal(driver_config(&driver, 10, 2), 9000);
	assert_int_equal(driver_config(&driver, 12, 4), 10000);
	assert_int_equal(driver_config(&driver, 16, 1), 1);
}

static void sends(void **state)
{
	const struct header plain = { 0 };
	const struct fake_sent *sent;

	start(0);
	assert_true(transmit(&plain, 60));
	sent = fake_net_last(&net);
	assert_int_equal(sent->frame.size, 60);
	assert_int_equal(sent->frame.sum, NIC_SUM_IN);
	assert_int_equal(sent->frame.cut, NIC_WHOLE);
	assert_memory_equal(sent->data, frame, 60);
	assert_int_equal(net.flushes, 1);
	for (unsigned int i = 0; i < 40; i++)
		assert_true(transmit(&plain, 1514));
	assert_int_equal(net.sent, 41);
	assert_int_equal(atomic_load(&card->nic.sent.frames), 41);
	assert_int_equal(atomic_load(&card->nic.sent.bytes), 60 + 40 * 1514);
	assert_int_equal(driver_status(&driver), 0x0f);
}

/* Header and frame cut anywhere (2.7.4.1). */
static void any_layout(void **state)
{
	static const uint32_t cuts[] = { 1, 7, 12, 13, 25, 71 };
	uint32_t written;
	uint16_t id;

	start(0);
	for (unsigned int i = 0; i < 6; i++) {
		const struct driver_desc descs[] = {
			{ TX_AT, cuts[i], 0 },
			{ TX_AT + cuts[i], 72 - cuts[i], 0 },
		};

		memset(back, 0, HEADER);
		memcpy(back + HEADER, frame, 60);
		driver_poke(&driver, TX_AT, back, 72);
		driver_offer(&driver, 1, descs, 2);
		driver_notify(&driver, 1);
		assert_true(driver_take(&driver, 1, &id, &written));
		assert_int_equal(net.sent, i + 1);
		assert_memory_equal(fake_net_last(&net)->data, frame, 60);
	}
}

static void open_checksum(void **state)
{
	struct header h = { .flags = 1, .csum_start = 34, .csum_offset = 6 };
	const struct fake_sent *sent;

	start(NET_F_CSUM);
	assert_true(transmit(&h, 100));
	sent = fake_net_last(&net);
	assert_int_equal(sent->frame.sum, NIC_SUM_OPEN);
	assert_int_equal(sent->frame.sum_start, 34);
	assert_int_equal(sent->frame.sum_offset, 6);
	/* Within the frame, to its last byte. */
	h.csum_start = 92;
	assert_true(transmit(&h, 100));
	h.csum_start = 93;
	assert_false(transmit(&h, 100));
	h.csum_start = 0xffff;
	h.csum_offset = 0xffff;
	assert_false(transmit(&h, 100));
	assert_int_equal(atomic_load(&card->nic.sent.refused), 2);
}

static void to_be_cut(void **state)
{
	const struct header good = {
		.flags = 1, .gso_type = 1, .gso_size = 1000, .csum_start = 34,
		.csum_offset = 16,
	};
	struct header h = good;
	const struct fake_sent *sent;

	start(NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN);
	frame[34 + 12] = 0x80; /* 32 bytes of TCP header */
	assert_true(transmit(&h, 30000));
	sent = fake_net_last(&net);
	assert_int_equal(sent->frame.cut, NIC_CUT_TCP4);
	assert_int_equal(sent->frame.header, 66);
	assert_int_equal(sent->frame.segment, 1000);
	assert_false(sent->frame.ecn);
	assert_int_equal(nic_frame_needs(&sent->frame),
			 NIC_CAN_SUM | NIC_CAN_TCP4);
	h.gso_type = 0x84;
	assert_true(transmit(&h, 30000));
	sent = fake_net_last(&net);
	assert_int_equal(sent->frame.cut, NIC_CUT_TCP6);
	assert_true(sent->frame.ecn);
	/* Header alone: nothing to cut. */
	h = good;
	assert_true(transmit(&h, 66));
	assert_int_equal(fake_net_last(&net)->frame.cut, NIC_WHOLE);
	/* None of these can be. */
	h.gso_type = 3;
	assert_false(transmit(&h, 3000));
	h = good;
	h.gso_size = 0;
	assert_false(transmit(&h, 3000));
	h = good;
	h.flags = 0;
	assert_false(transmit(&h, 3000));
	h = good;
	h.csum_offset = 6;
	assert_false(transmit(&h, 3000));
	assert_false(transmit(&good, 53)); /* not even 20 bytes of TCP */
	assert_false(transmit(&good, 65)); /* shorter than its header */
	frame[34 + 12] = 0x40;
	assert_false(transmit(&good, 3000));
	assert_int_equal(driver_status(&driver), 0x0f);
}

static void sizes(void **state)
{
	const struct header plain = { 0 };
	const struct driver_desc huge = { TX_AT, HEADER + NIC_FRAME_MAX + 1,
					  0 };
	uint32_t written;
	uint16_t id;

	start(0);
	assert_false(transmit(&plain, 13));
	assert_true(transmit(&plain, 14));
	assert_true(transmit(&plain, NIC_FRAME_MAX));
	driver_offer(&driver, 1, &huge, 1);
	driver_notify(&driver, 1);
	assert_true(driver_take(&driver, 1, &id, &written));
	assert_int_equal(net.sent, 2);
	assert_int_equal(atomic_load(&card->nic.sent.refused), 2);
}

static void no_header(void **state)
{
	const struct driver_desc desc = { TX_AT, HEADER - 1, 0 };

	start(0);
	driver_offer(&driver, 1, &desc, 1);
	driver_notify(&driver, 1);
	assert_int_equal(driver_status(&driver), 0x4f);
	assert_int_equal(net.sent, 0);
}

/* What the net does not take stays the driver's, in order. */
static void later(void **state)
{
	const struct header plain = { 0 };
	uint32_t written;
	uint16_t id;

	start(0);
	net.later = true;
	for (unsigned int i = 0; i < 3; i++) {
		frame[20] = (uint8_t)i;
		driver_poke(&driver, TX_AT + 0x100 * i, &plain, HEADER);
		driver_poke(&driver, TX_AT + 0x100 * i + HEADER, frame, 60);
		driver_offer(&driver, 1,
			     &(struct driver_desc){ TX_AT + 0x100 * i, 72, 0 },
			     1);
		driver_notify(&driver, 1);
	}
	assert_false(driver_take(&driver, 1, &id, &written));
	net.later = false;
	net.net.nic->ops->again(net.net.nic);
	fake_work_run();
	assert_int_equal(net.sent, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(driver_take(&driver, 1, &id, &written));
		assert_int_equal(net.frame[i].data[20], i);
	}
}

/* --- receiving ---------------------------------------------------------------- */

static unsigned int offered;

/* A buffer of `size` bytes to receive in. */
static void offer_room(unsigned int queue, uint32_t size)
{
	const struct driver_desc desc = { RX_AT + RX_STEP * (offered++ % 64),
					  size, VIRTQ_WRITE };

	driver_offer(&driver, queue, &desc, 1);
	driver_notify(&driver, queue);
}

/* The next used buffer's bytes, behind `at` of back[]; how many. */
static uint32_t collect(unsigned int queue, unsigned int number, uint32_t at)
{
	uint32_t written;
	uint16_t id;

	assert_true(driver_take(&driver, queue, &id, &written));
	driver_peek(&driver, RX_AT + RX_STEP * (number % 64), back + at,
		    written);
	return written;
}

static bool nothing(unsigned int queue)
{
	uint32_t written;
	uint16_t id;

	return !driver_take(&driver, queue, &id, &written);
}

static void receives(void **state)
{
	const struct header *h = (const void *)back;

	offered = 0;
	start(0);
	for (unsigned int i = 0; i < 40; i++) {
		offer_room(0, 1526);
		rig.sent_count = 0;
		assert_true(fake_net_give(&net, frame, 60 + i));
		assert_int_equal(collect(0, i, 0), HEADER + 60 + i);
		assert_memory_equal(back + HEADER, frame, 60 + i);
		assert_int_equal(h->flags, 0);
		assert_int_equal(h->gso_type, 0);
		assert_int_equal(h->buffers, 1);
		assert_int_equal(rig.sent_count, 1);
	}
	assert_int_equal(atomic_load(&card->nic.received.frames), 40);
}

/* One frame in several buffers, which the driver sees all at once. */
static void merges(void **state)
{
	const struct header *h = (const void *)back;
	uint32_t at = 0;

	offered = 0;
	start(NET_F_MRG_RXBUF);
	for (unsigned int i = 0; i < 4; i++)
		offer_room(0, 400);
	/* 4 times 400 bytes hold 1588: one more is too many. */
	assert_false(fake_net_give(&net, frame, 1589));
	assert_true(nothing(0));
	assert_int_equal(rig.sent_count, 0);
	assert_true(fake_net_give(&net, frame, 1588));
	for (unsigned int i = 0; i < 4; i++)
		at += collect(0, i, at);
	assert_int_equal(at, HEADER + 1588);
	assert_int_equal(h->buffers, 4);
	assert_memory_equal(back + HEADER, frame, 1588);
	/* Those that were taken back are used next, in their order. */
	assert_true(nothing(0));
	offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 88));
	assert_int_equal(collect(0, 4, 0), 100);
}

/* No room: the card tells when there is some, once. */
static void no_room(void **state)
{
	offered = 0;
	start(NET_F_MRG_RXBUF);
	assert_false(fake_net_give(&net, frame, 60));
	assert_int_equal(net.rooms, 0);
	offer_room(0, 1526);
	assert_int_equal(net.rooms, 1);
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(collect(0, 0, 0), 72);
	offer_room(0, 1526);
	assert_int_equal(net.rooms, 1);
}

/* A buffer that is too small for a frame is not its end. */
static void too_small(void **state)
{
	offered = 0;
	start(0);
	offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 89));
	assert_true(nothing(0));
	assert_int_equal(atomic_load(&card->nic.received.dropped), 1);
	assert_true(fake_net_give(&net, frame, 88));
	assert_int_equal(collect(0, 0, 0), 100);
}

static void no_room_for_header(void **state)
{
	offered = 0;
	start(NET_F_MRG_RXBUF);
	offer_room(0, HEADER - 1);
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(driver_status(&driver), 0x4f);
	assert_true(nothing(0));
}

static bool give_open(unsigned int cut, bool ecn)
{
	const struct span span = { frame, 3000 };
	const struct nic_frame f = {
		.span = &span,
		.spans = 1,
		.size = 3000,
		.sum = NIC_SUM_OPEN,
		.cut = cut,
		.ecn = ecn,
		.sum_start = 34,
		.sum_offset = 16,
		.header = 54,
		.segment = 1460,
	};
	unsigned int needs = nic_frame_needs(&f);

	assert_int_equal(needs & ~atomic_load(&card->nic.can), 0);
	return net.net.nic->ops->receive(net.net.nic, &f);
}

/* What was left open is told; and only what the driver takes. */
static void open_frames(void **state)
{
	const struct header *h = (const void *)back;

	offered = 0;
	start(NET_F_MRG_RXBUF | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 |
	      NET_F_GUEST_TSO6 | NET_F_GUEST_ECN);
	assert_int_equal(atomic_load(&card->nic.can), NIC_CAN_ALL);
	offer_room(0, 4096);
	assert_true(give_open(NIC_CUT_TCP4, false));
	assert_int_equal(collect(0, 0, 0), 3012);
	assert_int_equal(h->flags, 1);
	assert_int_equal(h->gso_type, 1);
	assert_int_equal(h->hdr_len, 54);
	assert_int_equal(h->gso_size, 1460);
	assert_int_equal(h->csum_start, 34);
	assert_int_equal(h->csum_offset, 16);
	offer_room(0, 4096);
	assert_true(give_open(NIC_CUT_TCP6, true));
	assert_int_equal(collect(0, 1, 0), 3012);
	assert_int_equal(h->gso_type, 0x84);
}

static void nothing_open(void **state)
{
	const struct span span = { frame, 3000 };
	struct nic_frame f = {
		.span = &span, .spans = 1, .size = 3000, .sum = NIC_SUM_OPEN,
		.sum_start = 34, .sum_offset = 16,
	};
	const struct header *h = (const void *)back;

	offered = 0;
	start(NET_F_MRG_RXBUF);
	assert_int_equal(atomic_load(&card->nic.can), 0);
	offer_room(0, 4096);
	assert_true(net.net.nic->ops->receive(net.net.nic, &f));
	assert_true(nothing(0));
	assert_int_equal(atomic_load(&card->nic.received.refused), 1);
	/* That it is right is told to those alone who know what that means. */
	f.sum = NIC_SUM_GOOD;
	assert_true(net.net.nic->ops->receive(net.net.nic, &f));
	assert_int_equal(collect(0, 0, 0), 3012);
	assert_int_equal(h->flags, 0);
}

static void no_driver(void **state)
{
	unsigned int stops;

	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(atomic_load(&card->nic.received.dropped), 1);
	start(0);
	stops = net.stops;
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	assert_int_equal(net.stops, stops + 1);
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(atomic_load(&card->nic.received.dropped), 2);
}

/* --- the control queue ---------------------------------------------------------- */

static unsigned int control_queue(void)
{
	return driver.features & NET_F_MQ ? 2 * PAIRS : 2;
}

/* A command with its data; the answer. */
static uint8_t command(uint8_t class, uint8_t what, const void *data,
		       uint32_t size)
{
	const struct driver_desc descs[] = {
		{ CT_AT, 2 + size, 0 },
		{ ACK_AT, 1, VIRTQ_WRITE },
	};
	const uint8_t word[2] = { class, what };
	uint32_t written;
	uint16_t id;

	driver_poke(&driver, CT_AT, word, 2);
	driver_poke(&driver, CT_AT + 2, data, size);
	driver_poke16(&driver, ACK_AT, 0x5555);
	driver_offer(&driver, control_queue(), descs, 2);
	driver_notify(&driver, control_queue());
	assert_true(driver_take(&driver, control_queue(), &id, &written));
	assert_int_equal(written, 1);
	return driver_peek16(&driver, ACK_AT) & 0xff;
}

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
#define CTRL	  (NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA)

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

/* --- reset, saved state ---------------------------------------------------------------- */

/* A queue that stands still loses what comes; the others go on. */
static void queue_reset(void **state)
{
	const struct header plain = { 0 };

	offered = 0;
	start(VIRTIO_F_RING_RESET);
	offer_room(0, 100);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_RESET, 2, 1);
	fake_work_run();
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(atomic_load(&card->nic.received.dropped), 1);
	assert_true(transmit(&plain, 60));
	driver_set_queue(&driver, 0, 16);
	offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(collect(0, 1, 0), 72);
}

/* While it is quiet nothing moves; then all that waited does. */
static void quiesced(void **state)
{
	const struct header plain = { 0 };
	uint32_t written;
	uint16_t id;

	offered = 0;
	start(0);
	offer_room(0, 100);
	vm_quiesce_devices(&rig.rig.vm);
	assert_false(fake_net_give(&net, frame, 60));
	offer_frame(&plain, 60);
	assert_int_equal(net.sent, 0);
	assert_true(nothing(0));
	assert_false(driver_take(&driver, 1, &id, &written));
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_int_equal(net.rooms, 1);
	assert_int_equal(net.sent, 1);
	assert_true(fake_net_give(&net, frame, 60));
	assert_int_equal(collect(0, 0, 0), 72);
}

/* In mid-operation: buffers offered, filters set, a frame under way. */
static void saves_and_loads(void **state)
{
	const struct header plain = { 0 };
	struct state_buffer saved = { 0 };
	struct state_item item[32];
	struct state_error error;
	const uint8_t on = 1;
	unsigned int count, starts;

	offered = 0;
	start(CTRL | NET_F_MQ | NET_F_STATUS | NET_F_GUEST_ANNOUNCE |
	      NET_F_GUEST_CSUM | NET_F_GUEST_TSO4);
	assert_int_equal(command(4, 0, "\2\0", 2), 0);
	assert_int_equal(command(0, 0, &on, 1), 0);
	for (unsigned int i = 0; i < 3; i++)
		offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 60));
	net.later = true;
	offer_frame(&plain, 60);
	count = pci_rig_items(&rig, item);
	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(item, count, &saved), 0);
	vm_resume_devices(&rig.rig.vm);
	/* Other things happen; then it is as it was. */
	card->filter.promiscuous = false;
	atomic_store(&card->pairs, 1);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	starts = net.starts;
	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_load(item, count, saved.data, saved.size,
				    &rig.rig.vm.clock, &error), 0);
	net.later = false;
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_int_equal(net.starts, starts + 1);
	assert_int_equal(atomic_load(&card->pairs), 2);
	assert_int_equal(atomic_load(&card->nic.can),
			 NIC_CAN_SUM | NIC_CAN_TCP4);
	assert_true(card->filter.promiscuous);
	assert_int_equal(net.sent, 1); /* that which waited */
	assert_int_equal(driver_config(&driver, 6, 2), 3);
	assert_int_equal(collect(0, 0, 0), 72);
	assert_true(fake_net_give(&net, frame, 61));
	assert_int_equal(collect(0, 1, 0), 73);
	host_free(saved.data);
}

static void in_range(void *object)
{
	struct virtio_net *v = object;

	v->pairs = 2;
	v->offloads &= NET_OFFLOADS;
	v->filter.unicasts %= NET_TABLE_MAX + 2;
	v->filter.multicasts %= NET_TABLE_MAX + 2;
}

static void round_trip(void **state)
{
	roundtrip_check(virtio_net_class.state, card, in_range);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BOTH(f) \
	TEST(f), cmocka_unit_test_setup_teardown(f, setup_packed, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		BOTH(sends),
		BOTH(any_layout),
		TEST(open_checksum),
		TEST(to_be_cut),
		TEST(sizes),
		TEST(no_header),
		BOTH(later),
		BOTH(receives),
		BOTH(merges),
		BOTH(no_room),
		BOTH(too_small),
		TEST(no_room_for_header),
		TEST(open_frames),
		TEST(nothing_open),
		TEST(no_driver),
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
		TEST(queue_reset),
		BOTH(quiesced),
		BOTH(saves_and_loads),
		TEST(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
