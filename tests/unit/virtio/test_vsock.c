/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, packet by packet: connections, and what goes through them.
 */
#include <stdlib.h>
#include <string.h>

#include "fake/roundtrip.h"
#include "vsock_rig.h"

static void configuration(void **state)
{
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10531af4);
	assert_int_equal(driver_config(&driver, 0, 4), CID);
	assert_int_equal(driver_config(&driver, 4, 4), 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUES, 2), 3);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4) &
			 0xf, 1);
}

static void guest_connects(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	assert_int_equal(s->port, PORT);
	say_data("hello", 5);
	assert_int_equal(s->took, 5);
	assert_memory_equal(taken, "hello", 5);
	fake_stream_put(s, "world!", 6, false);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	assert_int_equal(header.len, 6);
	assert_int_equal(header.fwd_cnt, 5);
	assert_int_equal(header.buf_alloc, VSOCK_BUFFER);
	assert_memory_equal(data, "world!", 6);
	expect_nothing();
}

static void refused(void **state)
{
	struct vsock_header header = header_of(VSOCK_REQUEST);

	streams.listens = 0;
	say(VSOCK_REQUEST);
	expect(VSOCK_RST);
	/* What belongs to no connection, but for RST itself. */
	say(VSOCK_RW);
	expect(VSOCK_RST);
	say(VSOCK_SHUTDOWN);
	expect(VSOCK_RST);
	say(VSOCK_RESPONSE);
	expect(VSOCK_RST);
	say(VSOCK_RST);
	expect_nothing();
	/* A CID that is not the host's: RST from there. */
	header.dst_cid = 9;
	send_header(&header, NULL, 0);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RST);
	assert_true(header.src_cid == 9);
	/* One that claims to be another guest is not answered. */
	header = header_of(VSOCK_REQUEST);
	header.src_cid = 6;
	send_header(&header, NULL, 0);
	expect_nothing();
	header.src_cid = CID | 1ull << 32;
	send_header(&header, NULL, 0);
	expect_nothing();
}

static void unknown_type(void **state)
{
	struct vsock_header header = header_of(VSOCK_REQUEST), got;
	uint32_t written;
	uint16_t id;

	header.type = 2;
	offer_rx(RX_SIZE);
	send_header(&header, NULL, 0);
	assert_true(driver_take(&driver, 0, &id, &written));
	driver_peek(&driver, RX_AT + RX_STEP * ((rx_next - 1) % RX_ALL), &got,
		    sizeof(got));
	assert_int_equal(got.op, VSOCK_RST);
	assert_int_equal(got.type, 2);
	assert_int_equal(streams.opened, 0);
}

static void host_connects(void **state)
{
	struct vsock_stream *s = fake_streams_offer(&streams, OWN);
	struct vsock_header header;
	uint32_t port;

	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_REQUEST);
	assert_int_equal(header.dst_port, OWN);
	assert_int_equal(header.buf_alloc, VSOCK_BUFFER);
	port = header.src_port;
	/* What the host has said already waits for the answer. */
	fake_stream_put(s, "early", 5, false);
	poke();
	expect_nothing();
	header = header_of(VSOCK_RESPONSE);
	header.dst_port = port;
	send_header(&header, NULL, 0);
	assert_int_equal(s->established, port);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	assert_memory_equal(data, "early", 5);
	/* A second one to the same port comes from another. */
	fake_streams_offer(&streams, OWN);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_REQUEST);
	assert_int_not_equal(header.src_port, port);
	/* The guest refuses that. */
	header = header_of(VSOCK_RST);
	header.dst_port = port + 1;
	send_header(&header, NULL, 0);
	assert_int_equal(streams.closed, 1);
	expect_nothing();
}

/* The host thinks better of it before the guest has answered. */
static void host_gives_up(void **state)
{
	struct vsock_stream *s = fake_streams_offer(&streams, OWN);
	struct vsock_header header;

	poke();
	assert_true(next(&header));
	fake_stream_hang_up(s);
	poke();
	assert_int_equal(streams.closed, 1);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RST);
}

static void no_driver(void **state)
{
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	fake_streams_offer(&streams, OWN);
	poke();
	assert_int_equal(streams.closed, 1);
}

