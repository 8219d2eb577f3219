/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtqueues and the devices behind them. The first byte picks a
 * device and the ring format; then a driver that knows no rules fills rings,
 * tables and requests, notifies, writes registers, resets; the disk's
 * requests end in any order. Whatever comes, the process and what lies
 * outside of guest memory stay as they are.
 */
#include "fuzz_driver.h"

#include "virtio/blk.h"
#include "virtio/rng.h"

#define RINGS 0x1000u /* desc, driver and device area, 0x400 each */

static struct virtio_rng rng;
static struct virtio_blk *blk;
static struct fake_block disk;
static uint8_t image[65536];
static uint64_t features;

static void build(unsigned int pick)
{
	const struct virtio_blk_config disk_config = {
		.block = &disk.block,
		.queues = 1,
		.serial = "fuzz",
	};
	struct pci_device *pci = &rng.pci.pci;

	build_pci_machine();
	fake_block_init(&disk, image, sizeof(image));
	disk.later = pick & 2;
	if (pick & 1) {
		demand(!virtio_blk_create(&blk, &vm, &disk_config));
		pci = virtio_blk_pci(blk);
	} else {
		demand(!virtio_rng_init(&rng, &vm));
	}
	attach(pci, PCI_DEVFN(2, 0));
	turn_on(4, 1);
	features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
		   VIRTIO_F_RING_RESET;
	if (pick & 4)
		features |= VIRTIO_F_RING_PACKED;
	if (pick & 8)
		features |= VIRTIO_F_EVENT_IDX;
	if (pick & 1)
		features |= VIRTIO_F(13) | VIRTIO_F(14); /* ranges */
}

static void start(void)
{
	negotiate(features);
	set_up_queue(0, RINGS);
	driver_ok();
}

/* Ring words and descriptors; addresses that often are memory. */
static void poke(struct words *w, unsigned int op)
{
	unsigned int size = op & 1 ? 2 : 16;
	uint64_t at = RINGS + (next_word(w, 2) % 0x1400 & ~(uint64_t)1);
	uint8_t bytes[16];

	for (unsigned int i = 0; i < size; i++)
		bytes[i] = (uint8_t)next_word(w, 1);
	if (size == 16 && (op & 2)) {
		memset(bytes + 3, 0, 5); /* below 16 MiB */
		bytes[2] &= 0x1f;
		memset(bytes + 10, 0, 2);
	}
	put(at, bytes, size);
}

static void step(struct words *w, unsigned int op)
{
	uint64_t word;

	switch (op >> 5) {
	case 0:
	case 1:
	case 2:
		poke(w, op);
		break;
	case 3:
		regs(NOTIFY, 2, 0);
		break;
	case 4:
		end_one(&disk, op);
		break;
	case 5:
		word = next_word(w, 4);
		regs(op & 0x1f ? (op & 0x1f) * 2 : 0x2000 + (word & 0xff),
		       1u << (word & 3), word >> 8);
		break;
	case 6:
		word = next_word(w, 2);
		config(word & 0xff, 1u << (word >> 8 & 1), (uint32_t)word >> 9);
		break;
	default:
		if (op & 1)
			start();
		else
			disk.fail = op & 2 ? -5 : 0;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	start();
	while (w.left) {
		step(&w, (unsigned int)next_word(&w, 1));
		if (disk.waiting_count > FAKE_BLOCK_WAITING / 2)
			end_waiting(&disk, NULL);
		fake_work_run();
	}
	end_waiting(&disk, NULL);
	destroy_machine();
	return 0;
}
