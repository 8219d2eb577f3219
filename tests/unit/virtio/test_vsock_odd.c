/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, packet by packet: what no driver says, and too much of
 * what it may.
 */
#include "vsock_rig.h"

/* What no driver says. */
static void wrong_packets(void **state)
{
	static const uint16_t ops[] = { 0, VSOCK_REQUEST, VSOCK_RESPONSE, 8,
					0xffff };
	struct vsock_header header;

	for (unsigned int i = 0; i < 5; i++) {
		say(VSOCK_REQUEST);
		expect(VSOCK_RESPONSE);
		say(ops[i]);
		expect(VSOCK_RST);
	}
	/* More data than there is. */
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	header = header_of(VSOCK_RW);
	header.len = 100;
	send_header(&header, "short", 5);
	expect(VSOCK_RST);
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	header.len = UINT32_MAX;
	send_header(&header, "short", 5);
	expect(VSOCK_RST);
	/* Less, as much, and none are well. */
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	header.len = 2;
	send_header(&header, "short", 5);
	header.len = 0;
	send_header(&header, "short", 5);
	expect_nothing();
	assert_int_equal(streams.stream[0].took, 2);
}

static void no_room_for_a_header(void **state)
{
	const struct driver_desc desc = { TX_AT, 43, 0 };

	driver_offer(&driver, 1, &desc, 1);
	driver_notify(&driver, 1);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
}

static void small_rx_buffer(void **state)
{
	say(VSOCK_REQUEST);
	offer_rx(43);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
}

/* A buffer for a header alone brings a header alone. */
static void rx_buffer_without_room(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;
	uint32_t written;
	uint16_t id;

	fake_stream_put(s, "later", 5, false);
	poke();
	offer_rx(sizeof(header));
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, sizeof(header));
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
}

/* Replies wait beside the rx queue; when there are many, tx waits. */
static void tx_without_rx(void **state)
{
	const struct vsock_header header = header_of(VSOCK_RW);
	const struct driver_desc desc = { TX_AT, sizeof(header), 0 };
	unsigned int used = 0, answers = 0;
	struct vsock_header got;
	uint32_t written;
	uint16_t id;

	driver_poke(&driver, TX_AT, &header, sizeof(header));
	for (unsigned int i = 0; i < VSOCK_REPLIES + 40; i++) {
		driver_offer(&driver, 1, &desc, 1);
		driver_notify(&driver, 1);
		while (driver_take(&driver, 1, &id, &written))
			used++;
	}
	assert_int_equal(used, VSOCK_REPLIES);
	while (next(&got)) {
		assert_int_equal(got.op, VSOCK_RST);
		answers++;
	}
	while (driver_take(&driver, 1, &id, &written))
		used++;
	assert_int_equal(used, VSOCK_REPLIES + 40);
	assert_int_equal(answers, VSOCK_REPLIES + 40);
}

static void too_many(void **state)
{
	struct vsock_header header = header_of(VSOCK_REQUEST), got;

	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		header.src_port = 10000 + i;
		send_header(&header, NULL, 0);
		assert_true(next(&got));
		assert_int_equal(got.op, VSOCK_RESPONSE);
		assert_int_equal(got.dst_port, header.src_port);
	}
	header.src_port = 9;
	send_header(&header, NULL, 0);
	assert_true(next(&got));
	assert_int_equal(got.op, VSOCK_RST);
	assert_int_equal(streams.opened, VSOCK_CONNECTIONS_MAX);
	fake_streams_offer(&streams, OWN);
	poke();
	assert_int_equal(streams.closed, 1);
	header.op = VSOCK_RST;
	header.src_port = 10100;
	send_header(&header, NULL, 0);
	header.op = VSOCK_REQUEST;
	send_header(&header, NULL, 0);
	assert_true(next(&got));
	assert_int_equal(got.op, VSOCK_RESPONSE);
}

/* Each in turn gets a packet. */
static void fair(void **state)
{
	struct vsock_header header = header_of(VSOCK_REQUEST);
	unsigned int count[2] = { 0 };

	connected();
	header.src_port = OWN + 1;
	send_header(&header, NULL, 0);
	assert_true(next(&header));
	for (unsigned int i = 0; i < 2; i++)
		fake_stream_put(&streams.stream[i], bytes, 40960, false);
	poke();
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(next(&header));
		count[header.dst_port - OWN]++;
	}
	assert_int_equal(count[0], 3);
	assert_int_equal(count[1], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_packets),
		TEST(no_room_for_a_header),
		TEST(small_rx_buffer),
		TEST(rx_buffer_without_room),
		BOTH(tx_without_rx),
		TEST(too_many),
		TEST(fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
