/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench for the NVMe controller: a disk, guest memory, and a driver's ways
 * to make queues and to put commands into them. Each test program that includes
 * it has its own.
 */
#ifndef LODGE_TEST_DEVICE_NVME_RIG_H
#define LODGE_TEST_DEVICE_NVME_RIG_H

#include "device/nvme.h"

#include "device/nvme_impl.h"
#include "fake/block.h"
#include "pci_rig.h"

#define DEVFN	PCI_DEVFN(8, 0)
#define BAR	0xd0000000ull
#define MSIX	0xd1000000ull
#define SECTORS 4096u
#define QUEUES	16u

/* Where the driver keeps things in guest memory. */
#define ADMIN_SQ 0x10000u
#define ADMIN_CQ 0x11000u
#define IO_SQ	 0x12000u /* 0x1000 a queue */
#define IO_CQ	 0x32000u
#define LIST	 0x60000u
#define DATA	 0x80000u
#define ENTRIES	 16u

static struct pci_rig rig;
static struct fake_block disk;
static uint8_t image[SECTORS * 512];
static struct nvme *nvme;

/* The driver's side of the queues. */
static struct queue {
	uint32_t sq, cq, tail, head, phase;
} queues[QUEUES + 1];

static inline void poke(uint32_t at, const void *data, size_t size)
{
	assert_int_equal(memory_write(&rig.rig.vm.memory, gpa(at), data,
				      size), 0);
}

static inline void peek(uint32_t at, void *data, size_t size)
{
	assert_int_equal(memory_read(&rig.rig.vm.memory, gpa(at), data, size),
			 0);
}

static inline uint32_t get(unsigned int at)
{
	return (uint32_t)bus_read(&rig.rig.vm.mmio, BAR + at, 4);
}

static inline void set(unsigned int at, uint32_t value)
{
	bus_write(&rig.rig.vm.mmio, BAR + at, 4, value);
}

static inline void set_up_queue(unsigned int id, uint32_t sq, uint32_t cq)
{
	static const uint8_t nothing[ENTRIES * NVME_COMPLETION];

	queues[id] = (struct queue){ .sq = sq, .cq = cq, .phase = 1 };
	poke(cq, nothing, sizeof(nothing));
}

static inline void enable(void)
{
	set(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set(NVME_ASQ, ADMIN_SQ);
	set(NVME_ASQ + 4, 0);
	set(NVME_ACQ, ADMIN_CQ);
	set(NVME_ACQ + 4, 0);
	set_up_queue(0, ADMIN_SQ, ADMIN_CQ);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY);
}

static inline void disable(void)
{
	set(NVME_CC, NVME_CC_SIZES);
}

static inline int setup(void **state)
{
	const struct nvme_config config = {
		.block = &disk.block,
		.serial = "serial",
		.queues = QUEUES,
	};

	memset(queues, 0, sizeof(queues));
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	for (unsigned int i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i / 512 + i);
	fake_block_init(&disk, image, sizeof(image));
	assert_int_equal(nvme_create(&nvme, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, nvme_pci(nvme), DEVFN), 0);
	pci_rig_set(&rig, DEVFN, PCI_BAR0, 4, (uint32_t)BAR);
	pci_rig_set(&rig, DEVFN, PCI_BAR0 + 16, 4, (uint32_t)MSIX);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	enable();
	return 0;
}

static inline int teardown(void **state)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	fake_work_run();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* --- the driver ------------------------------------------------------------------- */

static inline void queue_command(unsigned int id, const uint32_t *dw)
{
	struct queue *q = &queues[id];

	poke(q->sq + q->tail * NVME_COMMAND, dw, NVME_COMMAND);
	q->tail = (q->tail + 1) % ENTRIES;
}

static inline void ring(unsigned int id)
{
	set(NVME_DOORBELLS + 8 * id, queues[id].tail);
	fake_work_run();
}

