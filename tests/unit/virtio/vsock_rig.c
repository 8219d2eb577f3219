/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_rig.h"

struct pci_rig rig;
struct virtio_vsock *vsock;
struct fake_streams streams;
struct driver driver;
unsigned int rx_next; /* buffers offered so far */
static bool rx_offered;	     /* one that no packet has come into yet */
uint8_t bytes[STREAM_BYTES], taken[STREAM_BYTES], data[65536];

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

int vsock_setup(void **state)
{
	start_device(0);
	return 0;
}

int vsock_setup_packed(void **state)
{
	start_device(VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX);
	return 0;
}

int vsock_teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(streams.opened, streams.closed);
	assert_int_equal(fake_live(), 0);
	return 0;
}

void poke(void)
{
	vsock_poke(vsock);
	fake_work_run();
}

void send_header(const struct vsock_header *header, const void *payload,
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

struct vsock_header header_of(uint16_t op)
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

void say(uint16_t op)
{
	const struct vsock_header header = header_of(op);

	send_header(&header, NULL, 0);
}

void say_shutdown(uint32_t flags)
{
	struct vsock_header header = header_of(VSOCK_SHUTDOWN);

	header.flags = flags;
	send_header(&header, NULL, 0);
}

void say_credit(uint32_t forwarded, uint32_t room)
{
	struct vsock_header header = header_of(VSOCK_CREDIT_UPDATE);

	header.fwd_cnt = forwarded;
	header.buf_alloc = room;
	send_header(&header, NULL, 0);
}

void say_data(const void *payload, uint32_t size)
{
	struct vsock_header header = header_of(VSOCK_RW);

	header.len = size;
	send_header(&header, payload, size);
}

void offer_rx(uint32_t size)
{
	const struct driver_desc desc = {
		RX_AT + RX_STEP * (rx_next++ % RX_ALL), size, VIRTQ_WRITE
	};

	driver_offer(&driver, 0, &desc, 1);
	driver_notify(&driver, 0);
}

bool next(struct vsock_header *header)
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

void expect(uint16_t op)
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

void expect_nothing(void)
{
	struct vsock_header header;

	assert_false(next(&header));
}

struct vsock_stream *connected(void)
{
	say(VSOCK_REQUEST);
	expect(VSOCK_RESPONSE);
	assert_int_equal(streams.opened, 1);
	streams.stream[0].out = taken;
	return &streams.stream[0];
}
