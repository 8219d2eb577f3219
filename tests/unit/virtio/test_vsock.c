/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device, packet by packet, over streams of memory.
 */
#include "virtio/vsock.h"

#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "fake/roundtrip.h"
#include "fake_streams.h"
#include "virtio/vsock_impl.h"

#define CID   5u
#define PORT  1000u /* of the host */
#define OWN   77u   /* of the guest */
#define ROOM  65536u /* of the guest's socket */

#define RX_AT	(DRIVER_DATA)
#define RX_SIZE 4140u /* header and 4 KiB */
#define RX_STEP 0x1800u
#define RX_ALL	16u
#define TX_AT	(DRIVER_DATA + 0x20000u)
#define EV_AT	(DRIVER_DATA + 0x40000u)

static struct pci_rig rig;
static struct virtio_vsock *vsock;
static struct fake_streams streams;
static struct driver driver;
static unsigned int rx_next; /* buffers offered so far */
static bool rx_offered;	     /* one that no packet has come into yet */
static uint8_t bytes[STREAM_BYTES], taken[STREAM_BYTES], data[65536];

static void start_device(uint64_t features)
{
	fake_streams_init(&streams);
	streams.listens = PORT;
	rx_offered = false;
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_vsock_create(&vsock, &rig.rig.vm,
					     &streams.host, CID), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_vsock_pci(vsock),
				    DRIVER_DEVFN), 0);
	driver_start(&driver, &rig, features, 3, 64);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
}

static int setup(void **state)
{
	start_device(0);
	return 0;
}

static int setup_packed(void **state)
{
	start_device(VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(streams.opened, streams.closed);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* --- the driver's side ----------------------------------------------------------- */

/* Lets the device do what the host gave it to do. */
static void poke(void)
{
	vsock_poke(vsock);
	fake_work_run();
}

static void send_header(const struct vsock_header *header, const void *payload,
			uint32_t size)
{
	const struct driver_desc descs[] = {
		{ TX_AT, sizeof(*header), 0 },
		{ TX_AT + 0x100, size, 0 },
	};
	uint32_t written;
	uint16_t id;

	driver_poke(&driver, TX_AT, header, sizeof(*header));
	if (size)
		driver_poke(&driver, TX_AT + 0x100, payload, size);
	driver_offer(&driver, 1, descs, size ? 2 : 1);
	driver_notify(&driver, 1);
	while (driver_take(&driver, 1, &id, &written))
		assert_int_equal(written, 0);
}

static struct vsock_header header_of(uint16_t op)
{
	return (struct vsock_header){
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = OWN,
		.dst_port = PORT,
		.type = VSOCK_STREAM,
		.op = op,
		.buf_alloc = ROOM,
	};
}

static void say(uint16_t op)
{
	const struct vsock_header header = header_of(op);

	send_header(&header, NULL, 0);
}

static void say_shutdown(uint32_t flags)
{
	struct vsock_header header = header_of(VSOCK_SHUTDOWN);

	header.flags = flags;
	send_header(&header, NULL, 0);
}

/* What the guest has read of what it was sent, and its room. */
static void say_credit(uint32_t forwarded, uint32_t room)
{
	struct vsock_header header = header_of(VSOCK_CREDIT_UPDATE);

	header.fwd_cnt = forwarded;
	header.buf_alloc = room;
	send_header(&header, NULL, 0);
}

static void say_data(const void *payload, uint32_t size)
{
	struct vsock_header header = header_of(VSOCK_RW);

	header.len = size;
	send_header(&header, payload, size);
}

/* A buffer for a packet, of `size` bytes. */
static void offer_rx(uint32_t size)
{
	const struct driver_desc desc = {
		RX_AT + RX_STEP * (rx_next++ % RX_ALL), size, VIRTQ_WRITE
	};

	driver_offer(&driver, 0, &desc, 1);
	driver_notify(&driver, 0);
}

/* The next packet, in a buffer that is offered for it; false: there is none. */
static bool next(struct vsock_header *header)
{
	uint64_t at = RX_AT + RX_STEP * (rx_next % RX_ALL);
	uint32_t written;
	uint16_t id;

	if (rx_offered)
		at = RX_AT + RX_STEP * ((rx_next + RX_ALL - 1) % RX_ALL);
	else
		offer_rx(RX_SIZE);
	rx_offered = !driver_take(&driver, 0, &id, &written);
	if (rx_offered)
		return false;
	driver_peek(&driver, at, header, sizeof(*header));
	assert_int_equal(written, sizeof(*header) + header->len);
	if (header->len)
		driver_peek(&driver, at + sizeof(*header), data, header->len);
	assert_true(header->dst_cid == CID);
	assert_int_equal(header->type, VSOCK_STREAM);
	return true;
}

static void expect(uint16_t op)
{
	struct vsock_header header;

	assert_true(next(&header));
	assert_int_equal(header.op, op);
	assert_true(header.src_cid == VSOCK_CID_HOST);
	assert_int_equal(header.src_port, PORT);
	assert_int_equal(header.dst_port, OWN);
	assert_int_equal(header.len, 0);
	if (op != VSOCK_RST)
		assert_int_equal(header.buf_alloc, VSOCK_BUFFER);
}

static void expect_nothing(void)
{
	struct vsock_header header;

	assert_false(next(&header));
}

static struct vsock_stream *connected(void)
{
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	assert_int_equal(streams.opened, 1);
	streams.stream[0].out = taken;
	return &streams.stream[0];
}

/* --- tests ------------------------------------------------------------------------- */

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
static void guest_closes(void **state)
{
	struct vsock_stream *s = connected();

	s->room = 4;
	say_data("rest of it", 10);
	say_shutdown(VSOCK_NO_MORE);
	expect_nothing(); /* the host has not read all */
	assert_true(s->open);
	fake_stream_make_room(s, 100);
	poke();
	assert_memory_equal(taken, "rest of it", 10);
	expect(VSOCK_RST);
	assert_false(s->open);
	/* The address is free again. */
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
}

/* By halves, and bits that are clear take nothing back. */
static void guest_closes_by_halves(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	say_shutdown(VSOCK_NO_SEND);
	assert_true(s->ended_send);
	assert_false(s->ended_receive);
	fake_stream_put(s, "still", 5, false);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	say_shutdown(0);
	expect_nothing();
	say_shutdown(VSOCK_NO_RECEIVE);
	assert_true(s->ended_receive);
	expect(VSOCK_RST);
	assert_false(s->open);
}

static void data_after_the_end(void **state)
{
	connected();
	say_shutdown(VSOCK_NO_SEND);
	say_data("x", 1);
	expect(VSOCK_RST);
	assert_int_equal(streams.closed, 1);
}

/* It says RST in the midst: what was promised to the host still comes. */
static void guest_resets(void **state)
{
	struct vsock_stream *s = connected();

	s->room = 4;
	say_data("rest of it", 10);
	say_shutdown(VSOCK_NO_MORE);
	say(VSOCK_RST);
	assert_true(s->open);
	/* Its address has nothing to do with that any more. */
	streams.listens = 0;
	say(VSOCK_REQUEST);
	expect(VSOCK_RST);
	fake_stream_make_room(s, 100);
	poke();
	assert_memory_equal(taken, "rest of it", 10);
	assert_false(s->open);
	expect_nothing();
	/* Without an end in order it is over at once. */
	streams.listens = PORT;
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	s->room = 0;
	say_data("lost", 4);
	say(VSOCK_RST);
	assert_false(s->open);
	expect_nothing();
}

static void host_closes_by_halves(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	fake_stream_put(s, "bye", 3, true);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_RW);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_SEND);
	say_data("go on", 5);
	assert_int_equal(s->took, 5);
	fake_stream_hang_up(s);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_MORE);
	assert_false(s->open);
	say(VSOCK_RST);
	expect_nothing();
}

