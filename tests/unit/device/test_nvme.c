/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NVMe controller as a driver talks to it; and as one would that means
 * harm.
 */
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

static void poke(uint32_t at, const void *data, size_t size)
{
	assert_int_equal(memory_write(&rig.rig.vm.memory, gpa(at), data,
				      size), 0);
}

static void peek(uint32_t at, void *data, size_t size)
{
	assert_int_equal(memory_read(&rig.rig.vm.memory, gpa(at), data, size),
			 0);
}

static uint32_t get(unsigned int at)
{
	return (uint32_t)bus_read(&rig.rig.vm.mmio, BAR + at, 4);
}

static void set(unsigned int at, uint32_t value)
{
	bus_write(&rig.rig.vm.mmio, BAR + at, 4, value);
}

static void set_up_queue(unsigned int id, uint32_t sq, uint32_t cq)
{
	static const uint8_t nothing[ENTRIES * NVME_COMPLETION];

	queues[id] = (struct queue){ .sq = sq, .cq = cq, .phase = 1 };
	poke(cq, nothing, sizeof(nothing));
}

static void enable(void)
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

static void disable(void)
{
	set(NVME_CC, NVME_CC_SIZES);
}

static int setup(void **state)
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

static int teardown(void **state)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	fake_work_run();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* --- the driver ------------------------------------------------------------------- */

static void queue_command(unsigned int id, const uint32_t *dw)
{
	struct queue *q = &queues[id];

	poke(q->sq + q->tail * NVME_COMMAND, dw, NVME_COMMAND);
	q->tail = (q->tail + 1) % ENTRIES;
}

static void ring(unsigned int id)
{
	set(NVME_DOORBELLS + 8 * id, queues[id].tail);
	fake_work_run();
}

/* The next completion of a queue; false: none has come. */
static bool completion(unsigned int id, uint32_t entry[4])
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
static uint32_t command_for(unsigned int id, const uint32_t *dw,
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

static uint32_t command(unsigned int id, const uint32_t *dw)
{
	return command_for(id, dw, NULL);
}

static uint32_t admin(uint32_t op, uint32_t space, uint32_t dw10,
		      uint32_t dw11)
{
	const uint32_t dw[16] = {
		op | 0x1230000, space, [6] = DATA, [10] = dw10, dw11,
	};

	return command(0, dw);
}

static uint32_t create_cq(unsigned int id, unsigned int entries, uint32_t dw11)
{
	const uint32_t dw[16] = {
		NVME_CREATE_CQ, [6] = IO_CQ + id * 0x1000,
		[10] = id | (entries - 1) << 16, dw11,
	};

	return command(0, dw);
}

static uint32_t create_sq(unsigned int id, unsigned int entries, uint32_t dw11)
{
	const uint32_t dw[16] = {
		NVME_CREATE_SQ, [6] = IO_SQ + id * 0x1000,
		[10] = id | (entries - 1) << 16, dw11,
	};

	return command(0, dw);
}

static void make_pair(unsigned int id)
{
	set_up_queue(id, IO_SQ + id * 0x1000, IO_CQ + id * 0x1000);
	assert_int_equal(create_cq(id, ENTRIES, NVME_QUEUE_PC | NVME_QUEUE_IEN),
			 NVME_OK);
	assert_int_equal(create_sq(id, ENTRIES, NVME_QUEUE_PC | id << 16),
			 NVME_OK);
}

static void fill_io(uint32_t *dw, uint32_t op, uint64_t lba, uint32_t count)
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

static uint32_t io(uint32_t op, uint64_t lba, uint32_t count)
{
	uint32_t dw[16];

	fill_io(dw, op, lba, count);
	return command(1, dw);
}

/* A list of pages from DATA + 4096 on; `each` entries are in its first page. */
static void make_list(unsigned int pages, unsigned int each)
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

/* --- the controller ------------------------------------------------------------------ */

static void registers(void **state)
{
	uint64_t cap = bus_read(&rig.rig.vm.mmio, BAR + NVME_CAP, 8);

	assert_int_equal(cap & 0xffff, NVME_ENTRIES - 1);
	assert_true(cap & NVME_CAP_CSS_NVM);
	assert_int_equal(cap >> 48, 0); /* pages of 4 KiB */
	assert_int_equal(get(NVME_VS), 0x10400);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 8, 4) >> 8, 0x010802);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8),
			 ADMIN_SQ);
	bus_write(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8, 0x1234567fff);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8),
			 0x1234567000);
	set(NVME_INTMS, 5);
	set(NVME_INTMC, 4);
	assert_int_equal(get(NVME_INTMS), 1);
}

