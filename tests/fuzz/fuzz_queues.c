/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtio devices with several queues, console and balloon. The
 * first byte picks one of them, ring format and features; then a driver sends
 * messages that often are nearly right, writes rings and registers as it likes,
 * and resets, while outside peers come and go, give input and take as much
 * output as they please, and ask for memory and statistics. The
 * machine is stopped and goes on at any moment. Whatever comes, the process and
 * what lies outside of guest memory stay as they are.
 */
#include "fuzz_driver.h"

#include "virtio/balloon.h"
#include "virtio/console.h"

#define QUEUES	   6 /* of two ports, and control */
#define RINGS(n)   (0x10000u + 0x1000u * (n)) /* 0x400 an area */
#define BUFFERS	   0x20000u
#define PORTS	   2

static struct virtio_console *console; /* NULL: the balloon */
static struct virtio_balloon balloon;
static uint64_t features;
static unsigned int room[PORTS];
static uint16_t next[QUEUES];

static unsigned int write_out(void *ctx, const uint8_t *data,
			      unsigned int count)
{
	unsigned int *left = ctx;
	const volatile uint8_t *bytes = data;

	if (count > *left)
		count = *left;
	for (unsigned int i = 0; i < count; i++)
		(void)bytes[i]; /* all of it can be read */
	*left -= count;
	return count;
}

static void ready(void *ctx)
{
}

static void build(unsigned int pick)
{
	const struct virtio_console_port port[PORTS] = {
		{ "first", { write_out, ready, &room[0] }, true },
		{ "second", { write_out, ready, &room[1] }, false },
	};
	const struct virtio_console_config ports = { port, PORTS };
	struct pci_device *pci;

	build_pci_machine();
	console = NULL;
	if (pick & 0x80) {
		demand(!virtio_balloon_init(&balloon, &vm));
		pci = &balloon.pci.pci;
	} else {
		demand(!virtio_console_create(&console, &vm, &ports));
		pci = virtio_console_pci(console);
	}
	attach(pci, PCI_DEVFN(2, 0));
	turn_on(4, 1);
	features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
		   VIRTIO_F_RING_RESET | (pick & 0x80 ? 0x3e : pick >> 2 & 7);
	if (pick & 1)
		features |= VIRTIO_F_RING_PACKED;
	if (pick & 2)
		features |= VIRTIO_F_EVENT_IDX;
}

static void start(void)
{
	static const uint8_t zero[0x1000];

	negotiate(features);
	for (unsigned int n = 0; n < QUEUES; n++) {
		put(RINGS(n), zero, sizeof(zero));
		next[n] = 0;
		set_up_queue(n, RINGS(n));
	}
	driver_ok();
}

static void offer(unsigned int n, uint64_t addr, uint32_t size, bool write)
{
	const struct virtq_desc desc = { addr, size, write ? VIRTQ_WRITE : 0,
					 0 };

	offer_one(n, RINGS(n), &next[n], &desc);
}

static void send(struct words *w, unsigned int n)
{
	uint64_t at = BUFFERS + 0x100u * n;
	struct {
		uint32_t id;
		uint16_t event, value;
	} message = {
		.id = (uint32_t)next_word(w, 1) & 3,
		.event = (uint16_t)next_word(w, 1) & 7,
		.value = (uint16_t)next_word(w, 1) & 1,
	};

	put(at, &message, sizeof(message));
	if (console)
		offer(n, at, n == 3 ? 8 : (uint32_t)next_word(w, 1), !(n & 1));
	else
		offer(n, n == 4 ? next_word(w, 3) : at,
		      (uint32_t)next_word(w, n == 4 ? 2 : 1), n == 4);
}

static void poke(struct words *w)
{
	uint64_t at = RINGS(0) + next_word(w, 2) % (0x1000 * QUEUES);
	uint64_t value = next_word(w, 8);

	put(at & ~UINT64_C(1), &value, 1u << (value & 3));
}

/* What happens outside. */
static void outside(struct words *w, unsigned int op)
{
	static const uint8_t input[300];
	unsigned int port = op & 1, count = (unsigned int)next_word(w, 1);

	if (!console) {
		if (port)
			virtio_balloon_set_target(&balloon, count << 12);
		else
			virtio_balloon_ask(&balloon);
		return;
	}
	switch (op >> 1 & 3) {
	case 0:
		demand(virtio_console_receive(console, port, input, count) <=
		       count);
		break;
	case 1:
		room[port] += count;
		virtio_console_room(console, port);
		break;
	case 2:
		virtio_console_set_open(console, port, count & 1);
		break;
	default:
		if (count < 8)
			virtio_console_remove(console, port);
		else
			virtio_console_resize(console, count, 25);
		break;
	}
}

static void step(struct words *w, unsigned int op)
{
	uint64_t word;

	switch (op >> 5) {
	case 0:
	case 1:
		send(w, op % QUEUES);
		break;
	case 2:
		send(w, 2 + (op & 1));
		break;
	case 3:
		outside(w, op);
		break;
	case 4:
		poke(w);
		break;
	case 5:
		word = next_word(w, 4);
		regs(op & 0x1f ? (op & 0x1f) * 2 : 0x2000 + (word & 0xff),
		     1u << (word & 3), word >> 8);
		break;
	case 6:
		vm_quiesce_devices(&vm);
		outside(w, op);
		vm_resume_devices(&vm);
		break;
	default:
		if (op & 1)
			start();
		else
			regs(NOTIFY + 4 * (op >> 1 & 7), 2, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	room[0] = room[1] = 64;
	build((unsigned int)next_word(&w, 1));
	start();
	while (w.left) {
		step(&w, (unsigned int)next_word(&w, 1));
		fake_work_run();
	}
	destroy_machine();
	return 0;
}