/* To the byte what the guest has room for. */
static void guest_credit(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;
	uint32_t sum = 0;

	say_credit(0, 5000);
	fake_stream_put(s, bytes, 20000, false);
	poke();
	while (next(&header) && header.op == VSOCK_RW) {
		assert_memory_equal(data, bytes + sum, header.len);
		sum += header.len;
	}
	assert_int_equal(sum, 5000);
	assert_int_equal(header.op, VSOCK_CREDIT_REQUEST);
	expect_nothing(); /* once */
	say_credit(1, 5000);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	assert_int_equal(header.len, 1);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_CREDIT_REQUEST);
	/* Less room than is used already, and counts that cannot be. */
	say_credit(1, 100);
	expect(VSOCK_CREDIT_REQUEST);
	say_credit(6000, 5000);
	expect(VSOCK_CREDIT_REQUEST);
	say_credit(5001, 200000);
	for (sum = 5001; sum < 20000; sum += header.len) {
		assert_true(next(&header));
		assert_int_equal(header.op, VSOCK_RW);
		assert_memory_equal(data, bytes + sum, header.len);
	}
	assert_int_equal(sum, 20000);
	expect_nothing();
}

/* The host reads nothing: the guest may send what was promised, no more. */
static void own_credit(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;
	uint32_t at = 0;

	s->room = 10;
	for (; at < VSOCK_BUFFER; at += 0x4000)
		say_data(bytes + at, 0x4000);
	say_data(bytes + at, 10); /* as many as the stream took */
	expect_nothing(); /* too little to tell */
	assert_int_equal(s->took, 10);
	say(VSOCK_CREDIT_REQUEST);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_CREDIT_UPDATE);
	assert_int_equal(header.fwd_cnt, 10);
	/* Around the end of the ring, in pieces. */
	for (unsigned int i = 0; i < 4; i++) {
		fake_stream_make_room(s, VSOCK_BUFFER / 4);
		poke();
		assert_true(next(&header));
		assert_int_equal(header.op, VSOCK_CREDIT_UPDATE);
		assert_int_equal(header.fwd_cnt,
				 10 + (i + 1) * (VSOCK_BUFFER / 4));
	}
	assert_int_equal(s->took, VSOCK_BUFFER + 10);
	assert_memory_equal(taken, bytes, VSOCK_BUFFER + 10);
	for (at = 0; at < VSOCK_BUFFER; at += 0x8000)
		say_data(bytes + at, 0x8000);
	expect_nothing();
	say_data(bytes, 1); /* one too many */
	expect(VSOCK_RST);
	assert_false(s->open);
}

/* A stream that takes some of a packet tells when it takes more. */
static void partial_writes(void **state)
{
	struct vsock_stream *s = connected();

	s->room = 3;
	say_data("abcdefgh", 8);
	say_data("ijkl", 4);
	assert_int_equal(s->took, 3);
	fake_stream_make_room(s, 2);
	poke();
	assert_int_equal(s->took, 5);
	fake_stream_make_room(s, 100);
	poke();
	say_data("mn", 2);
	assert_int_equal(s->took, 14);
	assert_memory_equal(taken, "abcdefghijklmn", 14);
}

/* Both sides are through: SHUTDOWN, and RST for an answer. */
static void reset_closes(void **state)
{
	connected();
	fake_streams_offer(&streams, OWN);
	poke();
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	assert_int_equal(streams.closed, 2);
	assert_int_equal(driver_status(&driver), 0);
	assert_int_equal(driver_config(&driver, 0, 4), CID);
}

/* Whoever loads a state has none of its connections, and says so. */
static void loaded(void **state)
{
	const struct driver_desc desc = { EV_AT, 4, VIRTQ_WRITE };
	struct virtio_vsock *v = vsock;
	const struct state_item items[] = {
		{ virtio_vsock_class.state, v, 0 },
		{ virtio_class.state, &v->virtio, 0 },
	};
	struct state_buffer buffer = { 0 };
	struct state_error error;
	uint32_t written, event = 9;
	uint16_t id;

	connected();
	driver_offer(&driver, 2, &desc, 1);
	driver_notify(&driver, 2);
	assert_false(driver_take(&driver, 2, &id, &written));
	assert_int_equal(state_save(items, 2, &buffer), 0);
	v->cid = CID + 1; /* another machine's */
	assert_int_equal(state_load(items, 2, buffer.data, buffer.size, NULL,
				    &error), 0);
	host_free(buffer.data);
	assert_int_equal(streams.closed, 1);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_true(driver_take(&driver, 2, &id, &written));
	assert_int_equal(written, 4);
	driver_peek(&driver, EV_AT, &event, 4);
	assert_int_equal(event, 0);
	assert_int_equal(driver_config(&driver, 0, 4), CID + 1);
}

static void saved_fields(void **state)
{
	struct virtio_vsock *v = vsock;

	roundtrip_check(virtio_vsock_class.state, v, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		BOTH(guest_connects),
		TEST(refused),
		TEST(unknown_type),
		BOTH(host_connects),
		TEST(host_gives_up),
		TEST(no_driver),
		BOTH(guest_credit),
		BOTH(own_credit),
		TEST(partial_writes),
		TEST(reset_closes),
		TEST(loaded),
		TEST(saved_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