/* What it cannot do ends in a fatal status, which a reset mends. */
static void wrong_configurations(void **state)
{
	static const uint32_t wrong[] = { 0x10, 0x80, 0x800, 0 };

	for (unsigned int i = 0; i < 4; i++) {
		disable();
		assert_int_equal(get(NVME_CSTS), 0);
		if (!wrong[i])
			set(NVME_AQA, 0);
		set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN | wrong[i]);
		assert_int_equal(get(NVME_CSTS), NVME_CSTS_CFS);
	}
	disable();
	enable();
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_CONTROLLER, 0),
			 NVME_OK);
}

static void queues_outside_of_memory(void **state)
{
	disable();
	set(NVME_ASQ, 0xfffff000);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
	set(NVME_DOORBELLS, 1);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	disable();
	enable();
	disable();
	set(NVME_ACQ, 0xfffff000);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
	set(NVME_DOORBELLS, 1);
	fake_work_run();
	assert_true(get(NVME_CSTS) & NVME_CSTS_CFS);
}

static void shut_down(void **state)
{
	uint32_t dw[16];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_WRITE, 1, 1);
	queue_command(1, dw);
	ring(1);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN | 0x4000);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
	assert_int_equal(disk.waiting_count, 1);
	fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
	fake_block_end(&disk, 0);
	assert_int_equal(disk.flushes, 1);
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_OVER);
	disk.later = false;
	disable();
	enable();
}

/* Memory is the guest's again when RDY is clear. */
static void reset_under_way(void **state)
{
	const uint32_t delete[16] = { NVME_DELETE_SQ, [10] = 1 };
	uint32_t dw[16], entry[4];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_READ, 1, 1);
	queue_command(1, dw);
	ring(1);
	queue_command(0, delete);
	ring(0);
	disable();
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN); /* too soon: waits */
	fake_block_end(&disk, 0);
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY);
	assert_false(completion(1, entry));
	disable();
	assert_int_equal(get(NVME_CSTS), 0);
	disk.later = false;
	enable();
	make_pair(1);
	assert_int_equal(io(NVME_READ, 1, 1), NVME_OK);
}

/* --- admin commands -------------------------------------------------------------------- */

static void identify(void **state)
{
	uint8_t id[4096];
	uint32_t list[2];
	uint64_t size;

	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_CONTROLLER, 0),
			 NVME_OK);
	peek(DATA, id, sizeof(id));
	assert_memory_equal(id + 4, "serial              ", 20);
	assert_memory_equal(id + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32);
	assert_int_equal(id[512] | id[513] << 8, 0x4466);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 1, NVME_CNS_NAMESPACE, 0),
			 NVME_OK);
	peek(DATA, &size, 8);
	assert_int_equal(size, SECTORS);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_ACTIVE, 0),
			 NVME_OK);
	peek(DATA, list, 8);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 0);
	admin(NVME_IDENTIFY_OP, 1, NVME_CNS_ACTIVE, 0);
	peek(DATA, list, 8);
	assert_int_equal(list[0], 0);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 1, NVME_CNS_DESCRIPTORS, 0),
			 NVME_OK);
	peek(DATA, id, 24);
	assert_int_equal(id[0] | id[1] << 8, 0x1003);
	assert_int_equal(id[20], 0);
}

static void bad_admin_commands(void **state)
{
	const uint32_t sgl[16] = { NVME_IDENTIFY_OP | 0x4000, [10] = 1 };
	const uint32_t odd[16] = { NVME_IDENTIFY_OP, [6] = DATA + 2,
				   [10] = 1 };
	const uint32_t nowhere[16] = { NVME_IDENTIFY_OP, [6] = 0xfffff000,
				       [10] = 1 };

	assert_int_equal(admin(0x7f, 0, 0, 0), NVME_INVALID_OPCODE);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, 0x7f, 0),
			 NVME_INVALID_FIELD);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 2, NVME_CNS_NAMESPACE, 0),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(admin(NVME_IDENTIFY_OP, UINT32_MAX, NVME_CNS_ACTIVE,
			       0), NVME_INVALID_NAMESPACE);
	assert_int_equal(command(0, sgl), NVME_INVALID_FIELD);
	assert_int_equal(command(0, odd), NVME_PRP_OFFSET);
	assert_int_equal(command(0, nowhere), NVME_DATA_TRANSFER);
	assert_int_equal(admin(NVME_GET_LOG, 0, 0x7f, 0), NVME_LOG_PAGE);
	assert_int_equal(admin(NVME_GET_LOG, 1, NVME_LOG_HEALTH, 0),
			 NVME_INVALID_FIELD);
}