/* The next completion of a queue; false: none has come. */
static inline bool completion(unsigned int id, uint32_t entry[4])
{
	struct queue *q = &queues[id];

	peek(q->cq + q->head * NVME_COMPLETION, entry, NVME_COMPLETION);
	if ((entry[3] >> 16 & 1) != q->phase)
		return false;
	q->head = (q->head + 1) % ENTRIES;
	q->phase ^= !q->head;
	set(NVME_DOORBELLS + 8 * id + 4, q->head);
	fake_work_run();
	return true;
}

/* Runs a command that ends at once; its status, and *result. */
static inline uint32_t command_for(unsigned int id, const uint32_t *dw,
			    uint32_t *result)
{
	uint32_t entry[4];

	queue_command(id, dw);
	ring(id);
	assert_true(completion(id, entry));
	assert_int_equal(entry[3] & 0xffff, dw[0] >> 16);
	assert_int_equal(entry[2] >> 16, id);
	if (result)
		*result = entry[0];
	return entry[3] >> 17 & NVME_CODE;
}

static inline uint32_t command(unsigned int id, const uint32_t *dw)
{
	return command_for(id, dw, NULL);
}

static inline uint32_t admin(uint32_t op, uint32_t space, uint32_t dw10,
		      uint32_t dw11)
{
	const uint32_t dw[16] = {
		op | 0x1230000, space, [6] = DATA, [10] = dw10, dw11,
	};

	return command(0, dw);
}

static inline uint32_t create_cq(unsigned int id, unsigned int entries, uint32_t dw11)
{
	const uint32_t dw[16] = {
		NVME_CREATE_CQ, [6] = IO_CQ + id * 0x1000,
		[10] = id | (entries - 1) << 16, dw11,
	};

	return command(0, dw);
}

static inline uint32_t create_sq(unsigned int id, unsigned int entries, uint32_t dw11)
{
	const uint32_t dw[16] = {
		NVME_CREATE_SQ, [6] = IO_SQ + id * 0x1000,
		[10] = id | (entries - 1) << 16, dw11,
	};

	return command(0, dw);
}

static inline void make_pair(unsigned int id)
{
	set_up_queue(id, IO_SQ + id * 0x1000, IO_CQ + id * 0x1000);
	assert_int_equal(create_cq(id, ENTRIES, NVME_QUEUE_PC | NVME_QUEUE_IEN),
			 NVME_OK);
	assert_int_equal(create_sq(id, ENTRIES, NVME_QUEUE_PC | id << 16),
			 NVME_OK);
}

static inline void fill_io(uint32_t *dw, uint32_t op, uint64_t lba, uint32_t count)
{
	memset(dw, 0, NVME_COMMAND);
	dw[0] = op | 0x770000;
	dw[1] = 1;
	dw[6] = DATA;
	dw[8] = count > 16 ? LIST : DATA + NVME_PAGE;
	dw[10] = (uint32_t)lba;
	dw[11] = (uint32_t)(lba >> 32);
	dw[12] = count - 1;
}

static inline uint32_t io(uint32_t op, uint64_t lba, uint32_t count)
{
	uint32_t dw[16];

	fill_io(dw, op, lba, count);
	return command(1, dw);
}

/* A list of pages from DATA + 4096 on; `each` entries are in its first page. */
static inline void make_list(unsigned int pages, unsigned int each)
{
	uint64_t at = LIST + (512 - each) * 8;

	for (unsigned int i = 0; i < pages; i++) {
		uint64_t entry = DATA + (i + 1) * NVME_PAGE;

		if (at % NVME_PAGE == NVME_PAGE - 8 && i + 1 < pages) {
			uint64_t next = (at & ~(uint64_t)0xfff) + NVME_PAGE;

			poke((uint32_t)at, &next, 8);
			at = next;
		}
		poke((uint32_t)at, &entry, 8);
		at += 8;
	}
}

static inline uint32_t feature(uint32_t op, uint32_t id, uint32_t dw11,
				uint32_t *result)
{
	const uint32_t dw[16] = { op, 1, [10] = id, dw11 };

	return command_for(0, dw, result);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