/* All that it sent comes first, however slowly the guest reads. */
static void host_closes(void **state)
{
	struct vsock_stream *s = connected();
	struct vsock_header header;

	say_credit(0, 10);
	fake_stream_put(s, bytes, 20, false);
	fake_stream_hang_up(s);
	poke();
	assert_true(next(&header));
	assert_int_equal(header.len, 10);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_CREDIT_REQUEST);
	say_credit(10, 10);
	assert_true(next(&header));
	assert_int_equal(header.len, 10);
	assert_memory_equal(data, bytes + 10, 10);
	say_credit(20, 10);
	assert_true(next(&header));
	assert_int_equal(header.op, VSOCK_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_NO_MORE);
	assert_int_equal(streams.closed, 1);
	/* The guest may have sent something before it knew. */
	say_data("late", 4);
	expect_nothing();
	/* Both at once. */
	say_shutdown(VSOCK_NO_MORE);
	expect(VSOCK_RST);
	expect_nothing();
}

/* No answer to SHUTDOWN: RST after a while. */
static void guest_does_not_answer(void **state)
{
	struct vsock_stream *s = connected();

	clock_start(&rig.rig.vm.clock);
	fake_stream_hang_up(s);
	poke();
	expect(VSOCK_SHUTDOWN);
	fake_time_advance(VSOCK_PATIENCE - 1);
	clock_run(&rig.rig.vm.clock);
	fake_work_run();
	expect_nothing();
	fake_time_advance(2);
	clock_run(&rig.rig.vm.clock);
	fake_work_run();
	expect(VSOCK_RST);
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
}

static void host_breaks(void **state)
{
	struct vsock_stream *s = connected();

	s->broken = true;
	say_data("x", 1);
	expect(VSOCK_SHUTDOWN);
	assert_false(s->open);
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BOTH(f) \
	TEST(f), cmocka_unit_test_setup_teardown(f, setup_packed, teardown)

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
		TEST(guest_closes),
		TEST(guest_closes_by_halves),
		TEST(data_after_the_end),
		TEST(guest_resets),
		TEST(host_closes_by_halves),
		TEST(host_closes),
		TEST(guest_does_not_answer),
		TEST(host_breaks),
		TEST(wrong_packets),
		TEST(no_room_for_a_header),
		TEST(small_rx_buffer),
		TEST(rx_buffer_without_room),
		BOTH(tx_without_rx),
		TEST(too_many),
		TEST(fair),
		TEST(reset_closes),
		TEST(loaded),
		TEST(saved_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