static void bad_queues(void **state)
{
	assert_int_equal(create_cq(0, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_cq(QUEUES + 1, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_cq(1, 1, 1), NVME_QUEUE_SIZE);
	assert_int_equal(create_cq(1, NVME_ENTRIES + 1, 1), NVME_QUEUE_SIZE);
	assert_int_equal(create_cq(1, 8, 0), NVME_INVALID_FIELD);
	assert_int_equal(create_cq(1, 8, 1 | 1 << 16), NVME_VECTOR);
	assert_int_equal(create_sq(1, 8, 1 | 1 << 16), NVME_CQ_INVALID);
	assert_int_equal(create_sq(1, 8, 1), NVME_QUEUE_ID);
	make_pair(1);
	assert_int_equal(create_cq(1, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_sq(1, 8, 1 | 1 << 16), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_QUEUE_DELETION);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 2, 0), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 1, 0), NVME_OK);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_OK);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_QUEUE_ID);
}

static void all_queues(void **state)
{
	uint32_t dw[16];

	for (unsigned int i = 1; i <= QUEUES; i++)
		make_pair(i);
	for (unsigned int i = QUEUES; i; i--) {
		fill_io(dw, NVME_READ, i, 1);
		assert_int_equal(command(i, dw), NVME_OK);
	}
}

/* Its commands end before the queue is gone. */
static void deletion_waits(void **state)
{
	const uint32_t delete[16] = { NVME_DELETE_SQ, [10] = 1 };
	uint32_t dw[16], entry[4];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_READ, 5, 1);
	queue_command(1, dw);
	ring(1);
	queue_command(0, delete);
	ring(0);
	assert_false(completion(0, entry));
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 1, 0), NVME_QUEUE_ID);
	fake_block_end(&disk, 0);
	assert_true(completion(1, entry));
	assert_true(completion(0, entry));
	assert_int_equal(entry[3] >> 17, NVME_OK);
}

static uint32_t feature(uint32_t op, uint32_t id, uint32_t dw11,
			uint32_t *result)
{
	const uint32_t dw[16] = { op, 1, [10] = id, dw11 };

	return command_for(0, dw, result);
}

static void features(void **state)
{
	uint32_t value;

	feature(NVME_SET_FEATURES, NVME_F_QUEUES, 0x00ff00ff, &value);
	assert_int_equal(value, (QUEUES - 1) << 16 | (QUEUES - 1));
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 1);
	feature(NVME_SET_FEATURES, NVME_F_CACHE, 0, NULL);
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 0);
	feature(NVME_GET_FEATURES, NVME_F_CACHE | 1 << 8, 0, &value);
	assert_int_equal(value, 1);
	feature(NVME_GET_FEATURES, NVME_F_RECOVERY | 3 << 8, 0, &value);
	assert_int_equal(value, 6);
	feature(NVME_SET_FEATURES, NVME_F_VECTOR, 3 | 1 << 16, NULL);
	feature(NVME_GET_FEATURES, NVME_F_VECTOR, 3, &value);
	assert_int_equal(value, 3 | 1 << 16);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_VECTOR, 999, NULL),
			 NVME_INVALID_FIELD);
	assert_int_equal(feature(NVME_SET_FEATURES,
				 NVME_F_CACHE | NVME_FEATURE_SAVE, 0, NULL),
			 NVME_NOT_SAVEABLE);
	assert_int_equal(feature(NVME_GET_FEATURES, 0x03, 0, NULL),
			 NVME_INVALID_FIELD);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_POWER, 1, NULL),
			 NVME_INVALID_FIELD);
	make_pair(1);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_QUEUES, 0, NULL),
			 NVME_SEQUENCE);
	disable();
	enable();
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 1);
}

static uint64_t log64(uint32_t page, unsigned int at)
{
	uint8_t log[512];
	uint64_t value;

	assert_int_equal(admin(NVME_GET_LOG, 0, page | 127u << 16, 0),
			 NVME_OK);
	peek(DATA, log, sizeof(log));
	memcpy(&value, log + at, sizeof(value));
	return value;
}

