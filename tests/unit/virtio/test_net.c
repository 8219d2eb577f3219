/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network card: frames both ways, what they leave open, saved state.
 */
#include "fake/roundtrip.h"
#include "net_rig.h"

/* --- sending ------------------------------------------------------------------ */

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

/* A network gives frames until it has parted: the rings are there till then. */
static void frames_come_to_the_end(void **state)
{
	offered = 0;
	start(0);
	offer_room(0, 100);
	net.last = true;
}

/* A processor halts in the middle of the card's removal. */
static void halts_as_it_goes(void **state)
{
	struct vm *vm = &rig.rig.vm;
	struct device d;

	start(0);
	vm_part_devices(vm);
	while (!vm->device[vm->device_count - 1].class->rested) {
		d = vm->device[--vm->device_count];
		if (d.class->fini)
			d.class->fini(d.object);
	}
	card->lane[0].pace.held = true;
	net.rooms = 0;
	atomic_store(&vm->rest_awaited, true);
	vm_rest_begin(vm);
	vm_rest_end(vm);
	assert_false(atomic_load(&vm->rest_awaited));
	assert_int_equal(net.rooms, 0);
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
		TEST(queue_reset),
		BOTH(quiesced),
		BOTH(frames_come_to_the_end),
		BOTH(halts_as_it_goes),
		BOTH(frames_come_to_the_end),
		BOTH(halts_as_it_goes),
		BOTH(saves_and_loads),
		TEST(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
