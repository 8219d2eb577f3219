/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the socket device. A driver sends packets whose headers often
 * are nearly right, offers buffers of all sizes or none, resets and is loaded;
 * the host's streams come, send, take some, end, hang up and break; time
 * passes. Whatever comes, the process and what lies outside of guest memory
 * stay as they are, what waits for a stream is bounded, and none is left open
 * in the end.
 */
#include "fuzz_driver.h"

#include "fake_streams.h"
#include "virtio/vsock_impl.h"

#define CID	   5u
#define PORTS	   4u /* of the host and of the guest, that meet */
#define QUEUES	   3
#define RINGS(n)   (0x10000u + 0x1000u * (n)) /* 0x400 an area */
#define PACKETS	   0x20000u
#define BUFFERS	   0x40000u
#define BUFFER	   0x2000u

static struct virtio_vsock *vsock;
static struct fake_streams streams;
static uint16_t next[QUEUES], seen;
static const uint8_t input[5000];

static void build(void)
{
	build_pci_machine();
	fake_streams_init(&streams);
	demand(!virtio_vsock_create(&vsock, &vm, &streams.host, CID));
	attach(virtio_vsock_pci(vsock), PCI_DEVFN(2, 0));
	turn_on(4, -1);
	clock_start(&vm.clock);
}

static void start(void)
{
	static const uint8_t zero[0x1000];

	regs(VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	negotiate(VIRTIO_F_VERSION_1);
	for (unsigned int n = 0; n < QUEUES; n++) {
		put(RINGS(n), zero, sizeof(zero));
		next[n] = 0;
		set_up_queue(n, RINGS(n));
	}
	seen = 0;
	driver_ok();
}

static void offer(unsigned int n, uint64_t addr, uint32_t size, bool write)
{
	const struct virtq_desc desc = { addr, size, write ? VIRTQ_WRITE : 0,
					 0 };

	offer_one(n, RINGS(n), &next[n], &desc);
	fake_work_run();
}

static uint32_t port(struct words *w)
{
	return 1 + (uint32_t)next_word(w, 1) % PORTS;
}

/* Known connections as often as not. */
static void send_packet(struct words *w, unsigned int op)
{
	struct vsock_header header = {
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = port(w),
		.dst_port = port(w),
		.type = VSOCK_STREAM,
		.op = (uint16_t)(next_word(w, 1) % 9),
		.len = (uint32_t)next_word(w, 2),
		.flags = (uint32_t)next_word(w, 1),
		.buf_alloc = (uint32_t)next_word(w, 2),
		.fwd_cnt = (uint32_t)next_word(w, 1),
	};
	uint32_t size = VSOCK_HEADER + header.len;

	if (op & 1) /* an answer to an offer */
		header.dst_port = 0x40000000u | (header.dst_port - 1);
	if (!(op & 0x0e)) { /* nothing of it holds */
		uint8_t *bytes = (uint8_t *)&header;

		bytes[next_word(w, 1) % VSOCK_HEADER] ^=
			(uint8_t)next_word(w, 1);
		size = (uint32_t)next_word(w, 2);
	}
	put(PACKETS, &header, sizeof(header));
	offer(1, PACKETS, size, false);
}

/* What came: the device wrote a whole packet, or nothing. */
static void look(void)
{
	uint16_t used;

	memory_read(&vm.memory, gpa(RINGS(0) + 0x802), &used, 2);
	for (; seen != used; seen++) {
		struct vsock_header header;
		uint32_t element[2];

		memory_read(&vm.memory,
			    gpa(RINGS(0) + 0x804 +
				8u * (seen % QUEUE_SIZE)), element, 8);
		if (!element[1])
			continue;
		memory_read(&vm.memory,
			    gpa(BUFFERS + BUFFER * (element[0] % QUEUE_SIZE)),
			    &header, sizeof(header));
		demand(element[1] == VSOCK_HEADER + header.len &&
		       header.dst_cid == CID);
	}
}

static void offer_buffer(struct words *w, unsigned int op)
{
	uint32_t size = op & 1 ? BUFFER : (uint32_t)next_word(w, 1);

	offer(0, BUFFERS + BUFFER * (next[0] % QUEUE_SIZE), size, true);
	look();
}

static void check_connections(void)
{
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		const struct vsock_connection *c = &vsock->connection[i];

		demand(c->received - c->forwarded <= VSOCK_BUFFER);
		demand(c->state != VSOCK_FREE || (!c->stream && !c->ring));
	}
}

static void outside(struct words *w, unsigned int op)
{
	struct vsock_stream *s = &streams.stream[next_word(w, 1) % 16];
	unsigned int count = (unsigned int)next_word(w, 2) % sizeof(input);

	switch (op & 7) {
	case 0:
		fake_streams_offer(&streams, port(w));
		break;
	case 1:
		streams.listens = port(w);
		break;
	case 2:
		if (s->open)
			fake_stream_put(s, input, count, count & 1);
		break;
	case 3:
		if (s->open)
			fake_stream_make_room(s, count);
		break;
	case 4:
		s->room = 0;
		break;
	case 5:
		if (s->open)
			fake_stream_hang_up(s);
		break;
	case 6:
		s->broken = s->open && count < 100;
		break;
	default:
		fake_time_advance((uint64_t)count * 2000000u);
		clock_run(&vm.clock);
		break;
	}
	vsock_poke(vsock);
	fake_work_run();
}

static void again(unsigned int op)
{
	if (op & 1) {
		virtio_vsock_class.state->loaded(vsock);
		vm_resume_devices(&vm);
	} else {
		start();
	}
	fake_work_run();
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
	case 1:
	case 2:
		send_packet(w, op);
		break;
	case 3:
	case 4:
		offer_buffer(w, op);
		break;
	case 5:
	case 6:
		outside(w, op);
		break;
	default:
		if (op & 0x1c)
			offer(2, BUFFERS, 4, true);
		else
			again(op);
		break;
	}
	check_connections();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build();
	start();
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	destroy_machine();
	demand(streams.opened == streams.closed);
	return 0;
}