static void logs(void **state)
{
	make_pair(1);
	io(NVME_READ, 0, 8);
	io(NVME_WRITE, 0, 8);
	assert_int_equal(log64(NVME_LOG_HEALTH, 64), 1);
	assert_int_equal(log64(NVME_LOG_HEALTH, 32), 1);
	assert_int_equal(log64(NVME_LOG_HEALTH, 80), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 0), 0);
	disk.fail = -5;
	assert_int_equal(io(NVME_READ, 7, 1), NVME_READ_ERROR);
	disk.fail = 0;
	assert_int_equal(log64(NVME_LOG_HEALTH, 160), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 0), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 8) & 0xffffffff, 0x00770001);
	assert_int_equal(log64(NVME_LOG_ERROR, 16), 7);
	assert_int_equal(log64(NVME_LOG_FIRMWARE, 0), 1);
	assert_int_equal(admin(NVME_GET_LOG, 0, NVME_LOG_EFFECTS | 1023 << 16,
			       0), NVME_OK);
}

static void events(void **state)
{
	const uint32_t ask[16] = { NVME_ASYNC_EVENT | 9 << 16 };
	uint32_t entry[4], result;
	uint32_t abort[16] = { NVME_ABORT, [10] = 9 << 16 };

	for (unsigned int i = 0; i < NVME_EVENTS; i++) {
		queue_command(0, ask);
		ring(0);
		assert_false(completion(0, entry));
	}
	assert_int_equal(command(0, ask), NVME_EVENT_LIMIT);
	set(NVME_DOORBELLS + 8 * 5, 1); /* no such queue */
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010000);
	set(NVME_DOORBELLS, 999); /* masked: its log was not read */
	assert_false(completion(0, entry));
	admin(NVME_GET_LOG, 0, NVME_LOG_ERROR, 0);
	set(NVME_DOORBELLS, 999);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010100);
	feature(NVME_SET_FEATURES, NVME_F_EVENTS, 0xff, NULL);
	queue_command(0, (const uint32_t[16]){ NVME_SET_FEATURES, [10] =
						NVME_F_TEMPERATURE, 300 });
	ring(0);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x020101);
	assert_true(completion(0, entry));
	queue_command(0, abort);
	ring(0);
	assert_true(completion(0, entry));
	assert_int_equal(entry[3] >> 17 & NVME_CODE, NVME_ABORTED);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0);
	assert_int_equal(command_for(0, abort, &result), NVME_OK);
	assert_int_equal(result, 1);
}

/* --- the disk ---------------------------------------------------------------------------- */

static void reads_and_writes(void **state)
{
	static uint8_t data[64 * NVME_PAGE];
	static const uint32_t counts[] = { 1, 8, 16, 17, 200, 500 };

	make_pair(1);
	make_list(62, 512);
	for (unsigned int i = 0; i < 6; i++) {
		uint32_t size = counts[i] * 512;

		assert_int_equal(io(NVME_READ, 100 + i, counts[i]), NVME_OK);
		peek(DATA, data, size);
		assert_memory_equal(data, image + (100 + i) * 512, size);
	}
	memset(data, 0x5a, sizeof(data));
	poke(DATA, data, sizeof(data));
	assert_int_equal(io(NVME_WRITE, 7, 20), NVME_OK);
	assert_memory_equal(image + 7 * 512, data, 20 * 512);
	assert_int_equal(image[27 * 512], 27);
	assert_int_equal(disk.flushes, 0);
}

/* Data that begins within a page, and lists that lead on. */
static void scattered(void **state)
{
	static uint8_t data[64 * NVME_PAGE];
	uint32_t dw[16];

	make_pair(1);
	for (unsigned int each = 2; each < 9; each++) {
		make_list(10, each);
		fill_io(dw, NVME_READ, each, 80);
		dw[6] = DATA + 0xe00;
		dw[8] = LIST + (512 - each) * 8;
		assert_int_equal(command(1, dw), NVME_OK);
		peek(DATA + 0xe00, data, 80 * 512);
		assert_memory_equal(data, image + each * 512, 80 * 512);
	}
}

