/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the 82540EM before a net that takes frames or puts them off. A
 * driver that knows no rules writes registers, rings and descriptors; frames
 * of any size come. Whatever is sent has the sizes that the packet contract
 * promises, and lies in guest memory.
 */
#include "fuzz_machine.h"

#include "device/e1000.h"
#include "device/e1000_reg.h"

#define TX_RING 0x10000u
#define RX_RING 0x12000u
#define DATA	0x20000u
#define RING	16u

static struct e1000 *card;
static bool puts_off;
static uint8_t copy[NIC_FRAME_MAX];

/* All that a net may rely on (vm/nic.h). */
static bool send_frame(struct net *net, unsigned int queue,
		       const struct nic_frame *frame)
{
	size_t size = 0;

	for (unsigned int i = 0; i < frame->spans; i++)
		size += frame->span[i].size;
	demand(size == frame->size && size >= NIC_FRAME_MIN &&
	       size <= NIC_FRAME_MAX);
	if (frame->sum == NIC_SUM_OPEN)
		demand((uint32_t)frame->sum_start + frame->sum_offset + 2 <=
		       frame->size);
	if (frame->cut)
		demand(frame->sum == NIC_SUM_OPEN && frame->segment &&
		       frame->header < frame->size);
	nic_frame_read(frame, 0, copy, frame->size);
	return !puts_off;
}

static void part(struct net *net)
{
}

static const struct net_ops ops = { .send = send_frame, .part = part };
static struct net net = { .ops = &ops, .link = true };

static void start(void)
{
	set(E1000_RDBAL, RX_RING);
	set(E1000_RDLEN, RING * E1000_DESC);
	set(E1000_TDBAL, TX_RING);
	set(E1000_TDLEN, RING * E1000_DESC);
	set(E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_MPE);
	set(E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
}

static void descriptor(struct words *w, uint32_t ring)
{
	uint32_t d[4] = { DATA + (uint32_t)next_word(w, 2) };

	d[2] = (uint32_t)next_word(w, 2);
	d[2] |= (uint32_t)next_word(w, 2) << 16;
	d[3] = (uint32_t)next_word(w, 4);
	/* A context's fields lie where a buffer's address does. */
	if (d[2] & E1000_TX_EXT && !(d[2] & E1000_TX_DATA)) {
		d[0] = (uint32_t)next_word(w, 4);
		d[1] = (uint32_t)next_word(w, 4);
	}
	put(ring + (uint32_t)next_word(w, 1) % RING * E1000_DESC, d,
	    sizeof(d));
}

static void receive(struct words *w)
{
	uint32_t size = NIC_FRAME_MIN + (uint32_t)next_word(w, 2) % 16384;
	const struct span span = { copy, size };
	struct nic_frame frame = {
		.span = &span, .spans = 1, .size = size,
		.sum = (enum nic_sum)(next_word(w, 1) % 3),
	};
	struct nic *nic = e1000_nic(card);

	for (unsigned int i = 0; i < 18; i++)
		copy[i] = (uint8_t)next_word(w, 1);
	nic->ops->receive(nic, &frame);
	nic->ops->flush(nic);
}

static void outside(unsigned int op)
{
	struct nic *nic = e1000_nic(card);

	if (op & 1)
		puts_off = !puts_off;
	if (op & 2)
		nic->ops->again(nic);
	if (op & 4)
		nic->ops->link(nic, op & 8);
	if (op & 16)
		config(PCI_COMMAND, 2, op & 7);
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
	case 1:
		descriptor(w, TX_RING);
		break;
	case 2:
		set(E1000_TDT, op % RING);
		break;
	case 3:
		descriptor(w, RX_RING);
		set(E1000_RDT, op % RING);
		break;
	case 4:
		receive(w);
		break;
	case 5:
		set((uint32_t)next_word(w, 2) & 0x5ffc,
		    (uint32_t)next_word(w, 4));
		break;
	case 6:
		bus_read(&vm.mmio, BAR + ((uint32_t)next_word(w, 2) & 0x5ffc),
			 4);
		outside(op);
		break;
	default:
		start();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct e1000_config setup = {
		.net = &net, .mac = { 0x52, 0x54, 0, 1, 2, 3 },
	};
	struct words w = { data, size };

	build_pci_machine();
	puts_off = false;
	demand(!e1000_create(&card, &vm, &setup));
	attach(e1000_pci(card), PCI_DEVFN(2, 0));
	turn_on(0, -1);
	start();
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	destroy_machine();
	return 0;
}
