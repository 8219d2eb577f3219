/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtqueues and the devices behind them. The first byte picks a
 * device and the ring format; then a driver that knows no rules fills rings,
 * tables and requests, notifies, writes registers, resets; the disk's
 * requests end in any order. Whatever comes, the process and what lies
 * outside of guest memory stay as they are.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>

#include "chip/pci_host.h"
#include "fake/block.h"
#include "fake/host.h"
#include "virtio/blk.h"
#include "virtio/rng.h"

#define BAR   0xd0000000u
#define MSIX  0xd1000000u
#define RAM   0x100000u
#define RINGS 0x1000u /* desc, driver and device area, 0x400 each */
#define QUEUE_SIZE 16

static struct vm vm;
static struct pci_host host;
static struct virtio_rng rng;
static struct virtio_blk *blk;
static struct fake_block disk;
static uint8_t image[65536];
static uint64_t features;

static void demand(int holds)
{
	if (!holds)
		abort();
}

static void config(unsigned int at, unsigned int size, uint32_t value)
{
	bus_write(&vm.pio, 0xcf8, 4,
		  0x80000000u | PCI_DEVFN(2, 0) << 8 | (at & 0xfc));
	bus_write(&vm.pio, 0xcfc + (at & 3), size, value);
}

static void common(unsigned int at, unsigned int size, uint64_t value)
{
	bus_write(&vm.mmio, BAR + at, size, value);
}

static void build(unsigned int pick)
{
	const struct irq nowhere = { 0 };
	const struct virtio_blk_config disk_config = {
		.block = &disk.block,
		.queues = 1,
		.serial = "fuzz",
	};
	struct pci_device *pci = &rng.pci.pci;

	fake_host_reset();
	vm_init(&vm, "fuzz");
	demand(!memory_init(&vm.memory, RAM, 0));
	demand(!memory_add(&vm.memory, MEMORY_RAM, gpa(0), RAM, "RAM"));
	demand(!host_worker_create(&vm.worker, "devices"));
	demand(!pci_host_init(&host, &vm, &nowhere, NULL));
	fake_block_init(&disk, image, sizeof(image));
	disk.later = pick & 2;
	if (pick & 1) {
		demand(!virtio_blk_create(&blk, &vm, &disk_config));
		pci = virtio_blk_pci(blk);
	} else {
		demand(!virtio_rng_init(&rng, &vm));
	}
	demand(!pci_attach(&host.root, pci, PCI_DEVFN(2, 0)));
	config(PCI_BAR0 + 4, 4, MSIX);
	config(PCI_BAR0 + 16, 4, BAR);
	config(PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
		   VIRTIO_F_RING_RESET;
	if (pick & 4)
		features |= VIRTIO_F_RING_PACKED;
	if (pick & 8)
		features |= VIRTIO_F_EVENT_IDX;
	if (pick & 1)
		features |= VIRTIO_F(13) | VIRTIO_F(14); /* ranges */
}

static void set_up_queue(void)
{
	common(VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	common(VIRTIO_COMMON_QUEUE_SIZE, 2, QUEUE_SIZE);
	common(VIRTIO_COMMON_QUEUE_DESC, 8, RINGS);
	common(VIRTIO_COMMON_QUEUE_DRIVER, 8, RINGS + 0x400);
	common(VIRTIO_COMMON_QUEUE_DEVICE, 8, RINGS + 0x800);
	common(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
}

static void start(void)
{
	common(VIRTIO_COMMON_STATUS, 1, 0);
	common(VIRTIO_COMMON_STATUS, 1, 3);
	for (unsigned int i = 0; i < 2; i++) {
		common(VIRTIO_COMMON_DRIVER_SELECT, 4, i);
		common(VIRTIO_COMMON_DRIVER_FEATURE, 4,
		       (uint32_t)(features >> 32 * i));
	}
	common(VIRTIO_COMMON_STATUS, 1, 0x0b);
	set_up_queue();
	common(VIRTIO_COMMON_STATUS, 1, 0x0f);
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
	memory_write(&vm.memory, gpa(at), bytes, size);
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
		common(0x3000, 2, 0); /* notify */
		break;
	case 4:
		if (disk.waiting_count)
			fake_block_end(&disk, op % disk.waiting_count);
		break;
	case 5:
		word = next_word(w, 4);
		common(op & 0x1f ? (op & 0x1f) * 2 : 0x2000 + (word & 0xff),
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
			while (disk.waiting_count)
				fake_block_end(&disk, 0);
		fake_work_run();
	}
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	vm_fini(&vm);
	demand(fake_live() == 0);
	return 0;
}