static void bad_transfers(void **state)
{
	uint64_t entry = DATA + 1;
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_READ, SECTORS, 1), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, SECTORS - 1, 2), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, UINT64_MAX, 2), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, 0, 2049), NVME_INVALID_FIELD);
	assert_int_equal(io(0x7f, 0, 1), NVME_INVALID_OPCODE);
	fill_io(dw, NVME_READ, 0, 16);
	dw[8] = DATA + 8;
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = 0xfffff000;
	assert_int_equal(command(1, dw), NVME_DATA_TRANSFER);
	dw[1] = 2;
	assert_int_equal(command(1, dw), NVME_INVALID_NAMESPACE);
	fill_io(dw, NVME_READ, 0, 64);
	dw[8] = LIST + 4;
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = LIST;
	poke(LIST, &entry, 8);
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = 0xffffff00;
	assert_int_equal(command(1, dw), NVME_DATA_TRANSFER);
	disk.fail = -5;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_WRITE_FAULT);
	disk.fail = -28;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_CAPACITY);
	disk.fail = 0;
	disk.block.readonly = true;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_WRITE_PROTECTED);
	assert_int_equal(io(NVME_WRITE_ZEROES, 0, 1), NVME_WRITE_PROTECTED);
	assert_int_equal(io(NVME_READ, 0, 1), NVME_OK);
}

static void durable(void **state)
{
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_FLUSH, 0, 1), NVME_OK);
	assert_int_equal(disk.flushes, 1);
	fill_io(dw, NVME_WRITE, 0, 1);
	dw[12] |= NVME_IO_FUA;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.flushes, 2);
	feature(NVME_SET_FEATURES, NVME_F_CACHE, 0, NULL);
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_OK);
	assert_int_equal(disk.flushes, 3);
}

static void compare(void **state)
{
	make_pair(1);
	assert_int_equal(io(NVME_READ, 9, 16), NVME_OK);
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_OK);
	image[16 * 512] ^= 1;
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_COMPARE_FAILED);
	fake_fail_alloc(1);
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_INTERNAL);
}

static void zeroes_and_deallocate(void **state)
{
	const uint32_t ranges[] = { 0, 4, 8, 0, 0, 0, 99, 0, 0, 1, 100, 0,
				    0, 1, SECTORS, 0 };
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_WRITE_ZEROES, 3, 2), NVME_OK);
	assert_int_equal(image[4 * 512 + 511], 0);
	assert_int_equal(disk.unmaps, 0);
	poke(DATA, ranges, sizeof(ranges));
	fill_io(dw, NVME_DATASET, 0, 1);
	dw[10] = 2;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.discards, 0); /* a hint of another kind */
	dw[11] = NVME_DATASET_DEALLOCATE;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.discards, 2);
	dw[10] = 3;
	assert_int_equal(command(1, dw), NVME_LBA_RANGE);
}

/* A small one alone ends with its doorbell; others are the worker's. */
static void little_commands(void **state)
{
	uint32_t dw[16], entry[4];

	make_pair(1);
	fill_io(dw, NVME_READ, 3, 32);
	make_list(3, 512);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	assert_true(completion(1, entry));
	fill_io(dw, NVME_READ, 3, 33);
	make_list(4, 512);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	peek(queues[1].cq + NVME_COMPLETION, entry, sizeof(entry));
	assert_int_equal(entry[3], 0);
	fake_work_run();
	assert_true(completion(1, entry));
	fill_io(dw, NVME_WRITE, 3, 1);
	queue_command(1, dw);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	peek(queues[1].cq + 2 * NVME_COMPLETION, entry, sizeof(entry));
	assert_int_equal(entry[3], 0);
	fake_work_run();
	assert_true(completion(1, entry));
	assert_true(completion(1, entry));
}

/* More commands than places for completions: the rest waits. */
static void full_completion_queue(void **state)
{
	uint32_t dw[16], entry[4];
	unsigned int done = 0;

	set_up_queue(1, IO_SQ + 0x1000, IO_CQ + 0x1000);
	assert_int_equal(create_cq(1, ENTRIES, NVME_QUEUE_PC), NVME_OK);
	for (unsigned int i = 1; i < 4; i++) {
		queues[i].sq = IO_SQ + i * 0x1000;
		assert_int_equal(create_sq(i, ENTRIES, NVME_QUEUE_PC |
					   1 << 16), NVME_OK);
		for (unsigned int k = 0; k < ENTRIES - 1; k++) {
			fill_io(dw, NVME_READ, k, 1);
			queue_command(i, dw);
		}
	}
	for (unsigned int i = 1; i < 4; i++)
		ring(i);
	while (completion(1, entry)) {
		assert_int_equal(entry[3] >> 17, NVME_OK);
		done++;
	}
	assert_int_equal(done, 3 * (ENTRIES - 1));
}

