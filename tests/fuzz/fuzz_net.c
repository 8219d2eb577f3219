/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the network card with a link behind it. A driver sends frames
 * whose headers often are nearly right, offers buffers of all sizes or none,
 * gives commands, resets, is stopped and goes on; the net gives frames, takes
 * none for a while, loses its link. Whatever comes: what reaches the backend
 * is as large as it says and leaves nothing open that the backend cannot do,
 * and the driver is given whole frames, in buffers that were its own.
 */
#include "fuzz_driver.h"

#include "fake_net.h"
#include "net/link.h"
#include "virtio/net_impl.h"

#define PAIRS	   2u
#define QUEUES	   (2 * PAIRS + 1)
#define RINGS(n)   (0x10000u + 0x1000u * (n)) /* 0x400 an area */
#define FRAMES	   0x20000u
#define BUFFERS	   0x40000u
#define BUFFER	   0x1000u
#define ANSWER	   0x3f000u

struct header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, buffers;
};

static struct virtio_net *card;
static struct fake_net backend;
static struct net *behind;
static uint16_t next[QUEUES], seen[QUEUES];
static uint64_t features;
static uint8_t bytes[NIC_FRAME_MAX];

static void build(unsigned int can)
{
	struct virtio_net_config config = {
		.mac = { 2, 0, 0, 0, 0, 1 },
		.mtu = 1500,
		.queues = PAIRS,
	};

	build_pci_machine();
	fake_net_init(&backend);
	backend.net.can = can & NIC_CAN_ALL;
	behind = net_link_create(&backend.net, NULL);
	demand(!!behind);
	config.net = behind;
	demand(!virtio_net_create(&card, &vm, &config));
	attach(virtio_net_pci(card), PCI_DEVFN(2, 0));
	turn_on(4, -1);
	clock_start(&vm.clock);
}