/* Queues take turns, of one command each here. */
static void round_robin(void **state)
{
	uint32_t dw[16], entry[4];
	unsigned int from[4] = { 0 };

	set_up_queue(1, IO_SQ + 0x1000, IO_CQ + 0x1000);
	create_cq(1, ENTRIES, NVME_QUEUE_PC);
	feature(NVME_SET_FEATURES, NVME_F_ARBITRATION, 0, NULL);
	for (unsigned int i = 1; i < 4; i++) {
		queues[i].sq = IO_SQ + i * 0x1000;
		create_sq(i, ENTRIES, NVME_QUEUE_PC | 1 << 16);
	}
	vm_quiesce_devices(&rig.rig.vm);
	for (unsigned int i = 1; i < 4; i++) {
		for (unsigned int k = 0; k < 5; k++) {
			fill_io(dw, NVME_READ, k, 1);
			queue_command(i, dw);
		}
		ring(i);
	}
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(completion(1, entry));
		from[entry[2] >> 16]++;
	}
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(from[i], 2);
}

static void interrupts(void **state)
{
	bool *level = rig.rig.level;
	unsigned int high = 0;
	uint32_t dw[16];

	make_pair(1);
	fill_io(dw, NVME_READ, 0, 1);
	queue_command(1, dw);
	ring(1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		high += level[i];
	assert_int_equal(high, 1);
	set(NVME_INTMS, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		assert_false(level[i]);
	set(NVME_INTMC, 1);
	set(NVME_DOORBELLS + 12, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		assert_false(level[i]);
}

static void messages(void **state)
{
	unsigned int cap = nvme_pci(nvme)->msix->cap, before;
	uint32_t dw[16];

	pci_rig_set(&rig, DEVFN, cap + MSIX_CONTROL, 2, MSIX_ENABLE);
	for (unsigned int i = 0; i <= QUEUES; i++) {
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16, 4, 0xfee00000);
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16 + 8, 4, 0x40 + i);
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16 + 12, 4, 0);
	}
	set_up_queue(2, IO_SQ + 0x2000, IO_CQ + 0x2000);
	assert_int_equal(create_cq(2, ENTRIES, NVME_QUEUE_PC | NVME_QUEUE_IEN |
				   7 << 16), NVME_OK);
	assert_int_equal(create_sq(2, ENTRIES, NVME_QUEUE_PC | 2 << 16),
			 NVME_OK);
	assert_int_equal(create_cq(3, ENTRIES, NVME_QUEUE_PC |
				   (QUEUES + 1) << 16), NVME_VECTOR);
	before = rig.sent_count;
	for (unsigned int i = 0; i < 3; i++) {
		fill_io(dw, NVME_READ, i, 1);
		queue_command(2, dw);
	}
	ring(2);
	assert_int_equal(rig.sent_count, before + 1); /* one for all three */
	assert_int_equal(rig.sent[before].data, 0x47);
}

/* --- saved state, and hostile guests ---------------------------------------------------- */

/* Save and load with commands submitted and events asked for. */
static void saved_in_mid_operation(void **state)
{
	const struct state_item item = { nvme_class.state, nvme, 0 };
	const uint32_t ask[16] = { NVME_ASYNC_EVENT | 9 << 16 };
	struct state_buffer buffer = { 0 };
	struct state_error error;
	uint32_t dw[16], entry[4];
	uint8_t data[512];

	make_pair(1);
	queue_command(0, ask);
	ring(0);
	disk.later = true;
	fill_io(dw, NVME_READ, 30, 1);
	queue_command(1, dw);
	ring(1);
	fake_block_end(&disk, 0);
	vm_quiesce_devices(&rig.rig.vm);
	fill_io(dw, NVME_READ, 33, 1);
	queue_command(1, dw);
	ring(1);
	assert_int_equal(disk.waiting_count, 0);
	assert_int_equal(state_save(&item, 1, &buffer), 0);
	disable(); /* all is forgotten ... */
	assert_int_equal(state_load(&item, 1, buffer.data, buffer.size, NULL,
				    &error), 0);
	host_free(buffer.data);
	disk.later = false;
	vm_resume_devices(&rig.rig.vm); /* ... and goes on */
	fake_work_run();
	assert_true(completion(1, entry));
	assert_true(completion(1, entry));
	peek(DATA, data, 512);
	assert_memory_equal(data, image + 33 * 512, 512);
	set(NVME_DOORBELLS + 8 * 5, 1);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010000);
}

static void valid(void *object)
{
	struct nvme *n = object;
	struct nvme_saved *s = &n->saved;

	for (unsigned int i = 0; i < NVME_QUEUES; i++) {
		bool there = i <= QUEUES;

		s->sq_base[i] = there ? s->sq_base[i] & ~(uint64_t)0xfff : 0;
		s->cq_base[i] = there ? s->cq_base[i] & ~(uint64_t)0xfff : 0;
		s->sq_size[i] = there ? 64 + s->sq_size[i] % 64 : 0;
		s->cq_size[i] = there ? 64 + s->cq_size[i] % 64 : 0;
		s->sq_head[i] = there ? s->sq_head[i] % 64 : 0;
		s->cq_head[i] = there ? s->cq_head[i] % 64 : 0;
		s->sq_tail[i] = there ? s->sq_tail[i] % 64 : 0;
		s->cq_tail[i] = there ? s->cq_tail[i] % 64 : 0;
		s->sq_cq[i] = i ? s->sq_cq[i] % QUEUES : 0;
		s->cq_vector[i] %= QUEUES;
	}
	n->waiting_count %= NVME_EVENTS;
	nvme_class.state->loaded(n);
}

static void roundtrip(void **state)
{
	roundtrip_check(nvme_class.state, nvme, valid);
	pci_device_reset(nvme_pci(nvme));
}

static void fuzz_step(uint64_t *seed)
{
	uint32_t word = rig_random(seed), at = rig_random(seed), dw[16];
	unsigned int id = at >> 4 & 3;

	switch (at & 15) {
	case 0:
		rig_fuzz(&rig.rig, &rig.rig.vm.mmio, BAR, 0x1030, 1);
		break;
	case 1:
		set(NVME_DOORBELLS + (at >> 8 & 0x3c), word & 31);
		break;
	case 2:
		disk.later = word & 1;
		disk.fail = word & 2 ? 0 : -5;
		break;
	case 3:
		set(NVME_CC, NVME_CC_SIZES | (word & 0xc000) | (at >> 8 & 1));
		set(NVME_ASQ, ADMIN_SQ);
		set(NVME_ACQ, ADMIN_CQ);
		break;
	default:
		fill_io(dw, word & 15, word >> 8 & 0xfff, (at >> 8 & 0xff) + 1);
		if (!id)
			dw[10] = (word >> 8 & 7) | (at >> 12 & 15) << 16;
		if (!id)
			dw[11] = (at >> 16 & 3) | (word >> 16 & 3) << 16;
		queues[id].sq = id ? IO_SQ + id * 0x1000 : ADMIN_SQ;
		queue_command(id, dw);
		ring(id);
		set(NVME_DOORBELLS + 8 * id + 4, word >> 20 & 15);
		break;
	}
}

/* Registers and commands at random; afterwards a reset mends it all. */
static void fuzz(void **state)
{
	uint64_t seed = 1;

	for (unsigned int i = 0; i < 40000; i++) {
		fuzz_step(&seed);
		while (disk.waiting_count > 30)
			fake_block_end(&disk, i % disk.waiting_count);
		fake_work_run();
	}
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	disk.later = false;
	disk.fail = 0;
	fake_work_run();
	disable();
	enable();
	make_pair(1);
	assert_int_equal(io(NVME_READ, 1, 1), NVME_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(wrong_configurations),
		TEST(queues_outside_of_memory),
		TEST(shut_down),
		TEST(reset_under_way),
		TEST(identify),
		TEST(bad_admin_commands),
		TEST(bad_queues),
		TEST(all_queues),
		TEST(deletion_waits),
		TEST(features),
		TEST(logs),
		TEST(events),
		TEST(reads_and_writes),
		TEST(scattered),
		TEST(bad_transfers),
		TEST(durable),
		TEST(compare),
		TEST(zeroes_and_deallocate),
		TEST(little_commands),
		TEST(full_completion_queue),
		TEST(round_robin),
		TEST(interrupts),
		TEST(messages),
		TEST(saved_in_mid_operation),
		TEST(roundtrip),
		TEST(fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