static void start(void)
{
	static const uint8_t zero[0x1000];
	unsigned int queues = features & NET_F_MQ ? QUEUES : 3;

	regs(VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	negotiate(features | VIRTIO_F_VERSION_1);
	for (unsigned int n = 0; n < queues; n++) {
		put(RINGS(n), zero, sizeof(zero));
		next[n] = seen[n] = 0;
		set_up_queue(n, RINGS(n));
	}
	driver_ok();
}

static void offer(unsigned int n, uint64_t addr, uint32_t size, bool write)
{
	const struct virtq_desc desc = { addr, size, write ? VIRTQ_WRITE : 0,
					 0 };

	offer_one(n, RINGS(n), &next[n], &desc);
	fake_work_run();
}

/* A frame of TCP with a header that fits it, but for what is changed. */
static void make_frame(struct words *w, struct header *h, uint8_t *frame)
{
	bool v6 = next_word(w, 1) & 1;
	unsigned int ip = next_word(w, 1) & 1 ? 18 : 14;

	memset(frame, 2, 12);
	if (ip == 18)
		memcpy(frame + 12, "\x81\0\0\1", 4);
	memcpy(frame + ip - 2, v6 ? "\x86\xdd" : "\x08\0", 2);
	frame[ip] = v6 ? 0x60 : 0x45;
	*h = (struct header){
		.flags = 1,
		.gso_type = v6 ? 4 : 1,
		.gso_size = (uint16_t)next_word(w, 2),
		.csum_start = (uint16_t)(ip + (v6 ? 40 : 20)),
		.csum_offset = 16,
	};
	frame[h->csum_start + 12] = 0x50;
}

static void send_frame(struct words *w, unsigned int op)
{
	uint8_t frame[160] = { 0 };
	struct header h = { 0 };
	uint32_t size = (uint32_t)next_word(w, 2);

	if (op & 1)
		make_frame(w, &h, frame);
	if (op & 2)
		((uint8_t *)&h)[next_word(w, 1) % sizeof(h)] ^=
			(uint8_t)next_word(w, 1);
	if (op & 4)
		frame[next_word(w, 1) % sizeof(frame)] ^=
			(uint8_t)next_word(w, 1);
	put(FRAMES, &h, sizeof(h));
	put(FRAMES + sizeof(h), frame, sizeof(frame));
	offer(op & 8 && features & NET_F_MQ ? 3 : 1, FRAMES, size, false);
	for (unsigned int i = 0; i < FAKE_NET_FRAMES && i < backend.sent; i++)
		demand(!(nic_frame_needs(&backend.frame[i].frame) &
			 ~backend.net.can));
}

static void offer_buffer(struct words *w, unsigned int op)
{
	unsigned int n = op & 1 && features & NET_F_MQ ? 2 : 0;
	uint32_t size = op & 2 ? BUFFER : (uint32_t)next_word(w, 2) % BUFFER;

	offer(n, BUFFERS + BUFFER * (QUEUE_SIZE * n + next[n] % QUEUE_SIZE),
	      size, true);
}

/* What came: whole frames, each in as many buffers as it says. */
static void look(unsigned int n)
{
	uint32_t left = 0, element[2];
	struct header h;
	uint16_t used;

	memory_read(&vm.memory, gpa(RINGS(n) + 0x802), &used, 2);
	for (; seen[n] != used; seen[n]++) {
		memory_read(&vm.memory,
			    gpa(RINGS(n) + 0x804 +
				8u * (seen[n] % QUEUE_SIZE)), element, 8);
		demand(element[0] < QUEUE_SIZE && element[1] <= BUFFER);
		if (!left) {
			demand(element[1] >= sizeof(h));
			memory_read(&vm.memory,
				    gpa(BUFFERS +
					BUFFER * (QUEUE_SIZE * n + element[0])),
				    &h, sizeof(h));
			left = h.buffers;
			demand(left && left <= QUEUE_SIZE);
		}
		left--;
	}
	demand(!left);
}

static void give_frame(struct words *w, unsigned int op)
{
	struct span span[2] = { { bytes, next_word(w, 1) % 200 } };
	uint32_t size = NIC_FRAME_MIN + (uint32_t)next_word(w, 2) %
						(NIC_FRAME_MAX - 14);
	struct nic_frame frame = { .span = span, .spans = 2, .size = size };
	struct nic *nic = backend.net.nic;
	struct header h;

	if (span[0].size > size)
		span[0].size = size;
	span[1] = (struct span){ bytes + span[0].size, size - span[0].size };
	memset(bytes, 0xff, 6);
	make_frame(w, &h, bytes);
	if ((op & 1) && size >= 100) {
		frame.sum = NIC_SUM_OPEN;
		frame.sum_start = h.csum_start;
		frame.sum_offset = 16;
	}
	if ((op & 3) == 3 && size >= 100 && h.gso_size) {
		frame.cut = h.gso_type == 4 ? NIC_CUT_TCP6 : NIC_CUT_TCP4;
		frame.segment = h.gso_size;
		frame.header = (uint16_t)(h.csum_start + 20);
		frame.ecn = op & 4;
	}
	nic->ops->receive(nic, &frame);
	nic->ops->flush(nic);
	if (!(features & VIRTIO_F_RING_PACKED)) {
		look(0);
		if (features & NET_F_MQ)
			look(2);
	}
}

static void give_command(struct words *w, unsigned int op)
{
	unsigned int n = features & NET_F_MQ ? 2 * PAIRS : 2;
	struct virtq_desc desc[2] = {
		{ FRAMES, 2 + (uint32_t)next_word(w, 1), VIRTQ_NEXT, 1 },
		{ ANSWER, 1, VIRTQ_WRITE, 0 },
	};
	uint8_t command[64] = { (uint8_t)(next_word(w, 1) % 7),
				(uint8_t)(next_word(w, 1) % 7) };
	const uint16_t head = 0;

	for (unsigned int i = 2; i < sizeof(command); i++)
		command[i] = (uint8_t)next_word(w, op & 1);
	if (op & 2)
		desc[0].len = 2 + (uint32_t[]){ 1, 8, 2, 0, 2, 8, 6 }
					  [command[0]];
	put(FRAMES, command, sizeof(command));
	put(RINGS(n), desc, sizeof(desc));
	put(RINGS(n) + DRIVER_AREA + 4 + 2u * (next[n] % QUEUE_SIZE), &head,
	    2);
	next[n]++;
	put(RINGS(n) + DRIVER_AREA + 2, &next[n], 2);
	regs(NOTIFY + 4 * n, 2, 0);
	fake_work_run();
}

static void outside(struct words *w, unsigned int op)
{
	struct nic *nic = backend.net.nic;

	switch (op & 7) {
	case 0:
		backend.later = true;
		break;
	case 1:
	case 2:
		backend.later = false;
		nic->ops->again(nic);
		break;
	case 3:
		nic->ops->link(nic, op & 8);
		break;
	case 4:
		nic->ops->announce(nic);
		break;
	case 5:
		vm_quiesce_devices(&vm);
		give_frame(w, op);
		vm_resume_devices(&vm);
		break;
	case 6:
		virtio_net_class.state->loaded(card);
		vm_resume_devices(&vm);
		break;
	default:
		features = next_word(w, 8) & card->virtio.features &
			   ~VIRTIO_F_RING_PACKED;
		start();
		break;
	}
	fake_work_run();
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
	case 1:
		send_frame(w, op);
		break;
	case 2:
	case 3:
		offer_buffer(w, op);
		break;
	case 4:
	case 5:
		give_frame(w, op);
		break;
	case 6:
		give_command(w, op);
		break;
	default:
		outside(w, op);
		break;
	}
	demand(card->pairs >= 1 && card->pairs <= PAIRS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	features = next_word(&w, 4);
	features |= next_word(&w, 1) << 32;
	features &= card->virtio.features & ~VIRTIO_F_RING_PACKED;
	start();
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	destroy_machine();
	demand(backend.parts == 1);
	behind->ops->close(behind);
	return 0;
}
